"""The Memplane gateway."""
