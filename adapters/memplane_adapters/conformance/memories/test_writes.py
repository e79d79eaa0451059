"""What a write answers, and what is there afterwards."""

from __future__ import annotations

from typing import Any

from memplane import (
    AsyncScope,
    Capabilities,
    Delete,
    Durability,
    Episode,
    EpisodeType,
    Kind,
    NotFound,
    Outcome,
    Put,
)
from memplane_adapters.conformance.memories.helpers import (
    EVERY_KIND,
    ON_THE_SESSION_LOOP,
    SEARCHED,
    at,
    failed,
    key,
    keys_listed,
    needs_texts,
    put_all,
    there,
)

pytestmark = ON_THE_SESSION_LOOP


@EVERY_KIND
async def test_a_new_memory_is_created(
    space: AsyncScope, kind: Kind, abilities: Capabilities
) -> None:
    written = await space.put(kind, "k", text="A cup of tea", attributes={"n": 1})
    assert written.outcome is Outcome.CREATED
    assert written.ref == space.ref(kind, "k")
    assert written.revision > 0
    assert written.etag
    assert written.create_time == written.update_time
    assert written.expire_time is None
    assert written.durability is not Durability.UNKNOWN
    assert written.visible is abilities[kind].read_your_writes
    assert not written.replayed
    memory = await there(space, kind, "k")
    assert memory.ref == written.ref
    assert (memory.etag, memory.revision) == (written.etag, written.revision)
    assert (memory.create_time, memory.update_time) == (written.create_time, written.update_time)
    assert (memory.text, memory.attributes) == ("A cup of tea", {"n": 1})
    assert not memory.has_value
    assert memory.importance is None
    assert memory.pinned is False
    assert memory.searchable is written.searchable is (kind is not Kind.PROCEDURAL)
    assert (memory.episode is not None) is (kind is Kind.EPISODIC)


@EVERY_KIND
async def test_other_content_updates_and_the_create_time_survives(
    space: AsyncScope, kind: Kind
) -> None:
    first = await space.put(kind, "k", text="one")
    second = await space.put(kind, "k", text="two")
    third = await space.put(kind, "k", text="one")
    assert [each.outcome for each in (first, second, third)] == [
        Outcome.CREATED,
        Outcome.UPDATED,
        Outcome.UPDATED,
    ]
    assert first.create_time == second.create_time == third.create_time
    assert first.revision < second.revision < third.revision
    assert len({first.etag, second.etag, third.etag}) == 3
    assert first.update_time is not None
    assert second.update_time is not None
    assert third.update_time is not None
    assert first.update_time <= second.update_time <= third.update_time
    memory = await there(space, kind, "k")
    assert (memory.text, memory.etag) == ("one", third.etag)


@EVERY_KIND
async def test_the_same_content_changes_nothing(space: AsyncScope, kind: Kind) -> None:
    content: Any = {"text": "tea", "attributes": {"a": 1, "b": [None, {}]}, "value": {"x": b"1"}}
    first = await space.put(kind, "k", **content, importance=0.5, pinned=True)
    again = await space.put(kind, "k", **content, importance=0.5, pinned=True)
    assert again.outcome is Outcome.UNCHANGED
    assert (again.etag, again.revision) == (first.etag, first.revision)
    assert (again.create_time, again.update_time) == (first.create_time, first.update_time)
    memory = await there(space, kind, "k")
    assert (memory.etag, memory.revision) == (first.etag, first.revision)
    assert memory.update_time == first.update_time


@EVERY_KIND
async def test_each_part_of_the_content_counts_as_a_change(space: AsyncScope, kind: Kind) -> None:
    await space.put(kind, "k", text="tea", attributes={"n": 1}, value=1, importance=0.0)
    changes: list[Any] = [
        {"text": "Tea"},
        {"attributes": {"n": 1.0}},
        {"attributes": {"n": True}},
        {"attributes": {"n": "1"}},
        {"attributes": {}},
        {"attributes": {"n": None}},
        {"value": 1.0},
        {"value": None},
        {"importance": None},
        {"pinned": True},
    ]
    for change in changes:
        base: Any = {"text": "tea", "attributes": {"n": 1}, "value": 1, "importance": 0.0}
        changed = await space.put(kind, "k", **{**base, **change})
        assert changed.outcome is Outcome.UPDATED, change
        back = await space.put(kind, "k", **base)
        assert back.outcome is Outcome.UPDATED, change
        assert back.revision > changed.revision


@EVERY_KIND
async def test_a_memory_that_was_read_can_be_written_back(space: AsyncScope, kind: Kind) -> None:
    await space.put(kind, "k", text="tea", attributes={"n": [1, None]}, value=None, importance=1.0)
    memory = await there(space, kind, "k")
    (again,) = await put_all(space, [Put.of(memory)])
    assert again.outcome is Outcome.UNCHANGED


