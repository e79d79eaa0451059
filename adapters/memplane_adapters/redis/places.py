"""Walks in the order of places: namespaces as the registry has them, keys as their index has them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Final, NamedTuple, TypeAlias

from memplane_adapters.contract import Scan, Scope
from memplane_adapters.redis.connection import Command
from memplane_adapters.redis.engine import Engine
from memplane_adapters.redis.layout import Space
from memplane_adapters.redis.registry import Listed

_MOST_SPOTS: Final = 512
_MOST_SPACES: Final = 256


class Spot(NamedTuple):
    """Where a row stands, as an index says."""

    value: int
    """Its update_time or time, as the order says; 0 for places."""
    namespace: tuple[str, ...]
    key: str


SpaceOf: TypeAlias = Callable[[Scope, "tuple[str, ...]"], Space]


async def places(
    engine: Engine,
    scan: Scan,
    listed: AsyncIterator[list[Listed]],
    space_of: SpaceOf,
    *,
    number: int,
    empty: list[Listed],
) -> AsyncGenerator[list[Spot], None]:
    """Spots behind the cursor, in order, in parts; `number` are likely to be asked for.

    Namespaces that are seen to have none go to `empty`.
    """
    number = min(number, _MOST_SPOTS)
    async for part in listed:
        start, width = 0, max(1, min(number, 8))
        while start < len(part):
            some = part[start : start + width]
            start += len(some)
            width = min(width * 4, _MOST_SPACES)
            spaces = [space_of(scan.scope, each.namespace) for each in some]
            answers = await engine.read([_keys(scan, space, number) for space in spaces])
            for each, space, first in zip(some, spaces, answers, strict=True):
                keys: list[bytes] = first
                if not keys and not _has_cursor(scan, each.namespace):
                    empty.append(each)
                while keys:
                    yield [Spot(0, each.namespace, key.decode()) for key in keys]
                    if len(keys) < number:
                        break
                    (keys,) = await engine.read([_keys(scan, space, number, keys[-1])])


def _keys(scan: Scan, space: Space, number: int, behind: bytes | None = None) -> Command:
    """The command that reads keys of a namespace, in order, behind the last one or the cursor."""
    if behind is None and scan.after is not None and _has_cursor(scan, space.namespace):
        behind = scan.after.key.encode()
    limit = (b"LIMIT", 0, number)
    if scan.descending:
        return (
            b"ZREVRANGEBYLEX", space.keys, b"+" if behind is None else b"(" + behind, b"-", *limit
        )  # fmt: skip
    return (b"ZRANGEBYLEX", space.keys, b"-" if behind is None else b"(" + behind, b"+", *limit)


def _has_cursor(scan: Scan, namespace: tuple[str, ...]) -> bool:
    return scan.after is not None and scan.after.namespace == namespace
