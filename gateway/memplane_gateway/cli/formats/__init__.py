"""What `memplane ingest` reads: each format makes memories, or problems that say where they are.

Nothing here calls a gateway or prints. `reading.read` finds the format and opens it.
"""