async def test_an_episode_without_a_time_happens_at_the_write(space: AsyncScope) -> None:
    first = await space.record("asked for a refund", key="k")
    memory = await there(space, Kind.EPISODIC, "k")
    assert memory.episode == Episode(EpisodeType.CUSTOM, event_time=first.update_time)
    again = await space.record("asked for a refund", key="k")
    assert again.outcome is Outcome.UNCHANGED
    other = await space.record("asked for two refunds", key="k")
    assert other.outcome is Outcome.UPDATED
    memory = await there(space, Kind.EPISODIC, "k")
    assert memory.episode is not None
    assert memory.episode.event_time == other.update_time


async def test_an_episode_comes_back_as_it_was(space: AsyncScope) -> None:
    for number, type_ in enumerate(EpisodeType):
        episode = Episode(
            type_, at(number), session_id="s/1", agent_id="a:1", actor="Ada", input={"q": 1}
        )
        await space.put(Kind.EPISODIC, type_.value, text="t", episode=episode)
        memory = await there(space, Kind.EPISODIC, type_.value)
        assert memory.episode == episode


async def test_other_parts_of_an_episode_count_as_a_change(space: AsyncScope) -> None:
    base: Any = {"type": "action", "event_time": at(0), "session_id": "s", "input": 1}
    await space.record("t", key="k", **base)
    assert (await space.record("t", key="k", **base)).outcome is Outcome.UNCHANGED
    changes: list[Any] = [
        {"type": "custom"},
        {"event_time": at(0.000001)},
        {"session_id": "S"},
        {"agent_id": "a"},
        {"actor": "a"},
        {"input": 1.0},
        {"output": 1},
    ]
    for change in changes:
        changed = await space.record("t", key="k", **{**base, **change})
        assert changed.outcome is Outcome.UPDATED, change
        await space.record("t", key="k", **base)


@EVERY_KIND
async def test_a_put_replaces_the_whole_memory(space: AsyncScope, kind: Kind) -> None:
    await space.put(
        kind,
        "k",
        text="tea",
        attributes={"gone": 1, "stays": 1},
        value=1,
        importance=0.5,
        pinned=True,
        ttl=3600,
    )
    await space.put(kind, "k", attributes={"stays": 2})
    memory = await there(space, kind, "k")
    assert memory.attributes == {"stays": 2}
    assert memory.text == ""
    assert not memory.has_value
    assert memory.importance is None
    assert memory.pinned is False
    assert memory.expire_time is None
    assert memory.searchable is False
    assert memory.embedding is None


@EVERY_KIND
async def test_a_delete_says_whether_anything_was_there(space: AsyncScope, kind: Kind) -> None:
    await put_all(space, [Put(space.ref(kind, "k"), text="t"), Put(space.ref(kind, "other"))])
    deleted = await space.delete(kind, "k")
    assert deleted.outcome is Outcome.DELETED
    assert (deleted.etag, deleted.revision) == ("", 0)
    assert deleted.create_time is None
    assert deleted.update_time is None
    assert await space.get(kind, "k") is None
    missing = await space.delete(kind, "k")
    assert missing.outcome is Outcome.MISSING
    assert missing.error is None
    assert await keys_listed(space, kind) == ["other"]


@EVERY_KIND
async def test_what_is_written_after_a_delete_is_another_memory(
    space: AsyncScope, kind: Kind
) -> None:
    first = await space.put(kind, "k", text="t", attributes={"old": 1})
    await space.delete(kind, "k")
    second = await space.put(kind, "k", text="t")
    assert second.outcome is Outcome.CREATED
    assert second.create_time is not None
    assert first.create_time is not None
    assert second.create_time >= first.create_time
    assert second.create_time == second.update_time
    assert second.revision > first.revision
    assert second.etag != first.etag
    assert (await there(space, kind, "k")).attributes == {}


@EVERY_KIND
async def test_the_gateway_says_where_a_change_came_from(space: AsyncScope, kind: Kind) -> None:
    await space.put(kind, "k", text="t", request_id="request-1")
    memory = await there(space, kind, "k")
    assert memory.provenance is not None
    assert memory.provenance.request_id == "request-1"
    assert memory.provenance.principal
    assert "memplane" in memory.provenance.source
    await space.update(kind, "k", text="u", request_id="request-2")
    memory = await there(space, kind, "k")
    assert memory.provenance is not None
    assert memory.provenance.request_id == "request-2"


