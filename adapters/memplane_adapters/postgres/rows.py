"""The statements on rows by their ids. All SQL that writes is here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeAlias, TypeVar
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
from memplane_adapters.kit.codec import decode_namespace, encode_namespace
from memplane_adapters.postgres.engine import Session
from memplane_adapters.postgres.packing import pack_all, unpack
from memplane_adapters.postgres.schema import Layout
from memplane_adapters.postgres.tables import Column, Table

EntryT = TypeVar("EntryT", bound=Entry)
Encode: TypeAlias = Callable[[EntryT], tuple[object, ...]]
"""Makes what a table's own columns are sent; raises ValueError, or StoreError, for what cannot be."""

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


def stored(record: bytes, vector: bytes | None = None) -> Stored:
    """A row as it is given back."""
    return Stored(record, None if vector is None else unpack(vector))


class Rows(Generic[EntryT]):
    """The rows of one table."""

    def __init__(self, layout: Layout, table: Table, encode: Encode[EntryT]) -> None:
        self._encode = encode
        self._packed = [(number, one.oid) for number, one in enumerate(_sent(table), 2) if one.oid]
        sql = {name: layout.statement(text) for name, text in _statements(table).items()}
        self._fetch = {False: sql["fetch"], True: sql["fetch whole"]}
        self._fetch_one = {False: sql["fetch one"], True: sql["fetch one whole"]}
        self._put, self._delete = sql["put"], sql["delete"]
        self._put_any, self._put_first = sql["put any"], sql["put first"]
        self._put_next = sql["put next"]

    async def get(
        self, session: Session, addresses: Sequence[Address], *, vectors: bool = False
    ) -> list[Stored | None]:
        """Rows by address; None where there is none."""
        ids = [point_id(address) for address in addresses]
        if len(ids) == 1:
            rows = await session.rows(self._fetch_one[vectors], ids[0])
            return [stored(*rows[0]) if rows else None]
        found = await self.load(session, ids, vectors=vectors)
        return [found.get(one) for one in ids]

    async def load(
        self, session: Session, ids: Sequence[UUID], *, vectors: bool = False
    ) -> dict[UUID, Stored]:
        """Rows by id, as far as they are there."""
        rows = await session.rows(self._fetch[vectors], list(ids))
        return {one: stored(*payload) for one, *payload in rows}

    async def put(
        self, session: Session, writes: Sequence[Write[EntryT]], *, atomic: bool
    ) -> list[WriteResult]:
        """Write entries in the order of the batch, each if the expected revision is there.

        An entry that expects nothing is not written over one of a later revision.
        """
        results: dict[int, WriteResult] = {}
        batch = _Batch()
        for index, write in enumerate(writes):
            try:
                batch.add(index, *_columns(write), *self._encode(write.entry))
            except (ValueError, StoreError) as error:  # NaN, an unpaired surrogate, U+0000
                results[index] = _refused(write.entry, error)
        if len(writes) == 1 and not results:
            return [await self._put_one(session, *batch.only())]
        if results and atomic:
            return [results.get(index, NOT_TRIED) for index in range(len(writes))]

        async def one_wave(wave: _Wave) -> Mapping[int, WriteResult]:
            columns: list[Any] = wave.columns()
            for number, oid in self._packed:
                columns[number] = pack_all(columns[number], oid)
            applied = {row[0] for row in await session.rows(self._put, *columns)}
            return {index: APPLIED if one in applied else CONFLICT for index, one in wave.indexes()}

        results.update(await _carry_out(session, batch, one_wave, atomic=atomic))
        return [results[index] for index in range(len(writes))]

    async def _put_one(
        self, session: Session, one: UUID, expected: int | None, *columns: object
    ) -> WriteResult:
        """As a batch of one, by a plainer statement."""
        if expected:
            # Tenant, kind and place stand in the id.
            changing = (*columns[:_CHANGING], *columns[len(_COMMON) :])
            touched = await session.run(self._put_next, one, expected, *changing)
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


def _columns(write: Write[Any]) -> tuple[UUID, *tuple[object, ...]]:
    """What all tables are sent of a row; raises ValueError for what cannot be encoded."""
    entry: Entry = write.entry
    address = entry.address
    address.tenant.encode()
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
    )


def _refused(entry: Entry, error: ValueError | StoreError) -> WriteResult:
    if isinstance(error, StoreError):
        return WriteResult(WriteStatus.FAILED, error)
    refusal = StoreError(StoreReason.PROTOCOL, f"{entry.address} cannot be stored: {error}")
    return WriteResult(WriteStatus.FAILED, refusal)


def _deleted(delete: Delete, *, is_gone: bool | None) -> WriteResult:
    """What became of a delete; None where there was no row."""
    if is_gone is None:
        return MISSING if delete.expected in (None, 0) else CONFLICT
    return APPLIED if is_gone else CONFLICT


_DONE: Final = frozenset({WriteStatus.APPLIED, WriteStatus.MISSING})
"""What does not undo an atomic batch."""

_COMMON: Final = (
    *(Column("revision", "bigint"), Column("update_time", "bigint"), Column("time", "bigint")),
    *(Column("expire_time", "bigint"), Column("tenant", "text"), Column("kind", "text")),
    Column("place", "bytea"),
)
"""What all tables have beside the id."""
_CHANGING: Final = 4
"""So many of them may change; the others stand in the id."""
_WORDS: Final = (
    *(Column("owner", "bigint"), Column("length", "integer")),
    *(Column("words", "text", "bigint[]"), Column("times", "text", "smallint[]")),
)
"""What is kept of a row's terms, in a table of its own."""


