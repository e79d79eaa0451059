"""What only PostgreSQL does with vectors and words: its extension, its tables, its index."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import psycopg
import pytest
from tests.adapters.postgres_stores import keys, opened, opened_points, own, raw, refused

from memplane_adapters.conformance.servers import Server
from memplane_adapters.conformance.stores.fixtures import (
    COLLECTION,
    NOW,
    Points,
    eventually,
    some_vectors,
    vector,
)
from memplane_adapters.contract import (
    Condition,
    EmbeddingIdentity,
    Op,
    Query,
    StoreReason,
    WriteStatus,
    cosine_relevance,
    reached_of,
)
from memplane_adapters.kit.collections import name_of
from memplane_adapters.postgres.packing import pack, pack_all, unpack
from memplane_adapters.postgres.settings import from_url
from memplane_adapters.postgres.vectors import collections, words
from memplane_adapters.postgres.vectors.collections import PREFIX

__all__ = ["keys", "own"]

APPLIED, CONFLICT, *_ = WriteStatus


@asynccontextmanager
async def ready(**keys: Any) -> AsyncIterator[Points]:
    """A store that is ready for the suite's collection."""
    async with opened_points(**keys) as points:
        await points.store.ensure(COLLECTION)
        yield points


def wide(dimension: int) -> Any:
    """A collection of vectors of so many numbers."""
    return dataclasses.replace(
        COLLECTION, embedding=EmbeddingIdentity("conformance", "made-up", dimension)
    )


# --- the extension ------------------------------------------------------------------------------


async def test_an_extension_that_is_not_installed_is_told(own: Server) -> None:
    keys: dict[str, Any] = {"schema": "memplane", **from_url(own.url)}
    try:
        await raw(keys, "alter database postgres set extension_control_path = '/nowhere'")
    except psycopg.errors.UndefinedObject:
        pytest.skip("a server before 18 cannot be told to look elsewhere")
    async with opened(**keys) as key_values:
        await key_values.write(key_values.entry("k"))
    async with opened_points(**keys) as points:
        error = await refused(points.store.ensure(COLLECTION))
        assert (error.reason, error.retryable) == (StoreReason.MISCONFIGURED, False)
        assert "install pgvector" in str(error)


async def test_without_the_extension_vectors_are_refused_and_key_values_go_on(own: Server) -> None:
    keys: dict[str, Any] = {"schema": "memplane", **from_url(own.url)}
    await raw(keys, "create role ada login")
    await raw(keys, "create schema {} authorization ada")
    async with opened(**{**keys, "user": "ada"}) as key_values:
        await key_values.write(key_values.entry("k"))
        assert await key_values.walk() == ["k"]
    async with opened_points(**{**keys, "user": "ada"}) as points:
        error = await refused(points.store.ensure(COLLECTION))
        assert (error.reason, error.retryable) == (StoreReason.MISCONFIGURED, False)
        assert "create extension vector" in str(error)
        assert await points.walk() == []
        await raw(keys, "create extension vector")
        await points.store.ensure(COLLECTION)
        await points.write(points.point("k"))
        assert await points.search(vector=vector(1.0)) == ["k"]


async def test_the_extension_may_be_in_another_schema(own: Server) -> None:
    """Also in one that is closed to others, so to the role that policies hold for."""
    keys: dict[str, Any] = {"schema": "memplane", **from_url(own.url)}
    await raw(keys, 'create schema "the ""extensions"""')
    await raw(keys, 'create extension vector schema "the ""extensions"""')
    for index in ("none", "hnsw"):
        async with ready(**{**keys, "schema": index, "index": index}) as points:
            await points.write(points.point("a"), points.point("b", vector(0.0, 1.0)))
            assert await points.search(vector=vector(1.0)) == ["a", "b"]
            (row,) = await points.store.fetch([points.address("b")], vectors=True)
            assert row is not None
            assert row.vector is not None
            assert row.vector.tolist() == vector(0.0, 1.0).tolist()
            assert "row-level" not in reached_of(await points.store.ping()).why


async def test_stores_that_ensure_at_once_make_one_table(keys: dict[str, Any]) -> None:
    async with opened_points(**keys) as one, opened_points(**keys) as two:
        await asyncio.gather(*(each.store.ensure(COLLECTION) for each in (one, two) * 3))
        text = (
            "select count(*) from information_schema.tables"
            f" where table_schema = '{keys['schema']}' and table_name like 'point-%'"
        )
        assert await raw(keys, text) == [(2,)]  # one, and its words


