"""Key-values in PostgreSQL."""
