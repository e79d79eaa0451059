"""Calls that take effect once: tokens in records, and notes in the control store."""
