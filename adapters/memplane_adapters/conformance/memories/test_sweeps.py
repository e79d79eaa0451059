"""A sweep deletes what has expired and what the policies do not keep, and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from memplane import (
    AsyncClient,
    AsyncScope,
    Capabilities,
    Episode,
    InvalidArgument,
    Kind,
    Put,
    SweepCause,
    SweepRule,
)
from memplane.v1 import sweep_pb2 as pb
from memplane_adapters.conformance.memories.doors import Door, call
from memplane_adapters.conformance.memories.fixtures import KEPT, fresh_label
from memplane_adapters.conformance.memories.helpers import (
    EVERY_KIND,
    EVERY_STORE,
    ON_THE_SESSION_LOOP,
    expired,
    keys_listed,
    put_all,
    refused,
    there,
)

pytestmark = ON_THE_SESSION_LOOP


@pytest.fixture
def kept(client: AsyncClient) -> AsyncScope:
    """A namespace below which there are policies: newest, weightiest and young."""
    return client.scope(KEPT, fresh_label())


def rule(kind: Kind, cause: SweepCause, label: str = "") -> SweepRule:
    return SweepRule(kind, cause, (KEPT, "*", label) if label else ())


@EVERY_STORE
async def test_what_has_expired_is_deleted_from_the_store(
    client: AsyncClient, space: AsyncScope, abilities: Capabilities, kind: Kind
) -> None:
    if abilities[kind].expiry:
        pytest.skip("the store drops expired rows by itself")
    await client.sweep()
    await put_all(space, [Put(space.ref(kind, name)) for name in "ab"])
    rows = (await client.status())[kind].rows
    for name in ("gone", "pinned"):
        await expired(space, kind, name, pinned=name == "pinned")
    gone = rule(kind, SweepCause.EXPIRED)
    assert (await client.sweep(dry_run=True)).counts[gone] == 2
    done = await client.sweep()
    assert (done.counts[gone], done.failures) == (2, ())
    assert (await client.status())[kind].rows == rows
    assert await keys_listed(space, kind) == ["a", "b"]


@EVERY_KIND
async def test_a_cap_rolls_each_namespace_by_itself(
    client: AsyncClient, kept: AsyncScope, kind: Kind
) -> None:
    """With all that lies below it; pinned memories count and stay."""
    here, below, other = kept.scope("newest"), kept.scope("newest", "x"), kept.scope("other")
    beside = client.scope(KEPT, fresh_label(), "newest")
    await put_all(here, [Put(here.ref(kind, "a"), pinned=True)])
    await put_all(below, [Put(below.ref(kind, "b"))])
    await put_all(here, [Put(here.ref(kind, name)) for name in "cde"])
    for scope in (beside, other):
        await put_all(scope, [Put(scope.ref(kind, name)) for name in "abc"])
    await put_all(other, [Put(other.ref(kind, "d"))])
    cap = rule(kind, SweepCause.MAX_ITEMS, "newest")
    dry = await client.sweep(dry_run=True)
    assert dry.counts[cap] == 2
    assert [each.ref for each in dry.examples if each.rule == cap] == [
        below.ref(kind, "b"),
        here.ref(kind, "c"),
    ]
    assert (await client.sweep()).counts[cap] == 2
    assert await keys_listed(here, kind) == ["a", "d", "e"]
    assert await keys_listed(beside, kind) == ["a", "b", "c"]
    assert await keys_listed(other, kind) == ["a", "b", "c", "d"]
    assert (await client.sweep()).counts[cap] == 0


@EVERY_STORE
async def test_the_least_important_go_first(
    client: AsyncClient, kept: AsyncScope, kind: Kind
) -> None:
    """One that does not say it counts as 0.5; ties go by age."""
    space = kept.scope("weightiest")
    weights = {"a": 0.6, "b": None, "c": 0.5, "d": 0.4, "e": 1.0}
    for name, importance in weights.items():
        await space.put(kind, name, importance=importance)
    cap = rule(kind, SweepCause.MAX_ITEMS, "weightiest")
    assert (await client.sweep()).counts[cap] == 2
    assert await keys_listed(space, kind) == ["a", "c", "e"]


async def test_events_are_kept_for_as_long_as_the_policy_says(
    client: AsyncClient, kept: AsyncScope
) -> None:
    space, now = kept.scope("young", "below"), datetime.now(UTC)
    ages = {"old": 61, "young": 59, "pinned": 90, "ahead": -5}
    puts = [
        Put(
            space.ref(Kind.EPISODIC, name),
            text=name,
            episode=Episode(event_time=now - timedelta(minutes=age)),
            pinned=name == "pinned",
        )
        for name, age in ages.items()
    ]
    await put_all(space, puts)
    age = rule(Kind.EPISODIC, SweepCause.MAX_AGE, "young")
    dry = await client.sweep(dry_run=True)
    assert [each.ref.key for each in dry.examples if each.rule == age] == ["old"]
    assert (await client.sweep()).counts[age] == 1
    assert await keys_listed(space, Kind.EPISODIC) == ["ahead", "pinned", "young"]


@EVERY_STORE
async def test_what_is_created_now_is_young(
    client: AsyncClient, kept: AsyncScope, kind: Kind
) -> None:
    space = kept.scope("young")
    await space.put(kind, "k")
    assert (await client.sweep()).counts[rule(kind, SweepCause.MAX_AGE, "young")] == 0
    await there(space, kind, "k")


async def test_a_token_is_of_its_own_sweep(door: Door) -> None:
    for token in ("none", "eyJ4IjoxfQ"):
        with refused(InvalidArgument, "PAGE_TOKEN_INVALID", "page_token"):
            request = pb.SweepMemoriesRequest(page_token=token)
            path = "/memplane.v1.LifecycleService/SweepMemories"
            await call(door, path, request, pb.SweepMemoriesResponse)
