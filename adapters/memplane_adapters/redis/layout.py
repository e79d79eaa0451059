"""How keys are called, and what stands in indexes.

Everything of one (tenant, kind, namespace) bears one hash tag, so that a cluster keeps it in one slot
and one script can touch all of it:

    <prefix>:{<kind>/<tenant>/<label>/...}:row:<key>      a row (see `rows`)
                                          :keys           sorted set of all keys, in order
                                          :updated        of update_time and key, latest first
                                          :times          of time and key, latest first
                                          :expiring       of expire_time and key, for rows that expire
                                          :heads          hash of these rows' heads, by key
                                          :mark           whether the namespace is registered
    <prefix>:{<kind>/<tenant>}:namespaces                 sorted set: the registry (see `registry`)
    <prefix>:tenants:<kind>                               set of tenants
    <prefix>:barrier                                      empty (see `acks`)

Parts are percent-encoded, all but letters, digits and "-._~"; so none can hold what separates them.
Members of sorted sets have the score 0 and are ordered by their bytes: numbers are eight bytes,
big-endian, then comes the key in UTF-8.
"""

from __future__ import annotations

import functools
import re
import struct
from typing import Final, NamedTuple
from urllib.parse import quote

from memplane_adapters.contract import Address, Kind, Order

NUMBER_BYTES: Final = 8
_NUMBER: Final = struct.Struct(">Q")
_LATEST: Final = 2**63 - 1
_EARLIEST: Final = 2**63
_PLAIN: Final = re.compile(r"[A-Za-z0-9._~-]*")
"""What percent-encoding leaves as it is."""


class Space(NamedTuple):
    """The keys of one (tenant, kind, namespace)."""

    namespace: tuple[str, ...]
    mark: bytes
    keys: bytes
    updated: bytes
    times: bytes
    expiring: bytes
    heads: bytes
    rows: bytes
    """What a row's key begins with."""

    def row(self, key: str) -> bytes:
        """The key of a row."""
        return self.rows + _part(key)

    def in_order(self, order: Order) -> bytes:
        """The sorted set that has this order."""
        if order is Order.PLACE:
            return self.keys
        return self.updated if order is Order.UPDATE_TIME else self.times

    @property
    def all(self) -> tuple[bytes, ...]:
        """The keys that every script of `scripts` is given, before those of rows."""
        return self.mark, self.keys, self.updated, self.times, self.expiring, self.heads


@functools.lru_cache(maxsize=4096)
def space(prefix: str, tenant: str, kind: Kind, namespace: tuple[str, ...]) -> Space:
    """The keys of a namespace."""
    tag = b"/".join((kind.value.encode(), *map(_part, (tenant, *namespace))))
    stem = prefix.encode() + b":{" + tag + b"}:"
    names = ("mark", "keys", "updated", "times", "expiring", "heads", "row:")
    return Space(namespace, *(stem + name.encode() for name in names))


def space_of(prefix: str, address: Address) -> Space:
    """The keys of the namespace that an address lies in."""
    return space(prefix, address.tenant, address.kind, address.namespace)


def registry(prefix: str, tenant: str, kind: Kind) -> bytes:
    """The key of the registry of namespaces."""
    return prefix.encode() + b":{" + kind.value.encode() + b"/" + _part(tenant) + b"}:namespaces"


def tenants(prefix: str, kind: Kind) -> bytes:
    """The key of the set of tenants."""
    return f"{prefix}:tenants:{kind.value}".encode()


def barrier(prefix: str) -> bytes:
    """The key of the write that changes nothing."""
    return f"{prefix}:barrier".encode()


def every_key(prefix: str) -> bytes:
    """The pattern of all keys of a prefix; there is neither ":" nor a wildcard in a prefix."""
    return f"{prefix}:*".encode()


def latest_first(micros: int) -> bytes:
    """A time, such that later ones sort before it."""
    return _NUMBER.pack(_LATEST - micros)


def time_of(member: bytes) -> int:
    """The time that `latest_first` has put in front."""
    return _LATEST - int(_NUMBER.unpack_from(member)[0])


def after(number: bytes) -> bytes:
    """The number that sorts next."""
    return _NUMBER.pack(_NUMBER.unpack(number)[0] + 1)


def earliest_first(micros: int) -> bytes:
    """A time, such that later ones sort behind it."""
    return _NUMBER.pack(_EARLIEST + micros)


def micros_of(number: bytes) -> int:
    """The time that `earliest_first` has written."""
    return int(_NUMBER.unpack(number)[0]) - _EARLIEST


def revision_bytes(revision: int) -> bytes:
    """A revision as scripts compare it; 0 is no row."""
    return _NUMBER.pack(revision)


def _part(text: str) -> bytes:
    return (text if _PLAIN.fullmatch(text) else quote(text, safe="")).encode()
