"""The generated messages and stubs of the contract, package `memplane.v1`."""
