"""One file a service: check, convert once, call the middle, convert back."""
