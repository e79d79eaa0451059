"""Adapters: what a store promises, the suite that holds it to that, and one package a vendor."""
