"""The statements on one memory row, and on rows by their ids. All SQL that writes is here."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from memplane_adapters.contract import (
    Address,
    Collection,
    Delete,
    EmbeddingIdentity,
    Entry,
    Fields,
    Kind,
    Point,
    Stored,
    StoreError,
    StoreReason,
    Write,
    WriteResult,
    WriteStatus,
)
from memplane_adapters.embedded.codec import decode_vector, encode_vector
from memplane_adapters.embedded.vectors import NEVER, Change, LoadedRow, VectorRow
from memplane_adapters.embedded.writer import Transaction
from memplane_adapters.kit.codec import decode_fields, encode_fields, encode_namespace

APPLIED = WriteResult(WriteStatus.APPLIED)
CONFLICT = WriteResult(WriteStatus.CONFLICT)
MISSING = WriteResult(WriteStatus.MISSING)
_FIRST_ROWS = 16
NOT_TRIED = WriteResult(WriteStatus.FAILED)
"""Taken back because another one of an atomic batch failed."""


class Partition(NamedTuple):
    """One tenant's memories of one kind."""

    id: int
    keywords: bool
    """Whether the full-text table is there."""


def partition_of(connection: sqlite3.Connection, tenant: str, kind: Kind) -> Partition | None:
    """The partition, if anything was ever written to it."""
    row = connection.execute(
        "select id, keywords from partition where tenant = ? and kind = ?", (tenant, kind.value)
    ).fetchone()
    return None if row is None else Partition(row[0], bool(row[1]))


def terms_table(partition: int) -> str:
    """The name of a partition's full-text table: BM25 then knows nothing of other tenants."""
    return f"terms_{partition}"


def collections(connection: sqlite3.Connection) -> dict[Kind, Collection]:
    """What each kind was made with."""
    return {
        Kind(kind): Collection(
            Kind(kind),
            EmbeddingIdentity(provider, model, dimension, metric, bool(normalized)),
            analyzer,
        )
        for kind, provider, model, dimension, metric, normalized, analyzer in connection.execute(
            "select kind, provider, model, dimension, metric, normalized, analyzer from collection"
        )
    }


def write(transaction: Transaction, write: Write[Entry]) -> WriteResult:
    """Insert or replace one row if the expected revision is there."""
    entry, connection = write.entry, transaction.connection
    try:
        values = _values(entry)
    except ValueError as error:  # NaN, an unpaired surrogate, U+0000 in a label
        return _refused(StoreReason.PROTOCOL, f"{entry.address} cannot be stored: {error}")
    address = entry.address
    partition = partition_of(connection, address.tenant, address.kind)
    found = None if partition is None else _find(connection, partition.id, address)
    if write.expected is not None and write.expected != (0 if found is None else found[1]):
        return CONFLICT
    if partition is None:
        partition_id = connection.execute(
            "insert into partition (tenant, kind) values (?, ?)",
            (address.tenant, address.kind.value),
        ).lastrowid
        assert partition_id is not None
        partition = Partition(partition_id, keywords=False)
    try:
        if found is None:
            row_id = transaction.new_id()
            connection.execute(_INSERT, (*values, row_id, partition.id, *_place(address)))
        else:
            row_id = found[0]
            connection.execute(_UPDATE, (*values, row_id))
    except sqlite3.DataError as error:  # over SQLite's limit for one string, blob or row
        return _refused(StoreReason.ITEM_TOO_LARGE, f"{address}: {error}")
    vector = None
    if isinstance(entry, Point):
        vector = _vector_row(row_id, entry)
        _write_terms(connection, partition, row_id, entry.terms, replaces=found is not None)
    transaction.changes.append(Change(partition.id, row_id, vector))
    return APPLIED


def delete(transaction: Transaction, delete: Delete) -> WriteResult:
    """Delete one row if the expected revision is there."""
    connection, address = transaction.connection, delete.address
    partition = partition_of(connection, address.tenant, address.kind)
    found = None if partition is None else _find(connection, partition.id, address)
    if partition is None or found is None:
        return MISSING if delete.expected in (None, 0) else CONFLICT
    if delete.expected not in (None, found[1]):
        return CONFLICT
    delete_rows(transaction, partition.id, [found])
    return APPLIED


def delete_rows(transaction: Transaction, partition: int, rows: Iterable[tuple[int, int]]) -> int:
    """Delete rows by id, those only that still have the revision; says how many."""
    connection = transaction.connection
    (keywords,) = connection.execute(
        "select keywords from partition where id = ?", (partition,)
    ).fetchone()
    forget = _FORGET.format(terms_table(partition))
    deleted = 0
    for row_id, revision in rows:
        if connection.execute(_DELETE, (row_id, revision)).rowcount:
            deleted += 1
            if keywords:
                connection.execute(forget, (row_id,))
            transaction.changes.append(Change(partition, row_id, None))
    return deleted


def fetch(
    connection: sqlite3.Connection, addresses: Sequence[Address], *, vectors: bool
) -> list[Stored | None]:
    """Rows by address; None where there is none."""
    statement = _FETCH_WITH_VECTOR if vectors else _FETCH
    partitions: dict[tuple[str, Kind], Partition | None] = {}
    found: list[Stored | None] = []
    for address in addresses:
        who = address.tenant, address.kind
        if who not in partitions:
            partitions[who] = partition_of(connection, *who)
        partition = partitions[who]
        row = None
        if partition is not None:
            row = connection.execute(statement, (partition.id, *_place(address))).fetchone()
        found.append(None if row is None else _stored(*row))
    return found


