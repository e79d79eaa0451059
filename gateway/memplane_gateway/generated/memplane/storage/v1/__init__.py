"""Generated: see scripts/generate.py."""