async def test_a_model_may_have_any_name(keys: dict[str, Any]) -> None:
    odd = EmbeddingIdentity("made-up", "a {schema} {table} 'q' \\ m", 8)
    async with opened_points(**keys) as points:
        for _ in range(2):
            await points.store.ensure(dataclasses.replace(COLLECTION, embedding=odd))


async def test_a_table_of_somebody_else_is_left_alone(keys: dict[str, Any]) -> None:
    async with ready(**keys) as points:
        await points.write(points.point("k"))
        ((name,),) = await raw(
            keys,
            "select relname from pg_class where oid in (select attrelid from pg_attribute"
            f" where attname = 'vector') and relnamespace = '\"{keys['schema']}\"'::regnamespace",
        )
    await raw(keys, f'comment on table {{}}."{name}" is null')
    async with opened_points(**keys) as points:
        error = await refused(points.store.ensure(COLLECTION))
        assert error.reason is StoreReason.MISCONFIGURED
        assert name in str(error)


async def test_a_table_that_is_back_is_used_on_the_same_connections(keys: dict[str, Any]) -> None:
    """What the server has refused to prepare is not taken for prepared."""
    async with ready(**keys, connections=1) as points:
        await points.write(points.point("k"))
        name = name_of(PREFIX, COLLECTION)
        for _ in range(2):
            await points.walk()
            await raw(keys, f'alter table {{}}."{name}" rename to away')
            for _ in range(3):
                error = await refused(points.store.count(points.scope()))
                assert error.reason is StoreReason.COLLECTION_MISSING
            await raw(keys, f'alter table {{}}.away rename to "{name}"')
            assert await points.count() == 1


# --- vectors ------------------------------------------------------------------------------------


def test_vectors_are_packed_bit_by_bit() -> None:
    for one in (*some_vectors(5), np.array([1e-45, -0.0, 3.4e38], np.float32)):
        packed = pack(one)
        assert unpack(packed).tobytes() == one.tobytes()
        assert packed[:4] == bytes([0, one.size, 0, 0])
    array = pack_all([pack(vector(1.0)), None], 77)
    assert array[:20].hex(" ", 4) == "00000001 00000001 0000004d 00000002 00000001"
    assert array.endswith(b"\xff\xff\xff\xff")


@pytest.mark.parametrize("dimension", [1, 1_536, 2_000, 4_096, 16_000])
async def test_long_vectors_are_kept_and_scored(keys: dict[str, Any], dimension: int) -> None:
    made = np.random.default_rng(dimension).standard_normal((20, dimension))
    made = (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)
    async with opened_points(**keys) as points:
        await points.store.ensure(wide(dimension))
        await points.write(
            *(points.point(f"{n:02}", at, record=b"%02d" % n * 2_000) for n, at in enumerate(made))
        )
        target = made[3]
        truth = np.clip(made.astype(np.float64) @ target.astype(np.float64), -1.0, 1.0)
        hits = await points.query(vector=target, limit=5)
        ranked = sorted(
            range(20), key=lambda n: (-round(cosine_relevance(float(truth[n])), 6), f"{n:02}")
        )
        assert [int(hit.record[:2]) for hit in hits] == ranked[:5]
        # To the last bits: the gateway's parity between vendors stands on it.
        assert [hit.score for hit in hits] == pytest.approx(sorted(truth)[:-6:-1], abs=1e-12)


async def test_too_long_vectors_are_refused_at_the_start(keys: dict[str, Any]) -> None:
    async with opened_points(**keys, index="hnsw") as points:
        assert points.capabilities.max_dimension == 2_000
        error = await refused(points.store.ensure(wide(2_001)))
        assert error.reason is StoreReason.MISCONFIGURED
        assert "index" in str(error)
    async with opened_points(**keys) as points:
        assert points.capabilities.max_dimension == 16_000
        assert (
            await refused(points.store.ensure(wide(16_001)))
        ).reason is StoreReason.MISCONFIGURED


async def test_records_that_are_long_together_are_read_by_themselves(keys: dict[str, Any]) -> None:
    size = 2**20
    async with ready(**keys) as points:
        await points.write(
            *(points.point(f"{n}", vector(1.0, n), record=b"%d" % n * size) for n in range(8))
        )
        hits = await points.query(vector=vector(1.0), limit=6)
        assert [hit.record[:1] for hit in hits] == [b"%d" % n for n in range(6)]
        assert all(len(hit.record) == size for hit in hits)
        query = Query(scope=points.scope(), vector=vector(1.0), limit=6, max_bytes=size + 1)
        result = await points.store.query(query)
        assert (len(result.hits), result.cut) == (2, True)


