"""Stand-ins for services that have no emulator that is good enough."""
