"""The statements on entries by their ids. All SQL that writes is here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from memplane_adapters.contract import (
    Address,
    Delete,
    Entry,
    Stored,
    StoreError,
    StoreReason,
    Write,
    WriteResult,
    WriteStatus,
    point_id,
)
from memplane_adapters.kit.codec import decode_namespace, encode_fields, encode_namespace
from memplane_adapters.postgres.engine import Session
from memplane_adapters.postgres.schema import Layout

APPLIED: Final = WriteResult(WriteStatus.APPLIED)
CONFLICT: Final = WriteResult(WriteStatus.CONFLICT)
MISSING: Final = WriteResult(WriteStatus.MISSING)
NOT_TRIED: Final = WriteResult(WriteStatus.FAILED)
"""Taken back because another one of an atomic batch was not applied."""


def encode_place(namespace: tuple[str, ...], key: str) -> bytes:
    """Namespace and key as bytes that sort as they do."""
    if "\0" in key:
        raise ValueError("a key holds U+0000")
    return encode_namespace(namespace) + b"\0" + key.encode()


def decode_place(place: bytes) -> tuple[tuple[str, ...], str]:
    """Namespace and key."""
    namespace, _, key = place.rpartition(b"\0")
    return decode_namespace(namespace), key.decode()


class Rows:
    """Entries in the tables of one schema."""

    def __init__(self, layout: Layout) -> None:
        self._put = layout.statement(_PUT)
        self._put_any = layout.statement(_INSERT + _REPLACE)
        self._put_first = layout.statement(_INSERT + _KEEP)
        self._put_next = layout.statement(_UPDATE)
        self._delete = layout.statement(_DELETE)
        self._fetch = layout.statement(_FETCH)
        self._fetch_one = layout.statement(_FETCH_ONE)

    async def get(self, session: Session, addresses: Sequence[Address]) -> list[Stored | None]:
        """Rows by address; None where there is none."""
        ids = [point_id(address) for address in addresses]
        if len(ids) == 1:
            rows = await session.rows(self._fetch_one, ids[0])
            return [Stored(rows[0][0]) if rows else None]
        found = await self.load(session, ids)
        return [found.get(one) for one in ids]

    async def load(self, session: Session, ids: Sequence[UUID]) -> dict[UUID, Stored]:
        """Rows by id, as far as they are there."""
        return {one: Stored(record) for one, record in await session.rows(self._fetch, list(ids))}

    async def put(
        self, session: Session, writes: Sequence[Write[Entry]], *, atomic: bool
    ) -> list[WriteResult]:
        """Write entries in the order of the batch, each if the expected revision is there.

        An entry that expects nothing is not written over one of a later revision.
        """
        results: dict[int, WriteResult] = {}
        batch = _Batch()
        for index, write in enumerate(writes):
            try:
                batch.add(index, *_columns(write))
            except ValueError as error:  # NaN, an unpaired surrogate, U+0000 in a label
                results[index] = _refused(write.entry, error)
        if len(writes) == 1 and not results:
            return [await self._put_one(session, *batch.only())]
        if results and atomic:
            return [results.get(index, NOT_TRIED) for index in range(len(writes))]

        async def one_wave(wave: _Wave) -> Mapping[int, WriteResult]:
            applied = {row[0] for row in await session.rows(self._put, *wave.columns())}
            return {index: APPLIED if one in applied else CONFLICT for index, one in wave.indexes()}

        results.update(await _carry_out(session, batch, one_wave, atomic=atomic))
        return [results[index] for index in range(len(writes))]

    async def _put_one(
        self, session: Session, one: UUID, expected: int | None, *columns: object
    ) -> WriteResult:
        """As a batch of one, by a plainer statement."""
        if expected:
            # Tenant, kind and place stand in the id.
            revision, update_time, time, expire_time, _, _, _, fields, record = columns
            values = (revision, update_time, time, expire_time, fields, record)
            touched = await session.run(self._put_next, one, expected, *values)
        else:
            statement = self._put_any if expected is None else self._put_first
            touched = await session.run(statement, one, *columns)
        return APPLIED if touched else CONFLICT

    async def delete(
        self, session: Session, deletes: Sequence[Delete], *, atomic: bool
    ) -> list[WriteResult]:
        """Delete entries in the order of the batch, each if the expected revision is there."""
        batch = _Batch()
        for index, delete in enumerate(deletes):
            batch.add(index, point_id(delete.address), delete.expected)

        async def one_wave(wave: _Wave) -> Mapping[int, WriteResult]:
            there: dict[UUID, bool] = dict(await session.rows(self._delete, *wave.columns()))
            return {
                index: _deleted(deletes[index], is_gone=there.get(one))
                for index, one in wave.indexes()
            }

        results = await _carry_out(session, batch, one_wave, atomic=atomic)
        return [results[index] for index in range(len(deletes))]

    async def delete_rows(self, session: Session, rows: Iterable[tuple[UUID, int]]) -> int:
        """Delete rows by id, those only that still have the revision; says how many."""
        ids, revisions = zip(*rows, strict=True)
        there = await session.rows(self._delete, list(ids), list(revisions))
        return sum(is_gone for _, is_gone in there)


@dataclass(slots=True)
class _Wave:
    """Items of a batch that are about different ids: one statement."""

    rows: dict[UUID, tuple[int, tuple[object, ...]]] = field(default_factory=dict)
    """By id: the index in the batch, and the row to send."""

    def columns(self) -> list[list[object]]:
        """What is sent, column by column."""
        return [
            list(column) for column in zip(*(row for _, row in self.rows.values()), strict=True)
        ]

    def indexes(self) -> Iterable[tuple[int, UUID]]:
        return ((index, one) for one, (index, _) in self.rows.items())


@dataclass(slots=True)
class _Batch:
    """Items in waves: the second write of an address comes with the second wave."""

    waves: list[_Wave] = field(default_factory=list)
    _seen: dict[UUID, int] = field(default_factory=dict)

    def only(self) -> tuple[Any, ...]:
        """The row to send of the one item."""
        ((_, row),) = self.waves[0].rows.values()
        return row

    def add(self, index: int, one: UUID, *rest: object) -> None:
        number = self._seen.get(one, 0)
        self._seen[one] = number + 1
        if number == len(self.waves):
            self.waves.append(_Wave())
        self.waves[number].rows[one] = (index, (one, *rest))


async def _carry_out(
    session: Session,
    batch: _Batch,
    one_wave: Callable[[_Wave], Awaitable[Mapping[int, WriteResult]]],
    *,
    atomic: bool,
) -> dict[int, WriteResult]:
    """Each wave in turn; all or nothing of them is there when it breaks off."""
    results: dict[int, WriteResult] = {}
    if not atomic and len(batch.waves) <= 1:
        for wave in batch.waves:
            results.update(await one_wave(wave))
        return results
    await session.begin()
    for wave in batch.waves:
        results.update(await one_wave(wave))
    if not atomic or _DONE.issuperset(result.status for result in results.values()):
        await session.commit()
        return results
    await session.undo()
    return {index: NOT_TRIED if one is APPLIED else one for index, one in results.items()}


def _columns(write: Write[Entry]) -> tuple[UUID, *tuple[object, ...]]:
    """The row to send; raises ValueError for what cannot be encoded."""
    entry, address = write.entry, write.entry.address
    fields = encode_fields(entry.fields)
    f"{address.tenant}{fields}".encode()
    if "\0" in address.tenant:
        raise ValueError("a tenant holds U+0000")
    return (
        point_id(address),
        write.expected,
        entry.revision,
        entry.update_time,
        entry.time,
        entry.expire_time,
        address.tenant,
        address.kind.value,
        encode_place(address.namespace, address.key),
        fields,
        entry.record,
    )


def _refused(entry: Entry, error: ValueError) -> WriteResult:
    refusal = StoreError(StoreReason.PROTOCOL, f"{entry.address} cannot be stored: {error}")
    return WriteResult(WriteStatus.FAILED, refusal)


def _deleted(delete: Delete, *, is_gone: bool | None) -> WriteResult:
    """What became of a delete; None where there was no row."""
    if is_gone is None:
        return MISSING if delete.expected in (None, 0) else CONFLICT
    return APPLIED if is_gone else CONFLICT


_DONE: Final = frozenset({WriteStatus.APPLIED, WriteStatus.MISSING})
"""What does not undo an atomic batch."""

# Rows that are there are locked in the order of their ids before anything is written, so that
# batches of several callers wait for each other and never in a ring. Then they are compared as they
# are after the wait. What was made meanwhile by others is met by "on conflict".
_PUT: Final = """
    with given as (
        select * from unnest(
            $1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[],
            $7::text[], $8::text[], $9::bytea[], $10::text[], $11::bytea[]
        ) as given (
            id, expected, revision, update_time, time, expire_time, tenant, kind, place, fields,
            record
        )
    ),
    held as materialized (
        select id, revision from {schema}.entry where id = any ($1::uuid[]) order by id for update
    ),
    changed as (
        update {schema}.entry as entry
        set revision = given.revision, update_time = given.update_time, time = given.time,
            expire_time = given.expire_time, fields = given.fields, record = given.record
        from given join held on held.id = given.id
        where entry.id = given.id and case
            when given.expected is null then given.revision >= held.revision
            else given.expected = held.revision
        end
        returning entry.id
    ),
    made as (
        insert into {schema}.entry as entry
            (id, revision, update_time, time, expire_time, tenant, kind, place, fields, record)
        select id, revision, update_time, time, expire_time, tenant, kind, place, fields, record
        from given
        where expected is null and not exists (select from held where held.id = given.id)
        order by id
        on conflict (id) do update
        set revision = excluded.revision, update_time = excluded.update_time,
            time = excluded.time, expire_time = excluded.expire_time, fields = excluded.fields,
            record = excluded.record
        where excluded.revision >= entry.revision
        returning id
    ),
    made_first as (
        insert into {schema}.entry
            (id, revision, update_time, time, expire_time, tenant, kind, place, fields, record)
        select id, revision, update_time, time, expire_time, tenant, kind, place, fields, record
        from given
        where expected = 0 and not exists (select from held where held.id = given.id)
        order by id
        on conflict (id) do nothing
        returning id
    )
    select id from changed union all select id from made union all select id from made_first