# --- the index ----------------------------------------------------------------------------------


async def test_by_the_index_nearly_all_are_found_and_exactly_all(keys: dict[str, Any]) -> None:
    dimension, number = 32, 2_000
    rng = np.random.default_rng(5)
    made = (
        rng.standard_normal((number, dimension))
        + 3 * rng.standard_normal((40, dimension))[rng.integers(40, size=number)]
    )
    made = (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)
    async with opened_points(**keys, index="hnsw") as points:
        await points.store.ensure(wide(dimension))
        await points.write(
            *(
                points.point(f"{n:04}", at, namespace=("few" if n % 100 == 0 else "many",))
                for n, at in enumerate(made)
            )
        )
        await raw(keys, "analyze")
        found = 0
        for target in made[:50]:
            query = Query(scope=points.scope(), vector=target, limit=10)
            near = await points.store.query(query)
            exact = await points.store.query(dataclasses.replace(query, exact=True))
            assert (near.approximate, exact.approximate) == (True, False)
            truth = np.sort(made.astype(np.float64) @ target.astype(np.float64))[:-11:-1]
            scores = [hit.score for hit in exact.hits]
            assert scores == pytest.approx(truth.clip(-1.0, 1.0).tolist(), abs=1e-12)
            found += len({hit.record for hit in near.hits} & {hit.record for hit in exact.hits})
            # A scope of few fills its page, though the index knows nothing of scopes.
            few = await points.store.query(
                dataclasses.replace(query, scope=points.scope("few"), limit=20)
            )
            assert len(few.hits) == 20
        assert found >= 0.99 * 500

    async def asked() -> bool:
        """Whether the index was, each time; the server counts some moments later."""
        scans = "select sum(idx_scan) from pg_stat_user_indexes"
        name = f" where schemaname = '{keys['schema']}' and indexrelname ~ 'hnsw'"
        ((times,),) = await raw(keys, scans + name)
        return bool(times >= 50)

    await eventually(asked)


async def test_an_index_may_be_asked_for_later(keys: dict[str, Any]) -> None:
    async with ready(**keys) as points:
        await points.write(*(points.point(f"{n}", at) for n, at in enumerate(some_vectors(30))))
    text = f"select count(*) from pg_indexes where schemaname = '{keys['schema']}' and indexname ~ 'hnsw'"
    assert await raw(keys, text) == [(0,)]
    tenant, target = points.tenant, some_vectors(30)[7]
    for _ in range(2):
        async with ready(**keys, index="hnsw") as points:
            points.tenant = tenant
            hits = (await points.store.query(Query(scope=points.scope(), vector=target))).hits
            assert hits[0].record == b"7"
        assert await raw(keys, text) == [(1,)]
    async with ready(**keys) as points:
        points.tenant = tenant
        result = await points.store.query(Query(scope=points.scope(), vector=target))
        assert (result.hits[0].record, result.approximate) == (b"7", False)


