"""Rows, files and tables that activities read and write."""
