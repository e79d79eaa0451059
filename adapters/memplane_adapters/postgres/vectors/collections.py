"""A table for each kind and embedding identity; its comment says what made its vectors."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias, TypeVar

from psycopg import sql

from memplane_adapters.contract import Collection, StoreError, StoreReason
from memplane_adapters.kit import collections as kit
from memplane_adapters.kit.errors import missing
from memplane_adapters.postgres.engine import Session
from memplane_adapters.postgres.schema import Layout
from memplane_adapters.postgres.vectors import isolation, tables
from memplane_adapters.postgres.vectors.extension import ensure_extension

T = TypeVar("T")
Call: TypeAlias = Callable[[Callable[[Session], Awaitable[Any]]], Awaitable[Any]]

PREFIX: Final = "point"
"""What the names of the tables begin with."""
MAX_KEPT: Final = 16_000
MAX_INDEXED: Final = 2_000
"""Most numbers of a vector that pgvector keeps, and that HNSW takes."""
_LAYOUT: Final = 1
_COMMENT: Final = re.compile(r"Memplane, layout (\d+): (.*)", re.DOTALL)
_MOST_INDEXED_AT_ONCE: Final = 10_000
"""An index over more rows is not made while others wait: it would be ended by the time limit."""


@dataclass(frozen=True, slots=True)
class Place(kit.Place):
    """A table that is there."""

    oid: int
    """The number of the type of its vectors."""
    extension: str
    """The schema of that type, and of its operators; in quotes where it needs them."""
    indexed: bool = field(compare=False)
    """Whether HNSW knows its vectors."""
    role: str = field(compare=False)
    """Who reads and writes it; see `isolation`."""


class Collections(kit.Collections[Place]):
    """The tables of one schema."""

    def __init__(self, layout: Layout, call: Call, *, indexed: bool) -> None:
        super().__init__(PREFIX)
        self._layout = layout
        self._call = call
        self._indexed = indexed

    @property
    def bypassed(self) -> bool:
        """Whether policies do not hold for who is logged in."""
        return any(place.role == isolation.BYPASSED for place in self._ensured.values())

    async def ensure(self, collection: Collection) -> None:
        dimension = collection.embedding.dimension
        if dimension > (MAX_INDEXED if self._indexed else MAX_KEPT):
            instead = ": set the store's index to none, or take" if self._indexed else ": take"
            raise StoreError(
                StoreReason.MISCONFIGURED,
                f"{'HNSW' if self._indexed else 'pgvector'} takes no vectors of {dimension} numbers"
                f"{instead} an embedder of fewer",
            )
        await super().ensure(collection)
        place = self._ensured[collection.kind]
        if place.role == isolation.BYPASSED:
            await self._call(lambda session: self._let_in(session, place))
        if self._indexed and not place.indexed:
            await self._call(lambda session: self._index(session, place))

    async def _names(self) -> Iterable[str]:
        rows = await self._call(lambda session: session.rows(_NAMES, self._layout.name))
        return [name for (name,) in rows]

    async def _named(self, name: str) -> Place:
        found: Place | None = await self._call(lambda session: self._find(session, name))
        if found is None:
            raise missing(name)
        return found

    async def _holds_rows(self, place: Place) -> bool:
        async def ask(session: Session) -> bool:
            session.preamble = isolation.every_tenant(place.role)
            statement = tables.named(_HOLDS_ROWS, place.name)
            ((there,),) = await session.rows(self._layout.statement(statement))
            return bool(there)

        return bool(await self._call(ask))

    async def _create(self, name: str, collection: Collection) -> Place:
        place: Place = await self._call(lambda session: self._make(session, name, collection))
        return place

    async def _find(self, session: Session, name: str) -> Place | None:
        rows = await session.rows(_FIND, self._layout.name, name, isolation.ROLE)
        if not rows:
            return None
        ((comment, oid, dimension, extension, indexed, bypasses, has_role),) = rows
        said = _COMMENT.fullmatch(comment or "")
        if said is None or oid is None or int(said[1]) != _LAYOUT:
            raise StoreError(
                StoreReason.MISCONFIGURED,
                f"the table {self._layout.name}.{name} was not made by this version of Memplane; start "
                "the one that made it, or name another schema",
            )
        role = isolation.role_for(bypasses=bypasses, has_role=has_role)
        return Place(name, said[2], dimension, oid, extension, indexed, role)

    async def _make(self, session: Session, name: str, collection: Collection) -> Place:
        """All of it or nothing, whoever else makes it at the same time."""
        await session.begin()
        await self._layout.lock(session)
        found = await self._find(session, name)
        if found is None:
            extension = await ensure_extension(session)
            dimension = collection.embedding.dimension
            for text in tables.made(name, extension, dimension):
                await session.run(self._layout.statement(text))
            comment = f"Memplane, layout {_LAYOUT}: {kit.identity(collection)}"
            await session.run(
                self._layout.statement(tables.named(_SAY, name)).replace(
                    b"{comment}", _literal(comment)
                )
            )
            await isolation.isolate(session, self._layout, name)
            found = await self._find(session, name)
        await session.commit()
        if found is None:
            raise missing(name)
        return found

    async def _let_in(self, session: Session, place: Place) -> None:
        """Another login made the table; this one may do what that could not."""
        await session.begin()
        await self._layout.lock(session)
        await isolation.let_in(session, self._layout, place.name)
        await session.commit()
        found = await self._find(session, place.name)
        for kind, known in self._ensured.items():
            if known is place and found == place:
                self._ensured[kind] = found

    async def _index(self, session: Session, place: Place) -> None:
        """Give the vectors an index, if nobody has done so meanwhile and few are there."""
        session.preamble = isolation.every_tenant(place.role)
        text = tables.named(_ROWS, place.name)
        ((estimate,),) = await session.rows(self._layout.statement(text), _MOST_INDEXED_AT_ONCE + 1)
        session.preamble = None
        await session.begin()
        await self._layout.lock(session)
        found = await self._find(session, place.name)
        if found is not None and not found.indexed:
            index = self._layout.statement(tables.indexed(place.name, place.extension))
            if estimate > _MOST_INDEXED_AT_ONCE:
                made = " ".join(index.decode().split())
                made = made.replace("create index", "create index concurrently")
                raise StoreError(
                    StoreReason.MISCONFIGURED,
                    f"{self._layout.name}.{place.name} holds about {estimate} memories without an index "
                    f"for HNSW; have it made once, which takes a while: {made}",
                )
            await session.run(index)
        await session.commit()


def _literal(text: str) -> bytes:
    return sql.Literal(text).as_bytes(None)


_NAMES: Final = b"""
    select class.relname from pg_catalog.pg_class as class
    join pg_catalog.pg_namespace as namespace on namespace.oid = class.relnamespace
    where namespace.nspname = $1 and class.relkind = 'r'
