"""What each activity does, one file an activity type."""
