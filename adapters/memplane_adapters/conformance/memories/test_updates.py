"""An update changes what it names and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from memplane import (
    AsyncScope,
    Capabilities,
    InvalidArgument,
    Kind,
    Mode,
    NotFound,
    Outcome,
    Update,
)
from memplane.v1 import memory_service_pb2 as pb
from memplane_adapters.conformance.memories.doors import Door, call
from memplane_adapters.conformance.memories.helpers import (
    EVERY_KIND,
    ON_THE_SESSION_LOOP,
    SEARCHED,
    at,
    axis,
    dimension_of,
    expired,
    failed,
    needs,
    needs_texts,
    ref_message,
    refused,
    string_value,
    there,
)

pytestmark = ON_THE_SESSION_LOOP

CONTENT: dict[str, Any] = {
    "text": "Prefers tea",
    "attributes": {"topic": "food", "n": 1, "none": None},
    "value": {"x": [1]},
    "importance": 0.25,
    "pinned": True,
}


def content_of(memory: Any) -> dict[str, Any]:
    return {name: getattr(memory, name) for name in CONTENT}


@EVERY_KIND
@pytest.mark.parametrize(
    ("change", "becomes"),
    [
        ({"text": "Prefers coffee"}, {"text": "Prefers coffee"}),
        ({"text": ""}, {"text": ""}),
        ({"attributes": {"n": 2}}, {"attributes": {"topic": "food", "n": 2, "none": None}}),
        (
            {"attributes": {"new": [], "n": None}},
            {"attributes": {"topic": "food", "n": None, "none": None, "new": []}},
        ),
        ({"remove_attributes": ["n", "none"]}, {"attributes": {"topic": "food"}}),
        (
            {"remove_attributes": ["n", "missing"], "attributes": {"m": 1}},
            {"attributes": {"topic": "food", "none": None, "m": 1}},
        ),
        ({"value": 5}, {"value": 5}),
        ({"value": None}, {"value": None}),
        ({"importance": 0.0}, {"importance": 0.0}),
        ({"pinned": False}, {"pinned": False}),
    ],
    ids=lambda given: "-".join(given) if isinstance(given, dict) else "",
)
async def test_field_20_an_update_keeps_what_it_does_not_name(
    space: AsyncScope, kind: Kind, change: dict[str, Any], becomes: dict[str, Any]
) -> None:
    written = await space.put(kind, "k", **CONTENT)
    updated = await space.update(kind, "k", **change)
    assert updated.outcome is Outcome.UPDATED
    assert updated.revision > written.revision
    assert updated.etag != written.etag
    assert updated.create_time == written.create_time
    memory = await there(space, kind, "k")
    assert content_of(memory) == {**CONTENT, **becomes}
    assert memory.has_value
    assert (memory.etag, memory.revision) == (updated.etag, updated.revision)


@EVERY_KIND
@pytest.mark.parametrize(
    "change",
    [
        {},
        {"text": CONTENT["text"]},
        {"attributes": {"topic": "food", "none": None}},
        {"remove_attributes": ["missing", "also missing"]},
        {"value": {"x": [1]}},
        {"importance": 0.25},
        {"pinned": True},
    ],
    ids=lambda change: "-".join(change) or "nothing",
)
async def test_an_update_to_what_is_there_changes_nothing(
    space: AsyncScope, kind: Kind, change: dict[str, Any]
) -> None:
    written = await space.put(kind, "k", **CONTENT, ttl=3600)
    updated = await space.update(kind, "k", **change)
    assert updated.outcome is Outcome.UNCHANGED
    assert (updated.etag, updated.revision) == (written.etag, written.revision)
    assert updated.update_time == written.update_time
    assert updated.expire_time == written.expire_time


@EVERY_KIND
async def test_a_value_that_is_null_is_not_a_value_that_is_absent(
    space: AsyncScope, kind: Kind
) -> None:
    await space.put(kind, "k")
    assert not (await there(space, kind, "k")).has_value
    assert (await space.update(kind, "k", pinned=True)).outcome is Outcome.UPDATED
    assert not (await there(space, kind, "k")).has_value
    assert (await space.update(kind, "k", value=None)).outcome is Outcome.UPDATED
    memory = await there(space, kind, "k")
    assert memory.has_value
    assert memory.value is None


@EVERY_KIND
async def test_an_update_needs_a_memory(space: AsyncScope, kind: Kind) -> None:
    await expired(space, kind, "expired", text="t")
    await space.put(kind, "there", text="t")
    results = await space.update_many(
        [
            Update(space.ref(kind, "missing"), text="new"),
            Update(space.ref(kind, "there"), text="new"),
            Update(space.ref(kind, "expired"), text="new"),
        ]
    )
    failed(results[0], NotFound, "MEMORY_NOT_FOUND")
    assert results[1].outcome is Outcome.UPDATED
    failed(results[2], NotFound, "MEMORY_NOT_FOUND")
    assert await space.get(kind, "missing") is None
    assert await space.get(kind, "expired") is None


@EVERY_KIND
async def test_a_name_cannot_be_set_and_removed_at_once(
    door: Door, space: AsyncScope, kind: Kind
) -> None:
    await space.put(kind, "k", attributes={"n": 1})
    update = pb.MemoryUpdate(
        ref=ref_message(space.ref(kind, "k")),
        attributes={"n": string_value("2")},
        remove_attributes=["n"],
    )
    with refused(InvalidArgument, "INVALID_REQUEST", "updates[0].remove_attributes['n']"):
        await call(
            door,
            "UpdateMemories",
            pb.UpdateMemoriesRequest(updates=[update]),
            pb.UpdateMemoriesResponse,
        )
    assert (await there(space, kind, "k")).attributes == {"n": 1}


@EVERY_KIND
async def test_an_update_cannot_grow_a_memory_beyond_64_attributes(
    space: AsyncScope, kind: Kind
) -> None:
    before = {f"a{number}": number for number in range(60)}
    await space.put(kind, "k", attributes=before)
    with refused():
        await space.update(kind, "k", attributes={f"b{number}": 0 for number in range(5)})
    assert (await there(space, kind, "k")).attributes == before
    swapped = await space.update(
        kind,
        "k",
        attributes={f"b{number}": 0 for number in range(5)},
        remove_attributes=["a0"],
    )
    assert swapped.outcome is Outcome.UPDATED


@EVERY_KIND
async def test_an_update_cannot_grow_a_memory_beyond_10000_values(
    space: AsyncScope, kind: Kind
) -> None:
    try:
        await space.put(kind, "k", attributes={"a": list(range(6_000))})
    except InvalidArgument as error:
        needs(error.reason != "ITEM_TOO_LARGE", "room for so many values in attributes")
        raise
    with refused():
        await space.update(kind, "k", value=list(range(6_000)))
    with refused():
        await space.update(kind, "k", attributes={"b": list(range(6_000))})
    assert not (await there(space, kind, "k")).has_value
    swapped = await space.update(kind, "k", attributes={"a": 1}, value=list(range(6_000)))
    assert swapped.outcome is Outcome.UPDATED


async def test_an_update_keeps_the_episode(space: AsyncScope) -> None:
    await space.record("t", key="k", event_time=at(7), session_id="s", input=[1], output=None)
    before = await there(space, Kind.EPISODIC, "k")
    await space.update(Kind.EPISODIC, "k", text="u", attributes={"a": 1})
    assert (await there(space, Kind.EPISODIC, "k")).episode == before.episode


@SEARCHED
async def test_an_update_of_the_attributes_keeps_a_client_s_vector(
    space: AsyncScope, kind: Kind, abilities: Capabilities
) -> None:
    own = axis(dimension_of(abilities, kind), 3.0, -4.0)
    await space.put(kind, "k", text="tea", vector=own)
    before = await there(space, kind, "k", with_vectors=True)
    await space.update(kind, "k", attributes={"a": 1}, importance=1.0, pinned=True, ttl=3600)
    after = await there(space, kind, "k", with_vectors=True)
    assert after.vector is not None
    assert before.vector is not None
    assert after.vector.tobytes() == before.vector.tobytes()
    assert after.embedding == before.embedding
    assert after.embedding is not None
    assert after.embedding.provider == "client"
    (hit,) = await space.search(vector=own, kind=kind)
    assert hit.score == pytest.approx(1.0, abs=1e-3)


@SEARCHED
async def test_a_new_text_is_embedded(
    space: AsyncScope, kind: Kind, abilities: Capabilities
) -> None:
    needs_texts(abilities, kind)
    own = axis(dimension_of(abilities, kind), 1.0)
    await space.put(kind, "fresh", text="green tea leaves")
    await space.put(kind, "embedded", text="old words")
    await space.put(kind, "own", text="old words", vector=own)
    for name in ("embedded", "own"):
        await space.update(kind, name, text="green tea leaves")
    fresh, *others = [
        await there(space, kind, name, with_vectors=True) for name in ("fresh", "embedded", "own")
    ]
    for other in others:
        assert other.vector == fresh.vector
        assert other.embedding == fresh.embedding
        assert other.searchable
    await space.update(kind, "embedded", attributes={"a": 1})
    assert (await there(space, kind, "embedded", with_vectors=True)).vector == fresh.vector


@SEARCHED
async def test_the_same_text_keeps_a_client_s_vector(
    space: AsyncScope, kind: Kind, abilities: Capabilities
) -> None:
    own = axis(dimension_of(abilities, kind), 1.0)
    await space.put(kind, "k", text="tea", vector=own)
    assert (await space.update(kind, "k", text="tea")).outcome is Outcome.UNCHANGED
    memory = await there(space, kind, "k", with_vectors=True)
    assert list(memory.vector or ()) == own


@SEARCHED
@pytest.mark.parametrize("with_vector", [False, True])
async def test_without_its_text_a_memory_is_not_found_any_more(
    space: AsyncScope, kind: Kind, abilities: Capabilities, with_vector: bool
) -> None:
    own = axis(dimension_of(abilities, kind), 1.0)
    if not with_vector:
        needs_texts(abilities, kind)
    await space.put(kind, "k", text="tea", vector=own if with_vector else None)
    updated = await space.update(kind, "k", text="")
    assert updated.searchable is False
    memory = await there(space, kind, "k", with_vectors=True)
    assert (memory.text, memory.vector, memory.embedding) == ("", None, None)
    assert memory.searchable is False
    assert len(await space.search(vector=own, kind=kind, mode=Mode.VECTOR)) == 0
    if abilities[kind].keyword:
        assert len(await space.search("tea", kind=kind, mode=Mode.KEYWORD)) == 0


@EVERY_KIND
async def test_keyword_search_follows_the_text(
    space: AsyncScope, kind: Kind, abilities: Capabilities
) -> None:
    if not abilities[kind].keyword:
        pytest.skip("the store has no keyword search")
    await space.put(kind, "k", text="tea")
    await space.update(kind, "k", text="coffee")
    assert len(await space.search("tea", kind=kind, mode=Mode.KEYWORD)) == 0
    assert len(await space.search("coffee", kind=kind, mode=Mode.KEYWORD)) == 1


@SEARCHED
async def test_a_second_equal_update_is_unchanged_though_stores_round_vectors(
    space: AsyncScope, kind: Kind, abilities: Capabilities
) -> None:
    needs(abilities[kind].vector, "vectors")
    # Its length in float32 is not exactly 1, and some stores make it so once more.
    own = axis(dimension_of(abilities, kind), 1.0, 1.0, 1.0)
    await space.put(kind, "k", vector=own)
    first = await space.update(kind, "k", attributes={"a": 1})
    second = await space.update(kind, "k", attributes={"a": 1})
    assert (first.outcome, second.outcome) == (Outcome.UPDATED, Outcome.UNCHANGED)
    again = await space.put(kind, "k", vector=own, attributes={"a": 1})
    assert again.outcome is Outcome.UNCHANGED