def load_rows(
    connection: sqlite3.Connection, ids: Sequence[int], *, vectors: bool
) -> dict[int, Stored]:
    """What callers get of rows, by id."""
    statement = _LOAD_WITH_VECTOR if vectors else _LOAD
    return {
        row_id: _stored(record, vector)
        for row_id, record, vector in connection.execute(statement, (json.dumps(ids),))
    }


def load_in_order(
    connection: sqlite3.Connection, ids: Sequence[int], *, vectors: bool, max_bytes: int
) -> list[Stored]:
    """Rows in the order of their ids, as far as `max_bytes` reach; the one that passes it is last."""
    loaded: list[Stored] = []
    size, step = 0, _FIRST_ROWS
    while len(loaded) < len(ids) and size < max_bytes:
        part = ids[len(loaded) : len(loaded) + step]
        rows = load_rows(connection, part, vectors=vectors)
        for row_id in part:
            row = rows[row_id]
            loaded.append(row)
            size += row.size
            if size >= max_bytes:
                break
        # As many as will fit if they are like those so far.
        step = max(1, (max_bytes - size) * len(loaded) // max(size, 1))
    return loaded


def load_fields(
    connection: sqlite3.Connection, ids: Sequence[int]
) -> dict[int, tuple[int, Fields]]:
    """Revision and fields of rows, by id."""
    return {
        row_id: (revision, decode_fields(fields))
        for row_id, revision, fields in connection.execute(_LOAD_FIELDS, (json.dumps(ids),))
    }


def load_vectors(connection: sqlite3.Connection, partition: int, dimension: int) -> list[LoadedRow]:
    """All vectors of a partition, in no order."""
    found: list[LoadedRow] = connection.execute(_LOAD_VECTORS, (partition,)).fetchall()
    for row_id, *_, data in found:
        if len(data) != 4 * dimension:
            raise StoreError(
                StoreReason.DAMAGED, f"row {row_id} holds {len(data)} bytes for {dimension} floats"
            )
    return found


def _values(entry: Entry) -> tuple[object, ...]:
    """The columns that a write sets; raises ValueError for what cannot be encoded."""
    vector, text, fields = None, "", encode_fields(entry.fields)
    if isinstance(entry, Point):
        vector = None if entry.vector is None else encode_vector(entry.vector)
        text = entry.text
    encode_namespace(entry.address.namespace)
    f"{entry.address.tenant}{entry.address.key}{text}{fields}".encode()
    return (
        entry.revision,
        entry.update_time,
        entry.time,
        entry.expire_time,
        fields,
        vector,
        text,
        entry.record,
    )


def _place(address: Address) -> tuple[bytes, str]:
    return encode_namespace(address.namespace), address.key


def _find(
    connection: sqlite3.Connection, partition: int, address: Address
) -> tuple[int, int] | None:
    row: tuple[int, int] | None = connection.execute(
        "select id, revision from memory where partition = ? and namespace = ? and key = ?",
        (partition, *_place(address)),
    ).fetchone()
    return row


def _vector_row(row_id: int, point: Point) -> VectorRow | None:
    if point.vector is None:
        return None
    return VectorRow(
        row_id,
        encode_namespace(point.address.namespace),
        point.revision,
        point.time,
        NEVER if point.expire_time is None else point.expire_time,
        point.vector,
    )


def _write_terms(
    connection: sqlite3.Connection,
    partition: Partition,
    row_id: int,
    terms: Sequence[str],
    *,
    replaces: bool,
) -> None:
    table = terms_table(partition.id)
    if partition.keywords and replaces:
        connection.execute(_FORGET.format(table), (row_id,))
    if not terms:
        return
    if not partition.keywords:
        # The terms are analysed already: letters and digits, which this tokenizer leaves alone.
        connection.execute(f"create virtual table {table} using fts5 (terms, tokenize = 'ascii')")
        connection.execute("update partition set keywords = 1 where id = ?", (partition.id,))
    connection.execute(_REMEMBER.format(table), (row_id, " ".join(terms)))


def _stored(record: bytes, vector: bytes | None) -> Stored:
    return Stored(record, None if vector is None else decode_vector(vector))


def _refused(reason: StoreReason, message: str) -> WriteResult:
    return WriteResult(WriteStatus.FAILED, StoreError(reason, message))


_INSERT = """
    insert into memory (revision, update_time, time, expire_time, fields, vector, text, record,
                        id, partition, namespace, key)
    values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_UPDATE = """
    update memory set revision = ?, update_time = ?, time = ?, expire_time = ?, fields = ?,
                      vector = ?, text = ?, record = ?
    where id = ?
"""
_DELETE = "delete from memory where id = ? and revision = ?"
_FORGET = "delete from {} where rowid = ?"
_REMEMBER = "insert into {} (rowid, terms) values (?, ?)"
_FETCH = """
    select record, null from memory where partition = ? and namespace = ? and key = ?
"""
_FETCH_WITH_VECTOR = """
    select record, vector from memory where partition = ? and namespace = ? and key = ?
"""
_LOAD = """
    select id, record, null from memory where id in (select value from json_each(?))
"""
_LOAD_WITH_VECTOR = """
    select id, record, vector from memory where id in (select value from json_each(?))
"""
_LOAD_FIELDS = """
    select id, revision, fields from memory where id in (select value from json_each(?))
"""
_LOAD_VECTORS = """
    select id, namespace, revision, time, coalesce(expire_time, 9223372036854775807), vector
    from memory where partition = ? and vector is not null
"""