"""
_FIND: Final = """
    select obj_description(class.oid, 'pg_class'), attribute.atttypid::bigint, attribute.atttypmod,
           quote_ident(extension.nspname),
           exists (
               select from pg_catalog.pg_index as index
               join pg_catalog.pg_class as made on made.oid = index.indexrelid
               join pg_catalog.pg_am as method on method.oid = made.relam
               where index.indrelid = class.oid and method.amname = 'hnsw' and index.indisvalid
           ),
           (select rolsuper or rolbypassrls from pg_catalog.pg_roles where rolname = current_user),
           exists (
               select from pg_catalog.pg_roles as role
               where role.rolname = $3 and {may_become}
                     and has_table_privilege(role.oid, class.oid, 'insert')
                     and has_schema_privilege(role.oid, type.typnamespace, 'usage')
           )
    from pg_catalog.pg_class as class
    join pg_catalog.pg_namespace as namespace on namespace.oid = class.relnamespace
    left join pg_catalog.pg_attribute as attribute
        on attribute.attrelid = class.oid and attribute.attname = 'vector'
    left join pg_catalog.pg_type as type on type.oid = attribute.atttypid
    left join pg_catalog.pg_namespace as extension on extension.oid = type.typnamespace
    where namespace.nspname = $1 and class.relname = $2 and class.relkind = 'r'
""".replace("{may_become}", isolation.MAY_BECOME.format(role="role.oid")).encode()
_HOLDS_ROWS: Final = "select exists (select from {table})"
_SAY: Final = "comment on table {table} is {comment}"
# Before the first "analyze" nothing is estimated.
_ROWS: Final = """
    select greatest(
        reltuples::bigint, (select count(*) from (select from {table} limit $1) as few)
    )
    from pg_catalog.pg_class where oid = '{table}'::regclass
"""
