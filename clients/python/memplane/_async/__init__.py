"""The async client. `memplane/_sync` is generated from here by scripts/generate_sync.py."""
