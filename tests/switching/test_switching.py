"""The same client story on every store. No line here knows which one it is."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from tests.faults.days import wait_until_served
from tests.faults.process import Gateway

from memplane import (
    Aborted,
    AlreadyExists,
    Client,
    Episode,
    FilterLike,
    Health,
    Kind,
    Mode,
    Order,
    Outcome,
    Put,
    Scope,
    attr,
)

MORNING = datetime(2026, 1, 5, 8, 30, 0, 123_456, tzinfo=UTC)
FACTS: dict[str, tuple[str, dict[str, Any]]] = {
    "tea": (
        "Prefers green tea in the morning",
        {"topic": "food", "n": 9, "tags": ["hot", "daily"]},
    ),
    "cake": ("Bakes carrot cake on Sundays", {"topic": "food", "n": 10, "tags": []}),
    "oslo": ("Lives in Oslo near the harbour", {"topic": "home", "n": 2**53 + 1}),
    "cat": ("Has a cat called Miso", {"topic": "home", "n": "10", "where": {"room": "kitchen"}}),
    "bare": ("Walks to work", {}),
}


def write(ada: Scope) -> None:
    """All three kinds."""
    for key, (text, attributes) in FACTS.items():
        assert ada.remember(text, key=key, attributes=attributes).outcome is Outcome.CREATED
    for number in range(5):
        ada.record(
            f"Asked question number {number}",
            key=f"q{number}",
            session_id=f"s-{number % 2}",
            event_time=MORNING.replace(hour=number),
        )
    ada.set("tone", {"style": "short", "limits": [1, 2.5, None]})


def check_reads(ada: Scope) -> None:
    """Get, list, count and search, with filters that vendors disagree on by themselves."""
    memory = ada.get(Kind.SEMANTIC, "oslo")
    assert memory is not None
    assert (memory.text, dict(memory.attributes)) == FACTS["oslo"]
    assert type(memory.attributes["n"]) is int
    assert ada.get(Kind.SEMANTIC, "nothing") is None
    assert ada.value("tone") == {"style": "short", "limits": [1, 2.5, None]}

    def keys(filter: FilterLike | None) -> list[str]:
        listed = [memory.key for memory in ada.list(Kind.SEMANTIC, filter=filter)]
        assert ada.count(Kind.SEMANTIC, filter=filter) == len(listed)
        found = ada.search("anything", filter=filter, mode=Mode.VECTOR)
        assert sorted(hit.memory.key for hit in found) == listed
        return listed

    assert keys(None) == sorted(FACTS)
    assert keys(attr("n") >= 10) == ["cake", "oslo"]
    assert keys(attr("n") == 2**53) == []
    assert keys(attr("topic") != "food") == ["bare", "cat", "oslo"]
    assert keys({"$or": [{"n": "10"}, {"n": 9}]}) == ["cat", "tea"]
    assert keys(attr("tags").contains("hot")) == ["tea"]
    assert keys(attr("tags") == []) == ["cake"]
    assert keys(attr("where", "room") == "kitchen") == ["cat"]
    assert keys(~(attr("n") > 9)) == ["bare", "cat", "tea"]

    best = ada.search("green tea in the morning", mode=Mode.VECTOR, limit=2)
    assert best[0].memory.key == "tea"
    assert best[0].score is not None
    assert best[0].relevance == pytest.approx((1 + best[0].score) / 2, abs=1e-9)
    same = ada.search(FACTS["cake"][0], mode=Mode.VECTOR, limit=1)
    assert same[0].memory.key == "cake"
    assert same[0].score == pytest.approx(1.0, abs=1e-3)

    recent = ada.search(kind=Kind.EPISODIC, filter={"@session_id": "s-0"})
    assert recent.mode is Mode.RECENT
    assert [hit.memory.key for hit in recent] == ["q4", "q2", "q0"]
    by_time = ada.list(Kind.EPISODIC, order=Order.EVENT_TIME, page_size=2)
    assert [memory.key for memory in by_time] == [f"q{number}" for number in range(5)]


def check_writes(ada: Scope) -> None:
    """Update, preconditions and delete."""
    before = ada.get(Kind.SEMANTIC, "tea")
    assert before is not None
    updated = ada.update(Kind.SEMANTIC, "tea", attributes={"topic": "drink"}, if_match=before.etag)
    assert updated.outcome is Outcome.UPDATED
    with pytest.raises(Aborted):
        ada.update(Kind.SEMANTIC, "tea", attributes={"n": 0}, if_match=before.etag)
    with pytest.raises(AlreadyExists):
        ada.put(Kind.SEMANTIC, "tea", text="another", if_absent=True)
    after = ada.get(Kind.SEMANTIC, "tea")
    assert after is not None
    assert dict(after.attributes) == {**FACTS["tea"][1], "topic": "drink"}
    assert (after.text, after.create_time) == (before.text, before.create_time)
    again = ada.put(Kind.SEMANTIC, "cake", text=FACTS["cake"][0], attributes=FACTS["cake"][1])
    assert again.outcome is Outcome.UNCHANGED
    assert ada.delete(Kind.SEMANTIC, "tea").outcome is Outcome.DELETED
    assert ada.delete(Kind.SEMANTIC, "tea").outcome is Outcome.MISSING
    assert ada.count(Kind.SEMANTIC) == len(FACTS) - 1
    assert ada.remember(FACTS["tea"][0], key="tea", attributes=FACTS["tea"][1]).ok


def test_the_story_is_the_same(gateway: Gateway) -> None:
    with Client(gateway.address) as client:
        wait_until_served(client)
        ada, bob = client.scope("support-bot", "ada"), client.scope("support-bot", "bob")
        if not client.status().routes[Kind.SEMANTIC].persistent:
            pytest.skip("the store keeps nothing over a restart")
        write(ada)
        bob.remember("Prefers coffee in the morning", key="tea", attributes={"n": 10})
        check_reads(ada)
        check_writes(ada)
        check_reads(ada)
        etags = {memory.key: memory.etag for memory in ada.list(Kind.SEMANTIC)}
        gateway.stop()
        gateway.start()
        wait_until_served(client)
        check_reads(ada)
        assert {memory.key: memory.etag for memory in ada.list(Kind.SEMANTIC)} == etags
        gateway.kill()
        gateway.start()
        wait_until_served(client)
        check_reads(ada)
        check_writes(ada)
        both = client.scope("support-bot").search("in the morning", mode=Mode.VECTOR)
        assert {hit.memory.namespace[-1] for hit in both} == {"ada", "bob"}
        assert bob.count(Kind.SEMANTIC) == 1
        assert client.health("semantic") is Health.SERVING


def test_a_batch_of_many_is_written_and_walked(gateway: Gateway) -> None:
    with Client(gateway.address) as client:
        wait_until_served(client)
        ada = client.scope("many")
        keys = [f"{number:04}" for number in range(600)]
        results = ada.put_many(
            Put(
                ada.ref(Kind.EPISODIC, key),
                text=f"event {number}",
                episode=Episode(event_time=MORNING.replace(microsecond=number)),
                attributes={"odd": bool(number % 2)},
            )
            for number, key in enumerate(keys)
        )
        results.raise_for_error()
        assert [result.key for result in results] == keys
        newest = ada.list(Kind.EPISODIC, order=Order.EVENT_TIME, descending=True, page_size=70)
        assert [memory.key for memory in newest] == keys[::-1]
        assert ada.count(Kind.EPISODIC, filter={"odd": True}) == 300
