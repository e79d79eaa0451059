"""Vectors as they travel: packed little-endian float32."""

from __future__ import annotations

import hashlib
import math

import numpy as np

from memplane_adapters.contract import Vector
from memplane_gateway import limits
from memplane_gateway.wire.violations import Violations


def read_vector(data: bytes, path: str, violations: Violations) -> Vector | None:
    """A vector of length 1 from packed little-endian float32; None beside a note."""
    if len(data) % 4 or not 4 <= len(data) <= limits.VECTOR_DIMENSIONS * 4:
        violations.add(
            path,
            f"{len(data)} bytes are no vector: 4 bytes (float32) for each of 1 to "
            f"{limits.VECTOR_DIMENSIONS} dimensions",
        )
        return None
    vector = np.frombuffer(data, dtype="<f4").astype(np.float64)
    length = float(np.sqrt(vector @ vector))
    if not math.isfinite(length):
        violations.add(path, "holds NaN or infinity")
        return None
    if length == 0.0:
        violations.add(path, "is zero, which has no direction")
        return None
    return (vector / length).astype(np.float32)


def packed(vector: Vector) -> bytes:
    """A vector as bytes."""
    return vector.astype("<f4", copy=False).tobytes()


def digest_of(vector: Vector | None) -> bytes:
    """What recognises a vector that came from a caller; empty for none."""
    return b"" if vector is None else hashlib.blake2b(vector.tobytes(), digest_size=16).digest()