"""
_DELETE: Final = """
    with given as (
        select * from unnest($1::uuid[], $2::bigint[]) as given (id, expected)
    ),
    held as materialized (
        select id, revision from {schema}.entry where id = any ($1::uuid[]) order by id for update
    ),
    gone as (
        delete from {schema}.entry as entry
        using given join held on held.id = given.id
        where entry.id = given.id and coalesce(given.expected = held.revision, true)
        returning entry.id
    )
    select held.id, gone.id is not null from held left join gone on gone.id = held.id
"""
_INSERT: Final = """
    insert into {schema}.entry as entry
        (id, revision, update_time, time, expire_time, tenant, kind, place, fields, record)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
    on conflict (id) do
"""
_KEEP: Final = "nothing"
_REPLACE: Final = """
    update
    set revision = excluded.revision, update_time = excluded.update_time, time = excluded.time,
        expire_time = excluded.expire_time, fields = excluded.fields, record = excluded.record
    where excluded.revision >= entry.revision
"""
_UPDATE: Final = """
    update {schema}.entry
    set revision = $3, update_time = $4, time = $5, expire_time = $6, fields = $7, record = $8
    where id = $1 and revision = $2
"""
_FETCH_ONE: Final = "select record from {schema}.entry where id = $1"
_FETCH: Final = "select id, record from {schema}.entry where id = any ($1::uuid[])"
