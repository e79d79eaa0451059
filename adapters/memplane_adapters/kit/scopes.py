"""Scopes as digests, so that a store finds any scope by one equality.

A row carries one digest for each prefix of its namespace, the empty one first, and one for its very
namespace. A digest covers tenant, kind and labels, each with its length, so no two scopes share one.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

from memplane_adapters.contract import Address, Scope


def prefix_digests(address: Address) -> list[str]:
    """The digests of a row by level: that of the first n labels stands at n."""
    return [
        _digest(address.tenant, address.kind, address.namespace[:level], exact=False)
        for level in range(len(address.namespace) + 1)
    ]


def exact_digest(address: Address) -> str:
    """The digest of a row's very namespace."""
    return _digest(address.tenant, address.kind, address.namespace, exact=True)


def scope_digest(scope: Scope) -> str:
    """The digest that the rows of a scope carry: at level len(scope.namespace), or the exact one."""
    return _digest(scope.tenant, scope.kind, scope.namespace, exact=scope.exact)


# The rows of a batch share their labels, mostly.
@lru_cache(maxsize=4_096)
def _digest(tenant: str, kind: str, labels: tuple[str, ...], *, exact: bool) -> str:
    hashed = hashlib.blake2b(b"exact" if exact else b"prefix", digest_size=16)
    for part in (tenant, kind, *labels):
        encoded = part.encode()
        hashed.update(len(encoded).to_bytes(4, "big") + encoded)
    return hashed.hexdigest()
