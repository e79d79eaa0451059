"""delete_where: all that match, only those, and nothing that was written later."""

from __future__ import annotations

import dataclasses

import pytest

from memplane_adapters.conformance.stores.fixtures import NOW, Points, Subject, vector
from memplane_adapters.contract import Condition, Op, Pushdown


@pytest.mark.asyncio
async def test_field_27_other_namespaces_stay(subject: Subject) -> None:
    """Deleting one user's memories reset the whole collection."""
    other = dataclasses.replace(subject, tenant=f"{subject.tenant}-2")
    for user in ("ada", "bob", "eve"):
        await subject.write(*(subject.entry(f"{n}", namespace=(user,)) for n in range(10)))
    await other.write(other.entry("k", namespace=("ada",)))
    assert await subject.store.delete_where(subject.scope("ada"), max_revision=9) == 10
    counts = [await subject.count(subject.scope(user)) for user in ("ada", "bob", "eve")]
    assert counts == [0, 10, 10]
    assert await other.count() == 1


@pytest.mark.asyncio
async def test_an_exact_scope_leaves_what_is_below(subject: Subject) -> None:
    for namespace in [("a",), ("a", "b"), ()]:
        await subject.write(
            subject.entry("k", namespace=namespace, record=repr(namespace).encode())
        )
    assert await subject.store.delete_where(subject.scope("a", exact=True), max_revision=9) == 1
    assert await subject.walk() == ["()", "('a', 'b')"]


@pytest.mark.asyncio
async def test_later_revisions_survive(subject: Subject) -> None:
    await subject.write(*(subject.entry(f"{n}", revision=n) for n in range(1, 7)))
    assert await subject.store.delete_where(subject.scope(), max_revision=3) == 3
    assert await subject.walk() == ["4", "5", "6"]
    assert await subject.store.delete_where(subject.scope(), max_revision=3) == 0


@pytest.mark.asyncio
async def test_expired_rows_are_not_counted(subject: Subject) -> None:
    await subject.write(subject.entry("dead", expire_time=NOW), subject.entry("alive"))
    assert await subject.store.delete_where(subject.scope(), max_revision=9) == 1


@pytest.mark.asyncio
async def test_field_8_only_what_matches_is_deleted(subject: Subject) -> None:
    """EQ "Verified" also returned "Not Verified", and the same filter also deletes."""
    if subject.capabilities.pushdown(Op.EQ) is not Pushdown.EXACT:
        pytest.skip("the store does not declare eq as exact")
    states = ["Verified", "Not Verified", "verified", "Verified!", "Verified "]
    await subject.write(*(subject.entry(state, fields={"state": state}) for state in states))
    tree = Condition(("state",), Op.EQ, "Verified")
    assert await subject.store.delete_where(subject.scope(), tree, max_revision=9) == 1
    assert await subject.walk() == sorted(states[1:])


@pytest.mark.asyncio
async def test_field_30_a_purge_has_no_end_at_10_000(subject: Subject) -> None:
    """Delete by filter stopped at 10,000 rows (100 in a wrapper)."""
    await subject.write(
        *(subject.entry(f"{n:05}", namespace=("many",)) for n in range(10_001)),
        subject.entry("kept", namespace=("other",)),
    )
    assert await subject.count(subject.scope("many")) == 10_001
    assert await subject.store.delete_where(subject.scope("many"), max_revision=9) == 10_001
    assert await subject.count(subject.scope("many")) == 0
    assert await subject.walk() == ["kept"]
    if isinstance(subject, Points) and subject.capabilities.vector:
        assert await subject.search(vector=vector(1.0)) == ["kept"]