def _sent(table: Table) -> tuple[Column, ...]:
    """What is sent of a row behind its id and what is expected there."""
    return (*_COMMON, *table.columns, *(_WORDS if table.words else ()))


def _statements(table: Table) -> dict[str, str]:
    """The statements that read and write, by name."""
    columns = (*_COMMON, *table.columns)
    sent = _sent(table)
    changing = (*_COMMON[:_CHANGING], *table.columns)
    texts = {
        "put": _PUT.replace("{worded}", _WORDED_TOO if table.words else ""),
        "put any": _alone(table, _INSERT + _REPLACE, len(columns) + 2),
        "put first": _alone(table, _INSERT + _KEEP, len(columns) + 2),
        "put next": _alone(table, _UPDATE, len(changing) + 3),
        "delete": _DELETE,
        "fetch": _FETCH.replace("{payload}", table.payload[0]),
        "fetch whole": _FETCH,
        "fetch one": _FETCH_ONE.replace("{payload}", table.payload[0]),
        "fetch one whole": _FETCH_ONE,
    }
    filled = {
        "{table}": table.name,
        "{reworded}": _REWORDED,
        "{words}": table.words,
        "{given}": ", ".join(("id", "expected", *(one.name for one in sent))),
        "{arrays}": ", ".join(f"${n}::{one.sent}[]" for n, one in enumerate(sent, 3)),
        "{columns}": ", ".join(one.name for one in columns),
        "{values}": ", ".join(one.value for one in columns),
        "{row}": ", ".join(_one_by_one(columns, 2)),
        "{from_given}": ", ".join(f"{one.name} = given.{one.value}" for one in changing),
        "{from_excluded}": ", ".join(f"{one.name} = excluded.{one.name}" for one in changing),
        "{from_arguments}": ", ".join(
            f"{one.name} = {value}"
            for one, value in zip(changing, _one_by_one(changing, 3), strict=True)
        ),
        "{words_given}": ", ".join(f"given.{one.value}" for one in _WORDS),
        "{payload}": ", ".join(table.payload),
    }
    for mark, value in filled.items():
        texts = {name: text.replace(mark, value) for name, text in texts.items()}
    return texts


def _alone(table: Table, statement: str, words_from: int) -> str:
    """A statement that writes one row, and its terms where they are kept."""
    if not table.words:
        return statement
    words = ", ".join(_one_by_one(_WORDS, words_from))
    return _WITH_WORDS.replace("{statement}", statement).replace("{words_sent}", words)


def _one_by_one(columns: Sequence[Column], first: int) -> Iterable[str]:
    for number, one in enumerate(columns, first):
        yield f"${number}::{one.sent}::{one.type}" if one.type else f"${number}::{one.sent}"


# Rows that are there are locked in the order of their ids before anything is written, so that
# batches of several callers wait for each other and never in a ring. Then they are compared as they
# are after the wait. What was made meanwhile by others is met by "on conflict".
_PUT: Final = """
    with given as (
        select * from unnest($1::uuid[], $2::bigint[], {arrays}) as given ({given})
    ),
    held as materialized (
        select id, revision from {table} where id = any ($1::uuid[]) order by id for update
    ),
    changed as (
        update {table} as entry set {from_given}
        from given join held on held.id = given.id
        where entry.id = given.id and case
            when given.expected is null then given.revision >= held.revision
            else given.expected = held.revision
        end
        returning entry.id
    ),
    made as (
        insert into {table} as entry (id, {columns})
        select id, {values} from given
        where expected is null and not exists (select from held where held.id = given.id)
        order by id
        on conflict (id) do update set {from_excluded} where excluded.revision >= entry.revision
        returning id
    ),
    made_first as (
        insert into {table} (id, {columns})
        select id, {values} from given
        where expected = 0 and not exists (select from held where held.id = given.id)
        order by id
        on conflict (id) do nothing
        returning id
    ),
    applied as (
        select id from changed union all select id from made union all select id from made_first
    )
    {worded}
    select id from applied
"""
_DELETE: Final = """
    with given as (
        select * from unnest($1::uuid[], $2::bigint[]) as given (id, expected)
    ),
    held as materialized (
        select id, revision from {table} where id = any ($1::uuid[]) order by id for update
    ),
    gone as (
        delete from {table} as entry
        using given join held on held.id = given.id
        where entry.id = given.id and coalesce(given.expected = held.revision, true)
        returning entry.id
    )
    select held.id, gone.id is not null from held left join gone on gone.id = held.id
"""
_INSERT: Final = """
    insert into {table} as entry (id, {columns}) values ($1, {row}) on conflict (id) do
"""
_KEEP: Final = "nothing"
_REPLACE: Final = "update set {from_excluded} where excluded.revision >= entry.revision"
_UPDATE: Final = "update {table} set {from_arguments} where id = $1 and revision = $2"

# The terms of a row are replaced, never deleted here: what another caller wrote while this one waited
# is met by "on conflict", and a delete would not see it.
_REWORDED: Final = """
    on conflict (id) do update
    set length = excluded.length, words = excluded.words, times = excluded.times
"""
_WORDED_TOO: Final = """
    , worded as (
        insert into {words} (id, owner, length, words, times)
        select given.id, {words_given} from given join applied on applied.id = given.id
        {reworded}
    )
"""
_WITH_WORDS: Final = """
    with put as ({statement} returning id),
    worded as (
        insert into {words} (id, owner, length, words, times) select id, {words_sent} from put
        {reworded}
    )
    select id from put
"""
_FETCH_ONE: Final = "select {payload} from {table} where id = $1"
_FETCH: Final = "select id, {payload} from {table} where id = any ($1::uuid[])"
