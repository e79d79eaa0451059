"""Namespaces are listed whole, in order and once, whatever their labels, wherever a page ends."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pytest

from memplane import AsyncScope, InvalidArgument, Kind, Put, Ref
from memplane.v1 import memory_pb2
from memplane.v1 import namespace_pb2 as pb
from memplane_adapters.conformance.memories.doors import Door, call
from memplane_adapters.conformance.memories.helpers import (
    EVERY_STORE,
    ON_THE_SESSION_LOOP,
    expired,
    key,
    put_all,
    refused,
)
from memplane_adapters.conformance.memories.test_namespaces import LABELS

pytestmark = ON_THE_SESSION_LOOP

Place = tuple[str, ...]

_SPACE = "the label of the space"

PLACES: list[Place] = [
    (),
    ("a",),
    ("a", "b"),
    ("a", "b", "x"),
    ("a", "c"),
    ("a!",),
    ("ab", "b"),
    ("b", "a", "x"),
    ("b", "x"),
    ("c", "b", "y"),
    ("*",),
    ("\\*", "x"),
    ("\U0010ffff" * 64, "x"),
]
QUESTIONS: list[dict[str, Any]] = [
    {},
    {"prefix": ["a"]},
    {"prefix": ["*"]},
    {"prefix": ["*", "b"]},
    {"prefix": ["a", "*"]},
    {"prefix": ["\\*"]},
    {"prefix": ["\\\\*"]},
    {"prefix": ["nowhere"]},
    {"suffix": ["x"]},
    {"suffix": ["b", "*"]},
    {"suffix": ["*", "*", "*"]},
    {"prefix": ["*", "b"], "suffix": ["y"]},
    {"prefix": ["a", "b"], "suffix": ["b", "x"]},
    {"max_depth": 1},
    {"max_depth": 2},
    {"max_depth": 1, "suffix": ["x"]},
    {"max_depth": 1, "prefix": ["*", "b"]},
    {"max_depth": 2, "prefix": ["a"], "suffix": ["x"]},
]


def expected(given: Iterable[Place], question: dict[str, Any]) -> list[Place]:
    """The answer, made without any leap."""

    def allowed(labels: Sequence[str], patterns: Sequence[str]) -> bool:
        plain = {"\\*": "*", "\\\\*": "\\*"}
        return len(labels) == len(patterns) and all(
            pattern == "*" or plain.get(pattern, pattern) == label
            for label, pattern in zip(labels, patterns, strict=True)
        )

    prefix, suffix = question.get("prefix", []), question.get("suffix", [])
    return sorted(
        {
            place[: question.get("max_depth")]
            for place in given
            if allowed(place[: len(prefix)], prefix)
            and allowed((_SPACE, *place)[-len(suffix) :] if suffix else (), suffix)
        }
    )


async def fill(space: AsyncScope, kind: Kind, places: Iterable[Place], each: int = 1) -> None:
    """Memories in places."""
    below = [(*space.namespace, *place) for place in places]
    await put_all(space, [Put(Ref(kind, place, f"{n}")) for place in below for n in range(each)])


async def listed(space: AsyncScope, kind: Kind, **question: Any) -> list[Place]:
    """The namespaces below the space, without its own labels."""
    found = [namespace async for namespace in space.namespaces(kind, **question)]
    length = len(space.namespace)
    assert all(namespace[:length] == space.namespace for namespace in found)
    return [namespace[length:] for namespace in found]


@EVERY_STORE
async def test_each_question_is_answered_as_by_looking_at_everything(
    space: AsyncScope, kind: Kind
) -> None:
    await fill(space, kind, PLACES, each=3)
    for question in QUESTIONS:
        wanted = expected(PLACES, question)
        assert await listed(space, kind, **question) == wanted, question
        for size in (1, 2):
            assert await listed(space, kind, page_size=size, **question) == wanted, question
    assert await listed(space.scope("a"), kind, max_depth=1) == [(), ("b",), ("c",)]


@EVERY_STORE
async def test_every_label_comes_as_it_is_and_in_order(space: AsyncScope, kind: Kind) -> None:
    await fill(space, kind, [(label, *more) for label in LABELS for more in ((), ("below",))])
    every = [(label, *more) for label in LABELS for more in ((), ("below",))]
    assert await listed(space, kind, page_size=1000) == sorted(every)
    assert await listed(space, kind, max_depth=1) == [(label,) for label in LABELS]
    assert await listed(space, kind, suffix=["below"]) == [(label, "below") for label in LABELS]


@EVERY_STORE
async def test_many_memories_in_a_namespace_do_not_hide_the_next(
    space: AsyncScope, kind: Kind
) -> None:
    await fill(space, kind, [("crowd",)], each=600)
    deep = tuple("abcdefghijklmno")
    await fill(space, kind, [deep[:depth] for depth in range(16)] + [("z",)])
    assert await listed(space, kind, prefix=["crowd"]) == [("crowd",)]
    whole = await listed(space, kind)
    assert whole == sorted([*(deep[:depth] for depth in range(16)), ("crowd",), ("z",)])
    assert await listed(space, kind, max_depth=15, suffix=["o"]) == [deep]
    assert await listed(space, kind, max_depth=1) == [(), ("a",), ("crowd",), ("z",)]


@EVERY_STORE
async def test_what_has_expired_or_gone_makes_no_namespace(space: AsyncScope, kind: Kind) -> None:
    await fill(space, kind, [("a",), ("m",), ("z",)])
    for number in range(5):
        await expired(space.scope("b"), kind, f"{number}")
        await expired(space.scope("m"), kind, f"!{number}")
    assert await listed(space, kind) == [("a",), ("m",), ("z",)]
    await space.scope("a").purge(kind)
    await space.scope("n").put(kind, "k")
    assert await listed(space, kind) == [("m",), ("n",), ("z",)]


async def test_kinds_have_namespaces_of_their_own(space: AsyncScope) -> None:
    for kind in Kind:
        await space.scope(kind.value).put(kind, "k")
    for kind in Kind:
        assert await listed(space, kind) == [(kind.value,)]


@EVERY_STORE
async def test_pages_go_on_where_the_one_before_ended(space: AsyncScope, kind: Kind) -> None:
    places = [(f"{number:02}",) for number in range(10)]
    await fill(space, kind, places, each=2)
    walk = space.namespaces(kind, page_size=3)
    first = await walk.page()
    assert len(first) == 3
    assert first.next_page_token
    await space.scope("00").purge(kind)
    await space.scope("99").put(kind, "k")
    rest = [place async for page in walk.pages(first.next_page_token) for place in page]
    assert [each[-1:] for each in rest] == [*places[3:], ("99",)]
    with refused(InvalidArgument, "PAGE_TOKEN_INVALID", "page_token"):
        await space.namespaces(kind, prefix=["00"]).page(first.next_page_token)


async def test_what_is_wrong_is_said(door: Door, space: AsyncScope) -> None:
    async def ask(**fields: Any) -> None:
        request = pb.ListNamespacesRequest(**fields)
        await call(door, "ListNamespaces", request, pb.ListNamespacesResponse)

    wrong = InvalidArgument, "INVALID_REQUEST"
    semantic = memory_pb2.KIND_SEMANTIC
    with refused(*wrong, "kind", "max_depth", "page_size", "consistency_token"):
        await ask(max_depth=-1, page_size=-1, consistency_token=key())
    empty = [pb.LabelPattern(), pb.LabelPattern(any=False), pb.LabelPattern(label="")]
    with refused(*wrong, "prefix[0]", "prefix[1]", "prefix[2]", "suffix"):
        await ask(kind=semantic, prefix=empty, suffix=[pb.LabelPattern(any=True)] * 17)
    with pytest.raises(InvalidArgument):
        space.namespaces(max_depth=0)
    with pytest.raises(InvalidArgument):
        space.namespaces(prefix="ab")