@pytest.mark.parametrize("estimated", [True, False])
async def test_over_very_many_an_index_is_not_made_in_passing(
    keys: dict[str, Any], estimated: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also before the server has an estimate of how many there are."""
    async with ready(**keys) as points:
        await points.write(points.point("k"))
    tenant = points.tenant
    if estimated:
        await raw(
            keys,
            "update pg_class set reltuples = 10001 where relname like 'point-semantic-%' and relkind = 'r'"
            f" and relnamespace = '\"{keys['schema']}\"'::regnamespace",
        )
    else:
        monkeypatch.setattr(collections, "_MOST_INDEXED_AT_ONCE", 0)
    async with opened_points(**keys, index="hnsw") as points:
        error = await refused(points.store.ensure(COLLECTION))
        assert error.reason is StoreReason.MISCONFIGURED
        statement = str(error).partition("a while: ")[2]
        assert statement.startswith("create index concurrently")
        await raw(keys, statement.replace("{", "{{").replace("}", "}}"))
        await points.store.ensure(COLLECTION)
        points.tenant = tenant
        assert await points.search(vector=vector(1.0)) == ["k"]


# --- words and filters --------------------------------------------------------------------------


async def test_words_follow_their_row_under_contention(keys: dict[str, Any]) -> None:
    """They stand in a table of their own, which no reader may find one write behind."""
    async with ready(**keys) as points:

        async def write(turn: int) -> None:
            entries = [
                points.point(f"{n}", revision=turn + 1, terms=f"turn{turn} all") for n in range(3)
            ]
            await points.try_write(entries[turn % 2 :])
            if turn % 7 == 0:
                await points.delete(points.address("1"))

        await asyncio.gather(*(write(turn) for turn in range(60)))
        held = await raw(
            keys, f"select count(*) from {{}}.{_words()} as w where array_length(words, 1) <> 2"
        )
        assert held == [(0,)]
        await points.write(*(points.point(f"{n}", revision=99, terms="last") for n in range(3)))
        assert await points.search(terms=("all",)) == []
        assert await points.search(terms=("last",)) == ["0", "1", "2"]
        await points.delete(*(points.address(f"{n}") for n in range(3)))
        assert await raw(keys, f"select count(*) from {{}}.{_words()}") == [(0,)]


def _words() -> str:
    return f'"{name_of(PREFIX, COLLECTION)}-words"'


async def test_what_is_kept_of_words_says_nothing_without_the_tenant() -> None:
    terms = ["tea", "time"]
    assert words.numbered("a", terms) == words.numbered("a", terms)
    kept = {*words.numbered("a", terms), *words.numbered("b", terms), words.owner("a")}
    assert len(kept) == 5
    assert all(-(2**63) <= number < 2**63 for number in kept)
    owner, length, numbers, times = words.of_row("a", ["tea", "tea", "time", *["x"] * 40_000])
    assert (owner, length) == (words.owner("a"), 40_003)
    assert numbers.count(",") == 2
    assert times == "{2,1,32767}"


async def test_filters_know_every_text(keys: dict[str, Any]) -> None:
    """Also what PostgreSQL's own texts and JSON do not keep."""
    strange = ["\0", "\1\2", "\1", 'a"b', "a\\b", "{a,b}", "NULL", "", " ", "ä", "\U0001f642"]
    async with ready(**keys) as points:
        await points.write(
            *(
                points.point(f"{n:02}", fields={"text": text, f"n{text}": n, "tags": [text]})
                for n, text in enumerate(strange)
            )
        )
        for n, text in enumerate(strange):
            for tree in (
                Condition(("text",), Op.EQ, text),
                Condition(("tags",), Op.CONTAINS, text),
                Condition((f"n{text}",), Op.GTE, n),
            ):
                assert await points.walk(filter=tree) == [f"{n:02}"], (text, tree)
                assert await points.search(vector=vector(1.0), filter=tree) == [f"{n:02}"]


async def test_what_cannot_be_stored_fails_alone(keys: dict[str, Any]) -> None:
    async with ready(**keys) as points:
        other = Points(points.store, tenant="\0")
        bad = [
            points.point("k", fields={"n": float("nan")}),
            points.point("k", fields={"\ud800": 1}),
            points.point("\0"),
            points.point("k", np.ones(3, np.float32)),
            other.point("k"),
            dataclasses.replace(
                other.point("k"), address=Points(points.store, tenant="\ud800").address("k")
            ),
        ]
        results = await points.try_write([points.point("a"), *bad, points.point("z")])
        assert [one.status for one in results] == [
            APPLIED,
            *[WriteStatus.FAILED] * len(bad),
            APPLIED,
        ]
        assert await points.walk() == ["a", "z"]


async def test_a_frozen_writer_never_wins(keys: dict[str, Any]) -> None:
    """The same statements as those of key-values, with the words beside."""
    async with ready(**keys) as points:
        await points.write(points.point("k", revision=5, terms="new"))
        for others in (0, 2):
            beside = [points.point(f"{others}{n}") for n in range(others)]
            late = points.point("k", revision=4, record=b"late", terms="late")
            result, *rest = await points.try_write([late, *beside])
            assert result.status is CONFLICT
            assert all(one.status is APPLIED for one in rest)
        assert await points.search(terms=("late",)) == []
        assert await points.search(terms=("new",)) == ["k"]


async def test_expired_rows_are_walked_by_their_time(keys: dict[str, Any]) -> None:
    async with ready(**keys) as points:
        await points.write(
            *(points.point(f"{n}", expire_time=NOW + n if n % 2 else None) for n in range(10))
        )
        scope = dataclasses.replace(points.scope(at=NOW + 5), expired=True)
        assert await points.walk(scope) == ["1", "3", "5"]
        assert await points.store.delete_where(scope, max_revision=1) == 3
        assert await points.count(points.scope(at=NOW)) == 7
