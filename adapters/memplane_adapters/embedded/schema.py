"""The tables, as ordered migrations. A released migration is never edited: add one behind it."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from memplane_adapters.contract import StoreError, StoreReason

APPLICATION_ID = 0x4D454D50
"""What says that a SQLite file is ours ("MEMP")."""

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        # What belongs together and never meets anything else: one tenant's memories of one kind.
        # `keywords` says that the full-text table terms_<id> is there.
        """
        create table partition (
            id integer primary key,
            tenant text not null,
            kind text not null,
            keywords integer not null default 0,
            unique (tenant, kind)
        ) strict
        """,
        # What made the vectors and terms of a kind.
        """
        create table collection (
            kind text primary key,
            provider text not null,
            model text not null,
            dimension integer not null,
            metric text not null,
            normalized integer not null,
            analyzer text not null
        ) strict, without rowid
        """,
        # `namespace` holds each label in UTF-8 followed by a zero byte; `fields` is typed JSON (see
        # kit/codec.py); `vector` is float32, little-endian. What is long stands last.
        """
        create table memory (
            id integer primary key,
            partition integer not null,
            namespace blob not null,
            key text not null,
            revision integer not null,
            update_time integer not null,
            time integer not null,
            expire_time integer,
            fields text not null,
            vector blob,
            text text not null,
            record blob not null
        ) strict
        """,
        "create unique index memory_place on memory (partition, namespace, key)",
        # Ties go by place ascending in both directions. Newest first is what is asked most, so it
        # is read off the index; the other direction sorts each group of ties.
        """
        create index memory_update_time
            on memory (partition, update_time desc, namespace, key)
        """,
        "create index memory_time on memory (partition, time desc, namespace, key)",
        """
        create index memory_expire_time on memory (partition, expire_time, namespace)
            where expire_time is not null
        """,
    ),
)


def migrate(connection: sqlite3.Connection, path: Path) -> None:
    """Bring a file to the newest schema; refuse one that is not ours or that is newer than we."""
    version = _pragma(connection, "user_version")
    empty = connection.execute("select count(*) from sqlite_master").fetchone()[0] == 0
    if _pragma(connection, "application_id") != APPLICATION_ID and not empty:
        raise StoreError(
            StoreReason.MISCONFIGURED, f"{path} is a SQLite file, but not one of Memplane"
        )
    if version > len(MIGRATIONS):
        raise StoreError(
            StoreReason.MISCONFIGURED,
            f"{path} was written by a newer Memplane (schema {version}; this one knows up to "
            f"{len(MIGRATIONS)}); start that one, or give this one another directory",
        )
    for number, statements in enumerate(MIGRATIONS[version:], start=version + 1):
        connection.execute("begin immediate")
        try:
            for statement in statements:
                connection.execute(statement)
            connection.execute(f"pragma application_id = {APPLICATION_ID}")
            connection.execute(f"pragma user_version = {number}")
            connection.execute("commit")
        except BaseException:
            if connection.in_transaction:
                connection.execute("rollback")
            raise


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    value: int = connection.execute(f"pragma {name}").fetchone()[0]
    return value
