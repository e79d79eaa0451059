"""Namespaces and keys are literal, whole and exact, on every store."""

from __future__ import annotations

import itertools

import pytest

from memplane import (
    AsyncClient,
    AsyncScope,
    Capabilities,
    InvalidArgument,
    Kind,
    Mode,
    Outcome,
    Put,
    Ref,
)
from memplane.v1 import memory_pb2
from memplane.v1 import memory_service_pb2 as pb
from memplane_adapters.conformance.memories.doors import Door, call
from memplane_adapters.conformance.memories.helpers import (
    EVERY_KIND,
    EVERY_STORE,
    KIND_NUMBERS,
    ON_THE_SESSION_LOOP,
    axis,
    dimension_of,
    key,
    keys_listed,
    keys_recent,
    places,
    put_all,
    refused,
    there,
)

pytestmark = ON_THE_SESSION_LOOP

HOSTILE = [
    *"%_*?:./\\[](){}<>'\"`^$#@!&|;,~+-= ",
    *("a%", "%a", "a_", "_a", "a*", "*", "**", "a.b", "..", "../x", "./", "a/b", "a:b", "::"),
    *("[a]", "[ab]", "[^a]", "a\\", "\\a", "\\%", "it's", 'say "hi"', "''", "--", "/* */"),
    *("a b", " a", "a ", "  ", "\t", "\n", "a\nb", "a\r\nb", "\x1f", "\x7f", "\u200b", "\ufeff"),
    *("A", "a", "AA", "aa", "aA", "ä", "Ä", "ß", "ss", "i", "İ", "\u0131", "日本", "🙂", "\u202ea"),
    *("null", "None", "true", "0", "00", "1", "1.0", "not", "and", "the", "a", "NaN"),
    *("\uffff", "\U00010000", "\ue000", "\U0010ffff", "{tag}", "(x|y)", "x*y", "~1", "%25", "%00"),
    *("acme", "acme-corp", "acme_corp", "acmecorp", "Acme", "acm", "default", "x" * 256),
]
LABELS = sorted(set(HOSTILE))


@EVERY_STORE
async def test_field_13_every_label_is_literal_for_every_prefix_call(
    space: AsyncScope, kind: Kind, sample: int
) -> None:
    puts = [
        Put(Ref(kind, (*space.namespace, label, *more), f"{number}"), text="t")
        for number, label in enumerate(LABELS)
        for more in ((), ("below",))
    ]
    await put_all(space, puts)
    assert await space.count(kind) == len(puts)
    for number, label in enumerate(LABELS):
        inside = space.scope(label)
        assert (await there(inside, kind, f"{number}")).namespace == (*space.namespace, label)
        # In every way, or in one of them, which is another for the next label.
        for way in range(3) if sample == 1 else (number % 3,):
            for exact, expected in ((False, 2), (True, 1)):
                if way == 0:
                    found = await keys_listed(inside, kind, exact_namespace=exact)
                elif way == 1:
                    found = await keys_recent(inside, kind, exact_namespace=exact)
                else:
                    found = [f"{number}"] * await inside.count(kind, exact_namespace=exact)
                assert found == [f"{number}"] * expected, (label, way, exact)


@EVERY_STORE
async def test_field_9_every_key_is_literal(space: AsyncScope, kind: Kind) -> None:
    names = [*LABELS, "x" * 512, "../../etc/passwd", "k\nv", "🙂" * 128]
    await put_all(space, [Put(space.ref(kind, name), value=name) for name in names])
    found = await space.get_many([space.ref(kind, name) for name in names])
    assert [memory.value for memory in found if memory] == names
    assert await keys_listed(space, kind) == sorted(names)
    for name in names[::7]:
        assert await keys_listed(space, kind, {"@key": name}) == [name]
    deleted = await space.delete_many([space.ref(kind, name) for name in names[::2]])
    assert {result.outcome for result in deleted} == {Outcome.DELETED}
    assert await keys_listed(space, kind) == sorted(names[1::2])


@EVERY_KIND
async def test_field_13_a_prefix_does_not_reach_a_sibling(
    space: AsyncScope, kind: Kind, abilities: Capabilities
) -> None:
    own = None if kind is Kind.PROCEDURAL else axis(dimension_of(abilities, kind), 1.0)
    for label in ("acme", "acme-corp", "acme%", "acm", "Acme"):
        for below in ((), ("user",)):
            ref = Ref(kind, (*space.namespace, label, *below), "k")
            await space.put(ref, text="secret tea", vector=own)
    acme = space.scope("acme")
    expected = {(*space.namespace, "acme"), (*space.namespace, "acme", "user")}
    assert {memory.namespace async for memory in acme.list(kind)} == expected
    assert await acme.count(kind) == 2
    assert await acme.count(kind, filter={"@key": "k"}) == 2
    modes = [Mode.RECENT]
    modes += [Mode.VECTOR] if own else []
    modes += [Mode.KEYWORD] if abilities[kind].keyword else []
    for mode in modes:
        found = await acme.search(
            "tea" if mode is Mode.KEYWORD else None,
            vector=own if mode is Mode.VECTOR else None,
            kind=kind,
            mode=mode,
        )
        assert {memory.namespace for memory in found.memories} == expected, mode


