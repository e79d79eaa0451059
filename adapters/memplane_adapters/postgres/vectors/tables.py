"""The tables of a kind's points and of their terms; pure functions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from memplane_adapters.postgres.tables import HEAD_BYTES, Column, Table

_PAGE_BYTES: Final = 8_160
"""What PostgreSQL keeps in one place of a row at most."""
_BESIDE_BYTES: Final = 1_200
"""So much of a row may stand beside its vector before the record is put elsewhere."""


def points(name: str, extension: str, oid: int) -> Table:
    """The table of that name, as statements need it."""
    return Table(
        named("{table}", name),
        (
            Column("vector", f"{extension}.vector", number=oid),
            Column("tokens", "text", "text[]"),
            Column("numbers", "text", "jsonb"),
            Column("text", "text"),
            Column("record", "bytea"),
        ),
        head="head",
        payload=("record", "vector"),
        words=named("{words}", name),
    )


def named(text: str, name: str) -> str:
    """A statement with {table} and {words} filled in, those of a name that holds no quote."""
    return text.replace("{table}", f'{{schema}}."{name}"').replace(
        "{words}", f'{{schema}}."{name}-words"'
    )


def made(name: str, extension: str, dimension: int) -> Iterator[str]:
    """What makes the tables of a name."""
    inline = min(_PAGE_BYTES, 4 * dimension + _BESIDE_BYTES)
    for text in _MADE:
        filled = text.replace("{name}", name).replace("{vector}", f"{extension}.vector")
        filled = filled.replace("{dimension}", str(dimension)).replace("{inline}", str(inline))
        yield named(filled, name)


def indexed(name: str, extension: str) -> str:
    """What makes the index for HNSW."""
    return named(_INDEXED, name).replace("{name}", name).replace("{extension}", extension)


_MADE: Final = (
    # As `entry` of the key-values, with what vectors are found by. `head` is a column, since a policy
    # lets only plain comparisons near an index. `tokens` and `numbers` are what filters look at
    # (kit/typed.py). The vector stands in the row, the record beside it when it is long: a search
    # looks at all vectors of a scope, and at few records.
    f"""
    create table {{table}} (
        id uuid not null primary key,
        revision bigint not null,
        update_time bigint not null,
        time bigint not null,
        expire_time bigint,
        tenant text collate "C" not null,
        kind text collate "C" not null,
        place bytea not null,
        head bytea not null generated always as (substr(place, 1, {HEAD_BYTES})) stored,
        vector {{vector}}({{dimension}}),
        tokens text[] collate "C" not null,
        numbers jsonb not null,
        text text not null,
        record bytea not null
    ) with (toast_tuple_target = {{inline}})
    """,
    "alter table {table} alter column vector set storage main",
    'create index "{name}-place" on {table} (tenant, head)',
    'create index "{name}-update" on {table} (tenant, update_time desc, head)',
    'create index "{name}-time" on {table} (tenant, time desc, head)',
    """
    create index "{name}-expire" on {table} (tenant, expire_time)
        where expire_time is not null
    """,
    # The terms of each row as numbers that say nothing without the tenant's name (words.py): no
    # policy is needed here, and with one no index over terms would be used. `owner` is the tenant.
    """
    create table {words} (
        id uuid not null primary key references {table} (id) on delete cascade,
        owner bigint not null,
        length integer not null,
        words bigint[] not null,
        times smallint[] not null
    )
    """,
    'create index "{name}-words-owner" on {words} (owner, length)',
    'create index "{name}-words-words" on {words} using gin (words)',
)
_INDEXED: Final = """
    create index "{name}-hnsw" on {table} using hnsw (vector {extension}.vector_ip_ops)
"""
