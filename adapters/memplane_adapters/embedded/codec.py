"""How vectors are written into the file, without loss."""

from __future__ import annotations

import numpy as np

from memplane_adapters.contract import Vector


def encode_vector(vector: Vector) -> bytes:
    """float32, little-endian."""
    return np.ascontiguousarray(vector, dtype="<f4").tobytes()


def decode_vector(data: bytes) -> Vector:
    """A vector of its own memory."""
    return np.frombuffer(data, dtype="<f4").astype(np.float32)
