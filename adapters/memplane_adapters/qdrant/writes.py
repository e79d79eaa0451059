"""Writes and deletes that take effect only on what the caller has seen.

Qdrant applies an update only where its filter holds, but does not say whether it did. So every write
has a random name. It stands in the point, is what the next write's filter asks for, and is looked for
when the point is read again afterwards: a write whose name is there, or among those before, was
applied. Nothing depends on revisions being different, which two gateways may mint at once.

A point that is not there would be inserted in spite of a filter, hence the update modes. A delete
leaves nothing to look at, so the row is first replaced by a mark, which is a write like any other, and
the mark is then removed. Nobody sees a mark; a write of a new row goes over it.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from qdrant_client import models

from memplane_adapters.contract import (
    Address,
    Delete,
    Point,
    StoreError,
    StoreReason,
    Write,
    WriteResult,
    WriteStatus,
)
from memplane_adapters.kit.errors import after_write
from memplane_adapters.qdrant import filters, rows
from memplane_adapters.qdrant.engine import Engine, check_completed
from memplane_adapters.qdrant.rows import Version

_log = logging.getLogger("memplane.store")

APPLIED: Final = WriteResult(WriteStatus.APPLIED)
CONFLICT: Final = WriteResult(WriteStatus.CONFLICT)
MISSING: Final = WriteResult(WriteStatus.MISSING)

_KEPT_VERSIONS: Final = 10_000
_ATTEMPTS: Final = 8
_HISTORY: Final = [rows.REVISION, rows.WRITE, rows.WRITES]


@dataclass(frozen=True, slots=True)
class _Attempt:
    """One write or delete, on top of what stood there when it was looked at."""

    index: int
    item: Write[Point] | Delete
    base: Version | None
    write: str

    @property
    def id(self) -> str:
        return rows.id_of(_address(self.item))

    def point(self) -> models.PointStruct:
        if isinstance(self.item, Write):
            return rows.to_point(self.item.entry, self.write, self.base)
        assert self.base is not None, "only what is there is deleted"
        return rows.to_mark(self.item.address, self.write, self.base)


class Writer:
    """Writes to the points of one store."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._versions: OrderedDict[tuple[str, str], Version] = OrderedDict()

    def remember(self, collection: str, point_id: str, version: Version) -> None:
        """Keep what was read, so that a write that follows need not read it again."""
        self._versions[collection, point_id] = version
        self._versions.move_to_end((collection, point_id))
        if len(self._versions) > _KEPT_VERSIONS:
            self._versions.popitem(last=False)

    async def upsert(self, collection: str, writes: Sequence[Write[Point]]) -> list[WriteResult]:
        """Write points. Those of one address in a batch go one after the other."""
        return await self._in_turns(collection, writes)

    async def delete(self, collection: str, deletes: Sequence[Delete]) -> list[WriteResult]:
        """Delete points."""
        return await self._in_turns(collection, deletes)

    async def _in_turns(
        self, collection: str, items: Sequence[Write[Point]] | Sequence[Delete]
    ) -> list[WriteResult]:
        results: dict[int, WriteResult] = {}
        for turn in _turns([_address(item) for item in items]):
            await self._settle(collection, {index: items[index] for index in turn}, results)
        return [results[index] for index in range(len(items))]

    async def _settle(
        self,
        collection: str,
        items: dict[int, Write[Point] | Delete],
        results: dict[int, WriteResult],
    ) -> None:
        """Carry out items of different addresses. Raises only while nothing has been applied."""
        versions = await self._look(collection, items.values())
        for _ in range(_ATTEMPTS):
            attempts = []
            for index, item in items.items():
                base = versions.get(rows.id_of(_address(item)))
                verdict = _verdict(item, base)
                if verdict is None:
                    attempts.append(_Attempt(index, item, base, rows.new_write()))
                else:
                    results[index] = verdict
            versions = await self._try(collection, attempts, results)
            items = {one.index: one.item for one in attempts if one.index not in results}
            if not items:
                return
        results.update(dict.fromkeys(items, _unsettled()))

    async def _try(
        self, collection: str, attempts: Sequence[_Attempt], results: dict[int, WriteResult]
    ) -> dict[str, Version]:
        """Send attempts and note those that came to an end; what stands there for the others."""
        versions: dict[str, Version] = {}
        failure: StoreError | None = None
        for mode, part in _by_mode(attempts):
            try:
                if failure is not None:
                    raise _not_sent(failure)
                await self._send(collection, part, mode)
                if mode is models.UpdateMode.UPSERT:
                    results.update({one.index: APPLIED for one in part})
                else:
                    now = await self._read_again(collection, part)
                    versions |= now
                    self._judge(collection, part, now, results)
            except StoreError as error:
                if APPLIED not in results.values():
                    raise
                failure = failure or error
                failed = WriteResult(WriteStatus.FAILED, error)
                results.update({one.index: failed for one in part})
        await self._remove_marks(collection, [one for one in attempts if _marks(one, results)])
        return versions

    async def _send(
        self, collection: str, attempts: Sequence[_Attempt], mode: models.UpdateMode
    ) -> None:
        bases = [one.base.write for one in attempts if one.base is not None]
        on_top_of = models.Filter(must=[filters.of_writes(bases)]) if bases else None
        check_completed(
            await self._engine.call(
                "upsert",
                collection_name=collection,
                points=[one.point() for one in attempts],
                wait=True,
                ordering=models.WriteOrdering.STRONG,
                update_filter=on_top_of,
                update_mode=mode,
            )
        )

    def _judge(
        self,
        collection: str,
        attempts: Sequence[_Attempt],
        now: dict[str, Version],
        results: dict[int, WriteResult],
    ) -> None:
        for one in attempts:
            there = now.get(one.id)
            if there is not None:
                self.remember(collection, one.id, there)
            if there is not None and there.has(one.write):
                results[one.index] = APPLIED
            elif there is None and isinstance(one.item, Write):
                # Deleted since, whether it was applied or not.
                results[one.index] = CONFLICT

    async def _look(
        self, collection: str, items: Iterable[Write[Point] | Delete]
    ) -> dict[str, Version]:
        """What the items stand on, as far as they have to know."""
        found: dict[str, Version] = {}
        unknown: list[str] = []
        for item in items:
            point_id = rows.id_of(_address(item))
            known = self._versions.get((collection, point_id))
            if isinstance(item, Write) and not item.expected:
                continue
            if known is not None and item.expected == known.revision:
                found[point_id] = known
            else:
                unknown.append(point_id)
        return found | await self._read(collection, unknown)

    async def _read_again(
        self, collection: str, attempts: Sequence[_Attempt]
    ) -> dict[str, Version]:
        try:
            return await self._read(collection, [one.id for one in attempts])
        except StoreError as error:
            raise after_write(error) from error

    async def _read(self, collection: str, ids: Sequence[str]) -> dict[str, Version]:
        if not ids:
            return {}
        found: list[models.Record] = await self._engine.call(
            "retrieve",
            collection_name=collection,
            ids=list(ids),
            with_payload=_HISTORY,
            with_vectors=False,
        )
        return {str(point.id): rows.version_of(point.payload) for point in found}

    async def _remove_marks(self, collection: str, marks: Sequence[_Attempt]) -> None:
        if not marks:
            return
        try:
            await delete_as_seen(self._engine, collection, {one.id: one.write for one in marks})
        except StoreError:
            # The rows are gone for every reader; a mark that stays costs a few bytes.
            _log.warning("marks of deletes stay in Qdrant", exc_info=True)


