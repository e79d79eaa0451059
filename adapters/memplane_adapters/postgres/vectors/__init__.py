"""Vectors and words in PostgreSQL."""
