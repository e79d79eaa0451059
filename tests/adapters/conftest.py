"""The suite's fixtures; a test file adds a `backend_factory` that makes its store."""

from __future__ import annotations

from memplane_adapters.conformance.stores.fixtures import backend, key_values, points, subject

__all__ = ["backend", "key_values", "points", "subject"]
