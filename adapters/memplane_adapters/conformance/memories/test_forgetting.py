"""Forget deletes what meets every condition, and leaves alone what is pinned or written later."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from memplane import (
    AlreadyExists,
    AsyncClient,
    AsyncScope,
    Episode,
    FilterLike,
    ForgetResult,
    InvalidArgument,
    Kind,
    Put,
    Ref,
    attr,
)
from memplane.v1 import forget_pb2 as pb
from memplane_adapters.conformance.memories.doors import Door, call
from memplane_adapters.conformance.memories.helpers import (
    EVERY_KIND,
    EVERY_STORE,
    KIND_NUMBERS,
    ON_THE_SESSION_LOOP,
    expired,
    key,
    keys_listed,
    put_all,
    refused,
)

pytestmark = ON_THE_SESSION_LOOP

DAY = timedelta(days=1)
_INVALID = (InvalidArgument, "INVALID_REQUEST")
_OLD: dict[str, Any] = {"older_than": timedelta(microseconds=1)}
"""What is there when it begins."""


async def forget_raw(door: Door, kind: Kind, **fields: Any) -> pb.ForgetMemoriesResponse:
    """Sends a request that the client would not."""
    request = pb.ForgetMemoriesRequest(kind=KIND_NUMBERS[kind], **fields)
    path = "/memplane.v1.LifecycleService/ForgetMemories"
    return await call(door, path, request, pb.ForgetMemoriesResponse)


def forgotten(done: ForgetResult) -> list[str]:
    """The keys, of one namespace."""
    return [each.ref.key for each in done.memories]


def episode(days: float) -> Episode:
    """What happened so many days ago."""
    return Episode(event_time=datetime.now(UTC) - days * DAY)


@EVERY_KIND
async def test_only_the_namespace_and_the_kind_are_forgotten(space: AsyncScope, kind: Kind) -> None:
    names = [("acme",), ("acme", "below"), ("acme-corp",), ("Acme",), ()]
    others = [Put(space.ref(other, "k")) for other in Kind if other is not kind]
    await put_all(space, others)
    await put_all(space, [Put(Ref(kind, (*space.namespace, *name), "k")) for name in names])
    acme = space.scope("acme")
    exact = await acme.forget(kind, **_OLD, exact_namespace=True, dry_run=True)
    assert [each.ref for each in exact.memories] == [acme.ref(kind, "k")]
    done = await acme.forget(kind, **_OLD)
    assert (done.count, done.dry_run, done.replayed) == (2, False, False)
    assert [each.ref for each in done.memories] == [
        acme.ref(kind, "k"),
        acme.scope("below").ref(kind, "k"),
    ]
    left = [memory.namespace async for memory in space.list(kind)]
    assert left == sorted((*space.namespace, *name) for name in names if name[:1] != ("acme",))
    assert [await space.count(other.ref.kind) for other in others] == [1, 1]


@EVERY_STORE
async def test_an_age_and_an_inactivity_that_nothing_has_forget_nothing(
    space: AsyncScope, kind: Kind
) -> None:
    await put_all(space, [Put(space.ref(kind, name)) for name in "abc"])
    never: list[dict[str, Any]] = [
        {"older_than": DAY},
        {"inactive_for": DAY},
        {**_OLD, "inactive_for": 1000 * DAY},
    ]
    for given in never:
        assert (await space.forget(kind, **given)).count == 0
    done = await space.forget(kind, **_OLD, inactive_for=0.000001)
    assert forgotten(done) == ["a", "b", "c"]
    for each in done.memories:
        assert each.age is not None
        assert timedelta(0) < each.age < DAY
        assert each.inactive_for == each.age
        assert each.importance is None


async def test_an_episode_is_as_old_as_its_event(space: AsyncScope) -> None:
    kind = Kind.EPISODIC
    await put_all(
        space,
        [
            Put(space.ref(kind, f"{days}"), episode=episode(days), importance=0.8)
            for days in (-3, 0, 5, 10, 40, 9000)
        ],
    )
    await space.put(kind, "pinned", episode=episode(500), pinned=True, importance=0.0)
    dry = await space.forget(kind, older_than=8 * DAY, dry_run=True)
    assert forgotten(dry) == ["10", "40", "9000"]
    ages = [each.age for each in dry.memories]
    assert [round(age / DAY) for age in ages if age is not None] == [10, 40, 9000]
    fading = await space.forget(kind, importance_below=0.3, half_life=10 * DAY, dry_run=True)
    assert forgotten(fading) == ["40", "9000"]
    importances = [each.importance for each in fading.memories]
    assert importances == [pytest.approx(0.05, rel=1e-3), pytest.approx(0.0)]
    both = await space.forget(
        kind, older_than=20 * DAY, importance_below=0.3, half_life=10 * DAY, filter=attr("x") == 1
    )
    assert both.count == 0
    assert forgotten(await space.forget(kind, older_than=8 * DAY)) == forgotten(dry)
    assert await keys_listed(space, kind) == ["-3", "0", "5", "pinned"]


IMPORTANCES: dict[str, float | None] = {
    "none": None,
    "0": 0.0,
    "0.3": 0.3,
    "0.5": 0.5,
    "0.7": 0.7,
    "1": 1.0,
}


@EVERY_STORE
@pytest.mark.parametrize(
    ("below", "gone"),
    [
        (0.3, ["0"]),
        (0.5, ["0", "0.3"]),
        (0.6, ["0", "0.3", "0.5", "none"]),
        (1.0, ["0", "0.3", "0.5", "0.7", "none"]),
    ],
)
async def test_what_does_not_say_its_importance_counts_as_a_half(
    space: AsyncScope, kind: Kind, below: float, gone: list[str]
) -> None:
    await put_all(
        space,
        [
            Put(space.ref(kind, name), importance=importance)
            for name, importance in IMPORTANCES.items()
        ],
    )
    await space.put(kind, "pinned", importance=0.0, pinned=True)
    slowly = await space.forget(
        kind, importance_below=below - 1e-4, half_life=36_500 * DAY, dry_run=True
    )
    done = await space.forget(kind, importance_below=below)
    assert forgotten(done) == forgotten(slowly) == gone
    assert [each.importance for each in done.memories] == [
        0.5 if (said := IMPORTANCES[name]) is None else said for name in gone
    ]
    assert await keys_listed(space, kind) == sorted({*IMPORTANCES, "pinned"} - set(gone))


FILTERS: list[FilterLike] = [
    attr("n") > 2**53,
    {"n": {"$in": [1, 2**53 + 1]}},
    ~(attr("tags").contains("a")) & (attr("n") <= 2),
    (attr("tags") == ["a"]) | attr("n").is_null(),
]
ROWS: list[dict[str, Any]] = [
    {"n": 1, "tags": ["a"]},
    {"n": 2},
    {"n": 2**53},
    {"n": 2**53 + 1},
    {"tags": ["b"]},
]


@EVERY_STORE
async def test_conditions_and_filter_hold_together(space: AsyncScope, kind: Kind) -> None:
    for given in FILTERS:
        puts = [
            Put(space.ref(kind, f"{n}-{importance}"), attributes=row, importance=importance)
            for n, row in enumerate(ROWS)
            for importance in (0.2, 0.6)
        ]
        await put_all(space, puts)
        everything = await keys_listed(space, kind)
        matching = await keys_listed(space, kind, given)
        doomed = [name for name in matching if name.endswith("0.2")]
        assert 0 < len(doomed) < len(matching) < len(everything)
        done = await space.forget(kind, **_OLD, importance_below=0.5, filter=given)
        assert forgotten(done) == doomed
        assert await keys_listed(space, kind) == [n for n in everything if n not in doomed]
        assert (await space.forget(kind, **_OLD, filter=given)).count == len(doomed)


@EVERY_STORE
async def test_a_receipt_counts_all_and_names_the_first_hundred(
    space: AsyncScope, kind: Kind
) -> None:
    names = [f"{number:03}" for number in range(120)]
    await put_all(space, [Put(space.ref(kind, name)) for name in names])
    await expired(space, kind, "gone")
    dry = await space.forget(kind, **_OLD, dry_run=True)
    assert (dry.count, forgotten(dry), dry.dry_run) == (120, names[:100], True)
    assert await space.count(kind) == 120
    done = await space.forget(kind, **_OLD)
    assert (done.count, forgotten(done)) == (120, names[:100])
    assert done.filter is not None
    assert not done.filter.truncated
    assert await space.count(kind) == 0


@EVERY_STORE
async def test_a_retry_hears_the_first_receipt_and_spares_what_came_since(
    space: AsyncScope, kind: Kind
) -> None:
    await put_all(space, [Put(space.ref(kind, name)) for name in "abc"])
    request_id = key()
    first = await space.forget(kind, **_OLD, request_id=request_id)
    assert (first.count, first.replayed) == (3, False)
    await space.put(kind, "a")
    again = await space.forget(kind, **_OLD, request_id=request_id)
    assert (again.memories, again.count, again.replayed) == (first.memories, 3, True)
    assert await keys_listed(space, kind) == ["a"]
    with refused(AlreadyExists, "REQUEST_ID_REUSED"):
        await space.forget(kind, older_than=1, request_id=request_id)
    assert (await space.purge(kind, request_id=request_id)).count == 1, "another rpc"


async def test_what_is_wrong_is_said_and_nothing_is_forgotten(
    client: AsyncClient, door: Door, space: AsyncScope
) -> None:
    await space.put(Kind.SEMANTIC, "k")
    with refused(*_INVALID, "older_than"):
        await client.forget(Kind.SEMANTIC)
    with refused(*_INVALID, "older_than", "half_life"):
        await space.forget(Kind.SEMANTIC, half_life=1)
    wrong = {"older_than": 0, "inactive_for": -1.5, "importance_below": 1.01, "half_life": 0}
    with refused(*_INVALID, *wrong):
        await space.forget(Kind.SEMANTIC, **wrong)  # type: ignore[arg-type]
    for below in (0.0, -1.0, float("nan")):
        with refused(*_INVALID, "importance_below"):
            await forget_raw(door, Kind.SEMANTIC, importance_below=below)
    with refused(*_INVALID, "older_than"):
        await space.forget(Kind.SEMANTIC, older_than=1001 * 366 * DAY)
    asked: dict[str, Any] = {"namespace": space.namespace, "importance_below": 1.0}
    with refused(*_INVALID, "request_id", "min_durability"):
        await forget_raw(door, Kind.SEMANTIC, **asked, request_id="x" * 129, min_durability=99)
    with refused(_INVALID[0], "PAGE_TOKEN_INVALID", "page_token"):
        await forget_raw(door, Kind.SEMANTIC, **asked, page_token=key())
    assert await space.get(Kind.SEMANTIC, "k") is not None
