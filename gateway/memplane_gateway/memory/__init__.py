"""The middle: what a memory is, how it is written, found and listed, whatever store keeps it."""
