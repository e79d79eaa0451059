"""Code generated from proto/ that belongs to the gateway alone; the contract is in `memplane.v1`."""
