"""The memory-level half: what a caller of the gateway may rely on, whatever store keeps the route.

Each case is written once against `memplane.AsyncClient` and runs through two doors: the gateway's
handlers called in this process, and a real gRPC channel. The store is chosen as users choose it, by
MEMPLANE_VECTOR, MEMPLANE_PROCEDURAL or MEMPLANE_CONFIG; without any of these it is the embedded one.

A case works in a namespace of its own, so that a server that holds other data can be certified.
"""
