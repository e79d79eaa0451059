"""Let memories go: purge, forget, consolidate, retention, and what sweeps them."""