@EVERY_STORE
async def test_field_14_labels_never_run_together(space: AsyncScope, kind: Kind) -> None:
    paths = [
        *(("a", "b:c"), ("a", "b", "c"), ("a:b", "c"), ("a:b:c",)),
        *(("a/b",), ("a", "b"), ("a.b",), ("a\x1fb",), ("ab",), ("a", "b", "b")),
        *(("1", "23"), ("12", "3"), ("123",), ('["a"', '"b"]'), ('a","b',), ("a, b",)),
    ]
    refs = [
        Ref(kind, (*space.namespace, *path), name)
        for path in paths
        for name in ("c", "b:c", "b/c", "k")
    ]
    refs += [
        Ref(kind, (*space.namespace, "a"), "b:k"),
        Ref(kind, (*space.namespace, "a", "b"), ":k"),
        Ref(kind, (*space.namespace, "ab"), "kk"),
        Ref(kind, (*space.namespace, "abk"), "k"),
    ]
    results = await put_all(space, [Put(ref, value=i) for i, ref in enumerate(refs)])
    assert {result.outcome for result in results} == {Outcome.CREATED}
    found = await space.get_many(refs)
    assert [memory.value for memory in found if memory] == list(range(len(refs)))
    await space.delete(Ref(kind, (*space.namespace, "a", "b:c"), "k"))
    assert await space.count(kind) == len(refs) - 1


@EVERY_STORE
async def test_field_15_case_and_order_of_labels_count(space: AsyncScope, kind: Kind) -> None:
    paths = list(itertools.permutations(["t", "a", "A", "T"], 2))
    refs = [Ref(kind, (*space.namespace, *path), "K") for path in paths]
    lower = [Ref(kind, ref.namespace, "k") for ref in refs]
    results = await put_all(space, [Put(ref, value=str(ref)) for ref in (*refs, *lower)])
    assert {result.outcome for result in results} == {Outcome.CREATED}
    for path in paths:
        inside = space.scope(*path)
        assert await keys_listed(inside, kind) == ["K", "k"]
    await space.delete(refs[0])
    assert await space.get(refs[0]) is None
    rest = [*refs[1:], *lower]
    assert all(await space.get_many(rest))


@EVERY_STORE
async def test_blanks_count(space: AsyncScope, kind: Kind) -> None:
    labels = ["a", " a", "a ", "a  ", " a ", "a\t", "a\n", "\u00a0a", "a\u200b"]
    await put_all(
        space, [Put(space.scope(label).ref(kind, label), value=label) for label in labels]
    )
    for label in labels:
        assert await keys_listed(space.scope(label), kind) == [label]


@EVERY_KIND
async def test_exact_takes_one_level_and_a_prefix_all_below(space: AsyncScope, kind: Kind) -> None:
    for depth in range(4):
        below = space.scope(*("x" * depth))
        await below.put(kind, f"{depth}")
    for depth in range(4):
        inside = space.scope(*("x" * depth))
        down = [f"{number}" for number in range(depth, 4)]
        assert await keys_listed(inside, kind) == down
        assert sorted(await keys_recent(inside, kind)) == down
        assert await inside.count(kind) == len(down)
        assert await keys_listed(inside, kind, exact_namespace=True) == [f"{depth}"]
        assert await keys_recent(inside, kind, exact_namespace=True) == [f"{depth}"]
        assert await inside.count(kind, exact_namespace=True) == 1
    assert await keys_listed(space.scope("y"), kind) == []
    assert await space.scope("y").count(kind) == 0


@EVERY_KIND
async def test_reads_and_writes_by_ref_are_exact(space: AsyncScope, kind: Kind) -> None:
    await space.scope("x").put(kind, "k", text="below")
    assert await space.get(kind, "k") is None
    assert (await space.delete(kind, "k")).outcome is Outcome.MISSING
    assert (await space.put(kind, "k", text="above", if_absent=True)).outcome is Outcome.CREATED
    await space.delete(kind, "k")
    assert (await there(space.scope("x"), kind, "k")).text == "below"


