"""What adapters share: how fields, scopes and orders become things that weaker stores can hold.

An adapter uses what it needs of it; the promises themselves stand in `memplane_adapters.contract`.
"""