async def delete_as_seen(engine: Engine, collection: str, writes: dict[str, str]) -> None:
    """Delete points (by id) as long as the write that made them is the newest."""
    seen: list[models.Condition] = [
        filters.of_ids(list(writes)),
        filters.of_writes(list(writes.values())),
    ]
    check_completed(
        await engine.call(
            "delete",
            collection_name=collection,
            points_selector=models.FilterSelector(filter=models.Filter(must=seen)),
            wait=True,
            ordering=models.WriteOrdering.STRONG,
        )
    )


def _address(item: Write[Point] | Delete) -> Address:
    return item.entry.address if isinstance(item, Write) else item.address


def _turns(keys: Sequence[Hashable]) -> list[list[int]]:
    """The indexes of keys in as few lists as it takes to have no key twice in one."""
    turns: list[list[int]] = []
    seen: dict[Hashable, int] = {}
    for index, key in enumerate(keys):
        turn = seen.get(key, 0)
        seen[key] = turn + 1
        if turn == len(turns):
            turns.append([])
        turns[turn].append(index)
    return turns


def _verdict(item: Write[Point] | Delete, base: Version | None) -> WriteResult | None:
    """What is clear from what stands there; None when it has to be tried."""
    revision = 0 if base is None else base.revision
    if isinstance(item, Write):
        return None if item.expected in (None, revision) else CONFLICT
    if revision == 0:
        return CONFLICT if item.expected else MISSING
    return None if item.expected in (None, revision) else CONFLICT


def _by_mode(
    attempts: Sequence[_Attempt],
) -> list[tuple[models.UpdateMode, list[_Attempt]]]:
    parts: dict[models.UpdateMode, list[_Attempt]] = {}
    for one in attempts:
        if isinstance(one.item, Write) and one.item.expected is None:
            mode = models.UpdateMode.UPSERT
        elif one.base is None:
            mode = models.UpdateMode.INSERT_ONLY
        else:
            mode = models.UpdateMode.UPDATE_ONLY
        parts.setdefault(mode, []).append(one)
    return list(parts.items())


def _marks(attempt: _Attempt, results: dict[int, WriteResult]) -> bool:
    return isinstance(attempt.item, Delete) and results.get(attempt.index) is APPLIED


def _not_sent(failure: StoreError) -> StoreError:
    return StoreError(
        failure.reason,
        f"not sent, since a part before failed: {failure}",
        retryable=failure.retryable,
        retry_after=failure.retry_after,
    )


def _unsettled() -> WriteResult:
    error = StoreError(
        StoreReason.UNAVAILABLE, "the row was written again all the time", retryable=True
    )
    return WriteResult(WriteStatus.FAILED, error)
