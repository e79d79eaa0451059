"""Names of collections, and what they were made with.

A collection is named "<prefix>-<kind>-<digest of the identity>" and says beside its rows what made
its vectors and terms, so that nobody has to guess it from the digest.
"""

from __future__ import annotations

import hashlib
import json

import numpy as np

from memplane_adapters.contract import Collection, Kind, StoreError, StoreReason, Vector

_DIGEST_LETTERS = 8


def beginning(prefix: str, kind: Kind) -> str:
    """What the names of a kind's collections begin with."""
    return f"{prefix}-{kind.value}-"


def name_of(prefix: str, collection: Collection) -> str:
    """The name of the collection of a kind and identity."""
    embedding = collection.embedding
    parts = [
        embedding.provider,
        embedding.model,
        embedding.dimension,
        embedding.metric,
        embedding.normalized,
        collection.analyzer,
    ]
    digest = hashlib.blake2b(json.dumps(parts).encode(), digest_size=_DIGEST_LETTERS // 2)
    return f"{beginning(prefix, collection.kind)}{digest.hexdigest()}"


def belongs(name: str, begins: str) -> bool:
    """Whether a name is a beginning and a digest.

    So "a-semantic-semantic-01234567" does not belong to the prefix "a".
    """
    rest = name.removeprefix(begins)
    is_digest = len(rest) == _DIGEST_LETTERS and set(rest) <= set("0123456789abcdef")
    return rest != name and is_digest


def identity(collection: Collection) -> str:
    """What made the vectors and terms of a collection, for people and to be compared."""
    embedding = collection.embedding
    shape = f"{embedding.metric}, {'' if embedding.normalized else 'not '}normalized"
    return f"{embedding} ({shape}), text analysis {collection.analyzer}"


def mismatch(collection: Collection, stored: object) -> StoreError:
    """Why what is stored cannot be used as it is configured."""
    return StoreError(
        StoreReason.IDENTITY_MISMATCH,
        f"the store holds {collection.kind} memories of another embedding or text analysis than is "
        "configured",
        metadata={"stored": str(stored), "configured": identity(collection)},
    )


def misfit(vector: Vector | None, dimension: int) -> StoreError | None:
    """Why a vector cannot stand among those of a collection."""
    if vector is None or (vector.shape == (dimension,) and vector.dtype == np.float32):
        return None
    given = f"{vector.dtype} of shape {vector.shape}"
    return StoreError(
        StoreReason.IDENTITY_MISMATCH,
        f"vectors are float32 of dimension {dimension}, not {given}",
        metadata={"stored": str(dimension), "configured": "x".join(map(str, vector.shape))},
    )
