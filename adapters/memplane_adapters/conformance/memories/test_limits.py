"""Each limit that GetCapabilities shows: what is at it passes, and one more is refused."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import pytest

from memplane import AsyncScope, Capabilities, InvalidArgument, Kind
from memplane.v1 import filter_pb2, memory_pb2, search_pb2, value_pb2
from memplane.v1 import memory_service_pb2 as pb
from memplane_adapters.conformance.memories.doors import Door, call
from memplane_adapters.conformance.memories.helpers import (
    KIND_NUMBERS,
    ON_THE_SESSION_LOOP,
    dimension_of,
    needs_room,
    ref_message,
    refused,
    string_value,
    there,
)
from memplane_gateway import limits

pytestmark = ON_THE_SESSION_LOOP

SEMANTIC = KIND_NUMBERS[Kind.SEMANTIC]
Try: TypeAlias = Callable[[Door, AsyncScope, int], Awaitable[None]]


async def put(door: Door, space: AsyncScope, **content: Any) -> None:
    """Writes one memory as it is given."""
    memory = memory_pb2.Memory(**{"ref": ref_message(space.ref(Kind.SEMANTIC, "k")), **content})
    request = pb.PutMemoriesRequest(puts=[pb.MemoryPut(memory=memory)])
    await call(door, "PutMemories", request, pb.PutMemoriesResponse)


async def listing(door: Door, space: AsyncScope, **options: Any) -> pb.ListMemoriesResponse:
    """Lists one page as it is asked."""
    request = pb.ListMemoriesRequest(**{"kind": SEMANTIC, "namespace": space.namespace, **options})
    return await call(door, "ListMemories", request, pb.ListMemoriesResponse)


async def search(door: Door, space: AsyncScope, **options: Any) -> pb.SearchMemoriesResponse:
    """Asks one query as it is given."""
    query = search_pb2.SearchQuery(**{"kind": SEMANTIC, "namespace": space.namespace, **options})
    request = pb.SearchMemoriesRequest(queries=[query])
    return await call(door, "SearchMemories", request, pb.SearchMemoriesResponse)


def condition(*path: str, operand: value_pb2.Value | None = None, op: int = 1) -> filter_pb2.Filter:
    """A condition as it is given."""
    return filter_pb2.Filter(
        condition=filter_pb2.Condition(path=path, op=op, operand=operand or string_value("x"))  # type: ignore[arg-type]
    )


def episode_with(field: str, text: str) -> memory_pb2.Episode:
    """An episode with one of its strings."""
    episode = memory_pb2.Episode()
    setattr(episode, field, text)
    return episode


def list_of(size: int) -> value_pb2.Value:
    """A list of so many strings."""
    items = [string_value(str(number)) for number in range(size)]
    return value_pb2.Value(list_value=value_pb2.ListValue(values=items))


async def batch_items(door: Door, space: AsyncScope, size: int) -> None:
    refs = [ref_message(space.ref(Kind.SEMANTIC, f"{number}")) for number in range(size)]
    puts = [pb.MemoryPut(memory=memory_pb2.Memory(ref=ref)) for ref in refs]
    updates = [pb.MemoryUpdate(ref=ref, pinned=True) for ref in refs]
    deletes = [pb.MemoryDelete(ref=ref) for ref in refs]
    calls: tuple[tuple[str, Any, Any], ...] = (
        ("PutMemories", pb.PutMemoriesRequest(puts=puts), pb.PutMemoriesResponse),
        ("GetMemories", pb.GetMemoriesRequest(refs=refs), pb.GetMemoriesResponse),
        ("UpdateMemories", pb.UpdateMemoriesRequest(updates=updates), pb.UpdateMemoriesResponse),
        ("DeleteMemories", pb.DeleteMemoriesRequest(deletes=deletes), pb.DeleteMemoriesResponse),
    )
    errors = []
    for method, request, response in calls:
        try:
            assert len((await call(door, method, request, response)).results) == size
        except InvalidArgument as error:
            errors.append(error)
    assert len(errors) in (0, len(calls)), "all four have the same limit"
    if errors:
        raise errors[0]


async def query_items(door: Door, space: AsyncScope, size: int) -> None:
    query = search_pb2.SearchQuery(kind=SEMANTIC, namespace=space.namespace)
    request = pb.SearchMemoriesRequest(queries=[query] * size)
    reply = await call(door, "SearchMemories", request, pb.SearchMemoriesResponse)
    assert len(reply.results) == size


async def namespace_labels(door: Door, space: AsyncScope, size: int) -> None:
    path = [*space.namespace, *("x" * (size - len(space.namespace)))]
    errors = []
    for attempt in (
        put(door, space, ref=memory_pb2.MemoryRef(kind=SEMANTIC, namespace=path, key="k")),
        listing(door, space, namespace=path),
        search(door, space, namespace=path),
    ):
        try:
            await attempt
        except InvalidArgument as error:
            errors.append(error)
    assert len(errors) in (0, 3), "all have the same limit"
    if errors:
        raise errors[0]


async def label_bytes(door: Door, space: AsyncScope, size: int) -> None:
    for label in ("x" * size, "é" * (size // 2) + "x" * (size % 2)):
        path = [*space.namespace, label]
        await put(door, space, ref=memory_pb2.MemoryRef(kind=SEMANTIC, namespace=path, key="k"))


async def key_bytes(door: Door, space: AsyncScope, size: int) -> None:
    for key in ("x" * size, "é" * (size // 2) + "x" * (size % 2)):
        await put(door, space, ref=ref_message(space.ref(Kind.SEMANTIC, key)))


async def text_bytes(door: Door, space: AsyncScope, size: int) -> None:
    for text in ("x" * size, "🙂" * (size // 4) + "x" * (size % 4)):
        await put(door, space, text=text)


async def attribute_items(door: Door, space: AsyncScope, size: int) -> None:
    await put(door, space, attributes={f"{number}": string_value("") for number in range(size)})


async def attribute_name_bytes(door: Door, space: AsyncScope, size: int) -> None:
    for name in ("x" * size, "é" * (size // 2) + "x" * (size % 2)):
        await put(door, space, attributes={name: string_value("")})
        await listing(door, space, filter=condition(name))


async def string_bytes(door: Door, space: AsyncScope, size: int) -> None:
    errors = []
    for value in (
        value_pb2.Value(string_value="x" * size),
        value_pb2.Value(string_value="🙂" * (size // 4) + "x" * (size % 4)),
        value_pb2.Value(bytes_value=b"x" * size),
    ):
        for content in ({"value": value}, {"attributes": {"a": value}}):
            try:
                await put(door, space, **content)
            except InvalidArgument as error:
                errors.append(error)
    assert len(errors) in (0, 6), "strings and bytes have the same limit"
    if errors:
        raise errors[0]


async def value_depth(door: Door, space: AsyncScope, size: int) -> None:
    lists, maps = value_pb2.Value(), value_pb2.Value()
    lists.list_value.SetInParent()
    maps.map_value.SetInParent()
    for _ in range(size - 1):
        lists = value_pb2.Value(list_value=value_pb2.ListValue(values=[lists]))
        maps = value_pb2.Value(map_value=value_pb2.MapValue(entries={"m": maps}))
    for value in (lists, maps):
        await put(door, space, value=value)
        await put(door, space, attributes={"a": value})
    assert (await there(space, Kind.SEMANTIC, "k")).attributes["a"]


async def value_items(door: Door, space: AsyncScope, size: int) -> None:
    """The items of lists and maps count, in all of a memory together."""
    half = size // 2
    some = {"a": list_of(half)}  # and one is the attribute itself
    named = {f"{number}": string_value("") for number in range(size)}
    errors = []
    for attempt in (
        put(door, space, value=list_of(size)),
        put(door, space, value=value_pb2.Value(map_value=value_pb2.MapValue(entries=named))),
        put(door, space, attributes=some, value=list_of(size - half - 1)),
        listing(door, space, filter=condition("x", operand=list_of(size))),
    ):
        try:
            await attempt
        except InvalidArgument as error:
            errors.append(error)
    assert len(errors) in (0, 4), "all have the same limit"
    if errors:
        raise errors[0]


async def page_items(door: Door, space: AsyncScope, size: int) -> None:
    """Over the limit counts as the limit, and is no error; see test_paging."""
    await listing(door, space, page_size=size)


async def filter_depth(door: Door, space: AsyncScope, size: int) -> None:
    node = condition("x")
    for _ in range(size - 1):
        node = filter_pb2.Filter(negation=node)
    await listing(door, space, filter=node)
    await search(door, space, filter=node)


async def filter_conditions(door: Door, space: AsyncScope, size: int) -> None:
    parts = [condition("x") for _ in range(size)]
    halves = [
        filter_pb2.Filter(any=filter_pb2.FilterList(filters=half))
        for half in (parts[: size // 2], parts[size // 2 :])
    ]
    tree = filter_pb2.Filter(all=filter_pb2.FilterList(filters=halves))
    await listing(door, space, filter=tree)
    await search(door, space, filter=tree)


async def filter_operands(door: Door, space: AsyncScope, size: int) -> None:
    for op in (
        filter_pb2.OP_IN,
        filter_pb2.OP_NOT_IN,
        filter_pb2.OP_CONTAINS_ANY,
        filter_pb2.OP_CONTAINS_ALL,
    ):
        await listing(door, space, filter=condition("x", operand=list_of(size), op=op))


TRIES: dict[str, Try] = {
    "batch_items": batch_items,
    "query_items": query_items,
    "namespace_labels": namespace_labels,
    "label_bytes": label_bytes,
    "key_bytes": key_bytes,
    "text_bytes": text_bytes,
    "attribute_items": attribute_items,
    "attribute_name_bytes": attribute_name_bytes,
    "string_bytes": string_bytes,
    "value_depth": value_depth,
    "value_items": value_items,
    "page_items": page_items,
    "filter_depth": filter_depth,
    "filter_conditions": filter_conditions,
    "filter_operands": filter_operands,
}


@pytest.mark.parametrize("name", TRIES)
async def test_what_is_at_a_limit_passes(
    door: Door, space: AsyncScope, abilities: Capabilities, name: str
) -> None:
    if name in ("text_bytes", "string_bytes", "value_items"):
        needs_room(abilities, Kind.SEMANTIC, 1_000_000)
    await TRIES[name](door, space, abilities.limits[name])


async def test_what_a_store_has_no_room_for_is_refused_before_anything_is_done(
    door: Door, space: AsyncScope, abilities: Capabilities
) -> None:
    limit = abilities[Kind.SEMANTIC].max_metadata_bytes
    if limit is None:
        pytest.skip("the store does not limit what is beside vectors")
    small, large = (
        pb.MemoryPut(
            memory=memory_pb2.Memory(ref=ref_message(space.ref("semantic", key)), text=text)
        )
        for key, text in (("small", "t"), ("large", "x" * limit))
    )
    request = pb.PutMemoriesRequest(puts=[small, large])
    with refused(InvalidArgument, "ITEM_TOO_LARGE", "puts[1].memory") as refusal:
        await call(door, "PutMemories", request, pb.PutMemoriesResponse)
    assert int(refusal.error.metadata["limit_bytes"]) == limit
    assert int(refusal.error.metadata["actual_bytes"]) > limit
    assert await space.count(Kind.SEMANTIC) == 0
    request.puts[1].memory.text = "x" * (limit // 2)
    await call(door, "PutMemories", request, pb.PutMemoriesResponse)


@pytest.mark.parametrize("name", sorted(TRIES.keys() - {"page_items"}))
async def test_what_is_over_a_limit_is_refused(
    door: Door, space: AsyncScope, abilities: Capabilities, name: str
) -> None:
    with refused():
        await TRIES[name](door, space, abilities.limits[name] + 1)
    assert await space.count(Kind.SEMANTIC) == 0


async def test_every_limit_is_shown_and_tried(abilities: Capabilities) -> None:
    assert dict(abilities.limits) == limits.SHOWN
    # Here below, in test_sizes, and in test_indexed_texts.
    elsewhere = {"vector_dimensions", "page_bytes", "reply_bytes", "memory_bytes"}
    elsewhere |= {"indexed_text_items", "indexed_text_path_bytes"}
    assert abilities.limits.keys() - TRIES.keys() == elsewhere


async def test_a_vector_over_the_limit_is_refused(
    door: Door, space: AsyncScope, abilities: Capabilities
) -> None:
    own = dimension_of(abilities, Kind.SEMANTIC)
    limit = abilities.limits["vector_dimensions"]
    assert own <= limit
    one = b"\0\0\x80\x3f"
    with refused(InvalidArgument, "INVALID_REQUEST", "puts[0].memory.vector"):
        await put(door, space, vector=one * (limit + 1))
    with refused(InvalidArgument, "INVALID_REQUEST", "queries[0].vector"):
        await search(door, space, vector=one * (limit + 1))
    if own != limit:
        with refused(InvalidArgument, "DIMENSION_MISMATCH"):
            await put(door, space, vector=one * limit)


@pytest.mark.parametrize("field", ["session_id", "agent_id", "actor"])
async def test_the_names_in_an_episode_have_at_most_512_bytes(
    door: Door, space: AsyncScope, field: str
) -> None:
    ref = ref_message(space.ref(Kind.EPISODIC, "k"))
    for good in ("x" * 512, "é" * 256, "a b/c:d%_*", "日本"):
        await put(door, space, ref=ref, episode=episode_with(field, good))
        memory = await there(space, Kind.EPISODIC, "k")
        assert memory.episode is not None
        assert getattr(memory.episode, field) == good
    for bad in ("x" * 513, "é" * 256 + "x", "a\0"):
        with refused(InvalidArgument, "INVALID_REQUEST", f"puts[0].memory.episode.{field}"):
            await put(door, space, ref=ref, episode=episode_with(field, bad))


async def test_a_path_of_a_filter_has_1_to_16_names(door: Door, space: AsyncScope) -> None:
    await listing(door, space, filter=condition(*("x" * 16)))
    for path in ((), ("x",) * 17):
        with refused(InvalidArgument, "INVALID_REQUEST", "filter.condition.path"):
            await listing(door, space, filter=condition(*path))


async def test_a_filter_has_1_to_64_parts(door: Door, space: AsyncScope) -> None:
    for name in ("all", "any"):
        for size, good in ((0, False), (1, True), (64, True), (65, False)):
            parts = filter_pb2.FilterList(filters=[condition("x")] * size)
            tree = filter_pb2.Filter(**{name: parts})  # type: ignore[arg-type]
            if good:
                await listing(door, space, filter=tree)
            else:
                with refused():
                    await listing(door, space, filter=tree)


async def test_a_query_has_1_to_65536_bytes(door: Door, space: AsyncScope) -> None:
    for good in ("x", "x" * 65_536, "🙂" * 16_384):
        await search(door, space, text=good, mode=search_pb2.SEARCH_MODE_AUTO)
    for bad in ("", "x" * 65_537, "a\0"):
        with refused(InvalidArgument, "INVALID_REQUEST", "queries[0].text"):
            await search(door, space, text=bad)


@pytest.mark.parametrize("bad", ["", "@x", "@key", "@", "x" * 129, "a\0"])
async def test_a_bad_attribute_name_is_refused(door: Door, space: AsyncScope, bad: str) -> None:
    with refused():
        await put(door, space, attributes={bad: string_value("")})
    update = pb.MemoryUpdate(
        ref=ref_message(space.ref(Kind.SEMANTIC, "k")), attributes={bad: string_value("")}
    )
    with refused():
        await call(
            door,
            "UpdateMemories",
            pb.UpdateMemoriesRequest(updates=[update]),
            pb.UpdateMemoriesResponse,
        )
    assert await space.count(Kind.SEMANTIC) == 0


@pytest.mark.parametrize("importance", [-0.0001, 1.0001, float("nan"), float("inf")])
async def test_an_importance_is_between_0_and_1(
    door: Door, space: AsyncScope, importance: float
) -> None:
    with refused(InvalidArgument, "INVALID_REQUEST", "puts[0].memory.importance"):
        await put(door, space, importance=importance)
    with refused(InvalidArgument, "INVALID_REQUEST", "queries[0].min_relevance"):
        await search(door, space, text="x", min_relevance=importance)
