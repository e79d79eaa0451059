"""Which namespaces there are, per tenant and kind: a sorted set, since Redis must not be searched.

The registry lies in another slot than its namespaces, so no script can touch both. What holds all the
same: a namespace with rows is in the registry.

- Its *mark*, beside its rows, says whether it is registered. The script that writes rows refuses
  where the mark does not say so. The writer then registers the namespace, with a token that nobody
  has used, and writes again, saying which mark it has seen; the script sets the mark, but only if
  it still is the one that was seen.
- One without rows is *retired*: first the mark says so, with a new token, by a script that sees
  that there are no rows; then what was read in the registry before, namespace and token, is removed.
  Who registers meanwhile adds another token, which stays; who has registered before that
  finds another mark than the one he has seen, and registers again.

A crash in between leaves an entry without rows, which the next walk retires.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Iterable
from typing import Final, NamedTuple

from memplane_adapters.contract import Kind, Scope, StoreError
from memplane_adapters.kit.codec import after_prefix, decode_namespace, encode_namespace
from memplane_adapters.redis import layout, scripts
from memplane_adapters.redis.connection import Command
from memplane_adapters.redis.engine import Engine, run

_TOKEN_BYTES: Final = 16
_PAGE: Final = 1_000
_RETIRED_MILLIS: Final = 86_400_000
"""How long a mark says that a namespace was retired: longer than any write is under way."""


class Listed(NamedTuple):
    """A namespace in the registry."""

    namespace: tuple[str, ...]
    members: tuple[bytes, ...]
    """What stands there for it: one entry, or several where writers have met."""


def token() -> bytes:
    """A token that nobody has used."""
    return secrets.token_hex(_TOKEN_BYTES // 2).encode()


def registering(
    prefix: str, tenant: str, kind: Kind, namespace: tuple[str, ...], token: bytes
) -> list[Command]:
    """What puts a namespace into the registry; both must be done before its first row is written."""
    member = encode_namespace(namespace) + b"\0" + token
    return [
        (b"SADD", layout.tenants(prefix, kind), tenant.encode()),
        (b"ZADD", layout.registry(prefix, tenant, kind), 0, member),
    ]


async def listed(
    engine: Engine,
    prefix: str,
    scope: Scope,
    *,
    start: tuple[str, ...] | None = None,
    descending: bool = False,
) -> AsyncIterator[list[Listed]]:
    """The namespaces of a scope, in order, from `start` on (itself included), in parts."""
    low, high = _range(scope)
    if start is not None:
        edge = encode_namespace(start) + b"\0"
        if descending:
            high = b"(" + after_prefix(edge)
        else:
            low = b"[" + edge
    registry = layout.registry(prefix, scope.tenant, scope.kind)
    held: Listed | None = None
    """The last one of a part: more of its entries may follow."""
    while True:
        name, ends = (
            (b"ZREVRANGEBYLEX", (high, low)) if descending else (b"ZRANGEBYLEX", (low, high))
        )
        (members,) = await engine.read([(name, registry, *ends, b"LIMIT", 0, _PAGE)])
        found: list[Listed] = [] if held is None else [held]
        for member in members:
            namespace = decode_namespace(member[: -_TOKEN_BYTES - 1])
            if found and found[-1].namespace == namespace:
                found[-1] = Listed(namespace, (*found[-1].members, member))
            else:
                found.append(Listed(namespace, (member,)))
        if len(members) < _PAGE:
            if found:
                yield found
            return
        held = found.pop()
        if found:
            yield found
        if descending:
            high = b"(" + members[-1]
        else:
            low = b"(" + members[-1]


async def retire(engine: Engine, prefix: str, scope: Scope, empty: Iterable[Listed]) -> None:
    """Take namespaces out of the registry, those that have no rows. What fails is left for the next."""
    empty = list(empty)
    if not empty:
        return
    registry = layout.registry(prefix, scope.tenant, scope.kind)
    spaces = [layout.space(prefix, scope.tenant, scope.kind, each.namespace) for each in empty]
    answers = await engine.write(
        [run(scripts.RETIRE, space.all, [token(), _RETIRED_MILLIS]) for space in spaces]
    )
    members = [
        member
        for each, answer in zip(empty, answers, strict=True)
        if not isinstance(answer, StoreError) and answer == 1
        for member in each.members
    ]
    if members:
        await engine.write([(b"ZREM", registry, *members)])


def _range(scope: Scope) -> tuple[bytes, bytes]:
    """The members of a scope, as bounds of a range in the order of bytes."""
    prefix = encode_namespace(scope.namespace)
    if scope.exact:
        return b"[" + prefix + b"\0", b"(" + prefix + b"\1"
    return (b"[" + prefix, b"(" + after_prefix(prefix)) if prefix else (b"-", b"+")