@EVERY_KIND
async def test_equal_content_has_an_equal_content_hash(space: AsyncScope, kind: Kind) -> None:
    episode = Episode(event_time=at(0)) if kind is Kind.EPISODIC else None
    for name, text in (("a", "tea"), ("b", "tea"), ("c", "coffee")):
        await space.put(kind, name, text=text, attributes={"x": 1, "y": 2}, episode=episode)
    hashes = [(await there(space, kind, name)).content_hash for name in "abc"]
    assert hashes[0] == hashes[1] != hashes[2]
    assert all(hashes)


@SEARCHED
async def test_a_text_has_an_embedding_identity(
    space: AsyncScope, kind: Kind, abilities: Capabilities
) -> None:
    needs_texts(abilities, kind)
    await space.put(kind, "k", text="tea")
    assert (await there(space, kind, "k")).embedding == abilities[kind].embedding


async def test_one_call_writes_several_kinds_and_answers_in_order(space: AsyncScope) -> None:
    refs = [space.ref(kind, name) for name in ("x", "y", "z") for kind in Kind]
    results = await put_all(space, [Put(ref, text=str(ref)) for ref in refs])
    assert [result.ref for result in results] == refs
    found = await space.get_many([*reversed(refs), refs[0], refs[0], space.ref("semantic", "no")])
    assert [memory.text if memory else None for memory in found] == [
        *(str(ref) for ref in reversed(refs)),
        str(refs[0]),
        str(refs[0]),
        None,
    ]
    deleted = await space.delete_many([*refs[:2], space.ref("episodic", "no"), *refs[2:]])
    assert [result.outcome.value[0] for result in deleted] == list("ddm" + "d" * 7)


@EVERY_KIND
async def test_a_thousand_memories_go_in_one_call(space: AsyncScope, kind: Kind) -> None:
    refs = [space.ref(kind, f"{number:04}") for number in range(1000)]
    results = await put_all(space, [Put(ref, value=i) for i, ref in enumerate(refs)])
    assert [result.ref for result in results] == refs
    assert len({result.revision for result in results}) == 1000
    assert [memory.value for memory in await space.get_many(refs) if memory] == list(range(1000))
    assert await space.count(kind) == 1000


@EVERY_KIND
async def test_field_33_one_refused_item_is_said_and_the_others_are_written(
    space: AsyncScope, kind: Kind
) -> None:
    results = await space.put_many(
        [
            Put(space.ref(kind, "a"), text="1"),
            Put(space.ref(kind, "b"), text="2", if_present=True),
            Put(space.ref(kind, "c"), text="3"),
        ]
    )
    assert [result.ok for result in results] == [True, False, True]
    failed(results[1], NotFound, "MEMORY_NOT_FOUND")
    assert await keys_listed(space, kind) == ["a", "c"]


@EVERY_KIND
async def test_field_34_a_write_never_merges_what_is_alike(space: AsyncScope, kind: Kind) -> None:
    puts = [Put(space.ref(kind), text="Ada prefers tea in the morning") for _ in range(5)]
    results = await put_all(space, puts)
    assert {result.outcome for result in results} == {Outcome.CREATED}
    assert await space.count(kind) == 5


async def test_field_16_a_session_is_a_field_and_no_identity(space: AsyncScope) -> None:
    ada, bob = space.scope("ada"), space.scope("bob")
    await ada.record("ada speaks", session_id="s-1", key="k")
    await bob.record("bob speaks", session_id="s-1", key="k")
    assert (await there(ada, Kind.EPISODIC, "k")).text == "ada speaks"
    assert await keys_listed(ada, Kind.EPISODIC, {"@session_id": "s-1"}) == ["k"]
    assert await space.count(Kind.EPISODIC, filter={"@session_id": "s-1"}) == 2


@EVERY_KIND
async def test_field_27_deleting_one_namespace_leaves_the_others(
    space: AsyncScope, kind: Kind
) -> None:
    users = [space.scope(f"user-{number}") for number in range(3)]
    for user in users:
        await put_all(user, [Put(user.ref(kind, f"{number}")) for number in range(20)])
    await users[1].delete_many([users[1].ref(kind, f"{number}") for number in range(20)])
    assert [await user.count(kind) for user in users] == [20, 0, 20]


@EVERY_KIND
async def test_field_31_a_delete_counts_only_what_was_there(space: AsyncScope, kind: Kind) -> None:
    await space.put(kind, "there")
    deletes = [Delete(space.ref(kind, name)) for name in (key(), "there", key())]
    results = await space.delete_many(deletes)
    assert [result.outcome for result in results] == [
        Outcome.MISSING,
        Outcome.DELETED,
        Outcome.MISSING,
    ]
