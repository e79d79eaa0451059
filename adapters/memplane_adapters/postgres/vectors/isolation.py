"""Tenants kept apart by the server: policies over what each transaction says that it is about.

A transaction names its tenants first; rows of others are then neither there nor to be written. One
that names none sees nothing. Who is logged in as a superuser, or with BYPASSRLS, is held by no
policy: such a transaction takes on a role that is, which the first of them makes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from memplane_adapters.postgres.engine import Preamble, Session
from memplane_adapters.postgres.schema import Layout
from memplane_adapters.postgres.vectors import arrays, tables

ROLE: Final = "memplane_tenant"
"""Nobody can log in as it; it has no rights but on our tables."""
HELD: Final = "none"
"""The word of `set role` for who is logged in; policies hold for him."""
BYPASSED: Final = ""
"""Policies do not hold, and the role could not be made, or not be given its rights."""


def role_for(*, bypasses: bool, has_role: bool) -> str:
    """Who is to read and write a table."""
    if not bypasses:
        return HELD
    return ROLE if has_role else BYPASSED


def of_tenants(tenants: Iterable[str], role: str) -> Preamble:
    """What a transaction about these tenants begins with."""
    return _OF_TENANTS, arrays.texts(tenants), role or HELD


def near(tenants: Iterable[str], role: str, ef_search: int) -> Preamble:
    """The same, with what is said to the index for HNSW."""
    return _NEAR, arrays.texts(tenants), role or HELD, str(ef_search)


def every_tenant(role: str) -> Preamble:
    """What a transaction begins with that counts the rows of all tenants; it can only read."""
    return _EVERY_TENANT, role or HELD


async def isolate(session: Session, layout: Layout, name: str) -> None:
    """Give a new table its policies, inside the transaction that makes it."""
    for text in _POLICIES:
        await session.run(layout.statement(tables.named(text, name)))
    await let_in(session, layout, name)


async def let_in(session: Session, layout: Layout, name: str) -> None:
    """Give the role its rights, as far as who is logged in may; made by who is held by no policy."""
    ((bypasses,),) = await session.rows(_BYPASSES)
    if bypasses:
        await session.run(_MAKE_ROLE)
    if await session.rows(_FIND_ROLE, ROLE):
        for text in _RIGHTS:
            await session.run(layout.statement(tables.named(text, name)))
        await session.run(_LET_IN_BESIDE)


_OF_TENANTS: Final = b"""
    select set_config('memplane.tenants', $1, true), set_config('role', $2, true)
"""
# A plan for any scope takes every scope for small, and then sorts all rows of a large one.
_NEAR: Final = b"""
    select set_config('memplane.tenants', $1, true), set_config('role', $2, true),
           set_config('hnsw.ef_search', $3, true),
           set_config('hnsw.iterative_scan', 'strict_order', true),
           set_config('plan_cache_mode', 'force_custom_plan', true)
"""
_EVERY_TENANT: Final = b"""
    select set_config('memplane.every_tenant', 'on', true), set_config('role', $1, true)
"""
_BYPASSES: Final = b"""
    select rolsuper or rolbypassrls from pg_catalog.pg_roles where rolname = current_user
"""
_FIND_ROLE: Final = b"select 1 from pg_catalog.pg_roles where rolname = $1"
MAY_BECOME: Final = """
    pg_has_role({role}, case
        when current_setting('server_version_num')::integer < 160000 then 'member' else 'set'
    end)
"""
"""Whether who is logged in may take a role on. Since PostgreSQL 16 who has made a role is a member of
it that may grant it, and may not take it on before he has."""
# Roles are those of all databases of a server: another one may make it at the same time.
_MAKE_ROLE: Final = f"""
    do $$
    begin
        if not exists (select from pg_catalog.pg_roles where rolname = '{ROLE}') then
            create role {ROLE} nologin;
        end if;
        if not {MAY_BECOME.format(role=f"'{ROLE}'")} then
            execute format('grant {ROLE} to %I', current_user);
        end if;
    exception
        when insufficient_privilege or duplicate_object or unique_violation then null;
    end
    $$
""".encode()
# The type of vectors and their operators may be in a schema that is not open to everybody.
_LET_IN_BESIDE: Final = """
    do $$
    declare
        beside name := (
            select namespace.nspname from pg_catalog.pg_extension as extension
            join pg_catalog.pg_namespace as namespace on namespace.oid = extension.extnamespace
            where extension.extname = 'vector'
        );
    begin
        if not has_schema_privilege('{role}', beside, 'usage') then
            execute format('grant usage on schema %I to {role}', beside);
        end if;
    exception
        when insufficient_privilege then null;
    end
    $$
""".replace("{role}", ROLE).encode()
# In a select of its own a setting is read once a statement, and not once a row. After a transaction
# a setting that was made in it is empty, and not absent.
_POLICIES: Final = (
    "alter table {table} enable row level security",
    "alter table {table} force row level security",
    """
    create policy of_tenants on {table}
        using (tenant = any ((
            select nullif(current_setting('memplane.tenants', true), '')::text[]
        )::text[]))
    """,
    """
    create policy every_tenant on {table} for select
        using ((select current_setting('memplane.every_tenant', true)) = 'on')
    """,
)
_RIGHTS: Final = (
    f"grant usage on schema {{schema}} to {ROLE}",
    f"grant select, insert, update, delete on {{table}}, {{words}} to {ROLE}",
)