@EVERY_KIND
async def test_field_18_the_empty_namespace_is_a_place_of_its_own(
    client: AsyncClient, space: AsyncScope, kind: Kind
) -> None:
    name = key()
    await space.put(kind, name, text="below")
    try:
        assert (await client.put(kind, name, text="root")).outcome is Outcome.CREATED
        assert (await there(client, kind, name)).text == "root"
        filter_ = {"@key": name}
        assert await keys_listed(client, kind, filter_, exact_namespace=True) == [name]
        assert await client.count(kind, filter=filter_) == 2
        assert await client.count(kind, filter=filter_, exact_namespace=True) == 1
    finally:
        await client.delete(kind, name)
    assert (await there(space, kind, name)).text == "below"


@EVERY_STORE
async def test_field_18_an_empty_label_is_refused_everywhere(
    client: AsyncClient, space: AsyncScope, kind: Kind
) -> None:
    nowhere = client.scope(*space.namespace, "")
    field = f"namespace[{len(space.namespace)}]"
    for call_, path in (
        (nowhere.put(kind, "k"), f"puts[0].memory.ref.{field}"),
        (nowhere.get(kind, "k"), f"refs[0].{field}"),
        (nowhere.update(kind, "k"), f"updates[0].ref.{field}"),
        (nowhere.delete(kind, "k"), f"deletes[0].ref.{field}"),
        (nowhere.search(kind=kind), f"queries[0].{field}"),
        (nowhere.list(kind).page(), field),
        (nowhere.count(kind), field),
    ):
        with refused(InvalidArgument, "INVALID_REQUEST", path):
            await call_


BAD_NAMES = {
    "nul": "a\0b",
    "decomposed": "e\u0301",
    "compatibility-order": "q\u0307\u0323",
    "too-long": "x" * 513,
    "too-long-in-bytes": "é" * 257,
}


@EVERY_STORE
@pytest.mark.parametrize("name", BAD_NAMES.values(), ids=BAD_NAMES)
async def test_a_bad_name_is_refused_as_label_and_as_key(
    client: AsyncClient, space: AsyncScope, kind: Kind, name: str
) -> None:
    with refused(InvalidArgument, "INVALID_REQUEST", "puts[0].memory.ref.key"):
        await space.put(kind, name)
    with refused(InvalidArgument, "INVALID_REQUEST", "refs[0].key"):
        await space.get(kind, name)
    with refused(InvalidArgument, "INVALID_REQUEST", "deletes[0].ref.key"):
        await space.delete(kind, name)
    nowhere = client.scope(*space.namespace, name)
    field = f"namespace[{len(space.namespace)}]"
    for call_, path in (
        (nowhere.put(kind, "k"), f"puts[0].memory.ref.{field}"),
        (nowhere.search(kind=kind), f"queries[0].{field}"),
        (nowhere.list(kind).page(), field),
        (nowhere.count(kind), field),
    ):
        with refused(InvalidArgument, "INVALID_REQUEST", path):
            await call_
    assert await space.count(kind) == 0


@EVERY_STORE
async def test_an_empty_key_is_refused_where_it_is_not_minted(
    door: Door, space: AsyncScope, kind: Kind
) -> None:
    ref = memory_pb2.MemoryRef(kind=KIND_NUMBERS[kind], namespace=space.namespace)
    with refused(InvalidArgument, "INVALID_REQUEST", "refs[0].key"):
        await call(door, "GetMemories", pb.GetMemoriesRequest(refs=[ref]), pb.GetMemoriesResponse)
    with refused(InvalidArgument, "INVALID_REQUEST", "updates[0].ref.key"):
        await call(
            door,
            "UpdateMemories",
            pb.UpdateMemoriesRequest(updates=[pb.MemoryUpdate(ref=ref)]),
            pb.UpdateMemoriesResponse,
        )


@EVERY_STORE
async def test_field_19_keys_need_be_neither_uuid_nor_number(space: AsyncScope, kind: Kind) -> None:
    names = ["my note", "42", "-1", "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "a/b:c.d", "é"]
    for name in names:
        assert (await space.put(kind, name)).key == name
    assert sorted(await keys_listed(space, kind)) == sorted(names)


@EVERY_STORE
async def test_the_order_by_key_is_label_by_label_and_by_code_point(
    space: AsyncScope, kind: Kind
) -> None:
    labels = ["a", "a!", "a-b", "a/b", "aa", "A", "B", "ä", "\uffff", "\U00010000", "\ue000", " "]
    paths = [(label,) for label in labels] + [("a", label) for label in labels]
    refs = [
        Ref(kind, (*space.namespace, *path), name) for path in paths for name in ("k", "K", "é")
    ]
    await put_all(space, [Put(ref) for ref in refs])
    expected = sorted((ref.namespace, ref.key) for ref in refs)
    walked = [memory async for memory in space.list(kind, page_size=7)]
    assert places(walked) == expected
    walked = [memory async for memory in space.list(kind, page_size=7, descending=True)]
    assert places(walked) == expected[::-1]
