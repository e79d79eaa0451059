"""Walks while others write, and what page tokens are good for."""

from __future__ import annotations

import asyncio
import base64
import random
from typing import Any

import pytest

from memplane import AsyncScope, Episode, InvalidArgument, Kind, Memory, Order, Put
from memplane_adapters.conformance.memories.fixtures import Opened
from memplane_adapters.conformance.memories.helpers import (
    EVERY_STORE,
    ON_THE_SESSION_LOOP,
    at,
    key,
    put_all,
    refused,
)
from memplane_adapters.conformance.memories.test_listing import EVERY_WALK

pytestmark = ON_THE_SESSION_LOOP

STABLE, RESTLESS = 60, 40
PAGED = pytest.mark.parametrize("kind", [Kind.EPISODIC, Kind.PROCEDURAL])


def put_of(space: AsyncScope, kind: Kind, name: str, number: int, text: str = "") -> Put:
    happened = Episode(event_time=at(number * 7 % 30)) if kind is Kind.EPISODIC else None
    return Put(space.ref(kind, name), text=text, episode=happened)


async def peopled(space: AsyncScope, kind: Kind) -> tuple[set[str], list[str]]:
    """Memories that will stay as they are, among others; returns the keys of both."""
    stable = {f"{number:03}-stable" for number in range(STABLE)}
    restless = [f"{number * 1.5:05.1f}-restless" for number in range(RESTLESS)]
    names = sorted([*stable, *restless])
    random.Random(7).shuffle(names)
    for start in range(0, len(names), 20):
        part = names[start : start + 20]
        puts = [put_of(space, kind, name, number) for number, name in enumerate(part)]
        await put_all(space, puts)
    return stable, restless


@EVERY_WALK
@PAGED
async def test_what_stays_unchanged_comes_exactly_once(
    space: AsyncScope, kind: Kind, order: Order, descending: bool
) -> None:
    """Between pages others are changed, deleted and made, before and behind where the walk is."""
    stable, restless = await peopled(space, kind)
    chance = random.Random(f"{order}{descending}")
    changed_only = set(restless[: RESTLESS // 2])
    walked: list[Memory] = []
    number = 0
    async for page in space.list(kind, order=order, descending=descending, page_size=7).pages():
        walked += page.memories
        number += 1
        if number > 15:
            continue
        for name in chance.sample(sorted(changed_only), 4):
            await space.put(
                space.ref(kind, name),
                text=f"changed {number}",
                episode=put_of(space, kind, name, number).episode,
            )
        await space.delete(kind, chance.choice(restless[RESTLESS // 2 :]))
        await put_all(space, [put_of(space, kind, f"{number:03}-new", number)])
    keys = [memory.key for memory in walked]
    assert sorted(name for name in keys if name in stable) == sorted(stable)
    if order is Order.UPDATE_TIME:
        assert changed_only <= set(keys), "what is changed meanwhile is never skipped"
    if order is Order.KEY:
        assert len(keys) == len(set(keys))
        assert changed_only <= set(keys)


@pytest.mark.parametrize("descending", [False, True])
@PAGED
async def test_by_update_time_what_is_written_before_the_walk_gets_there_comes_too(
    space: AsyncScope, kind: Kind, descending: bool
) -> None:
    for number in range(30):
        await put_all(space, [put_of(space, kind, f"{number:02}", number)])
    walk = space.list(kind, order=Order.UPDATE_TIME, descending=descending, page_size=10)
    first = await walk.page()
    unseen = sorted({f"{number:02}" for number in range(30)} - {memory.key for memory in first})
    for name in unseen:
        await space.update(kind, name, text="changed")
    rest = [m async for page in walk.pages(first.next_page_token) for m in page]
    assert sorted(memory.key for memory in rest) == unseen
    assert {memory.text for memory in rest} == {"changed"}


@pytest.mark.parametrize("descending", [False, True])
@PAGED
async def test_by_update_time_a_walk_under_steady_writes_ends_and_skips_nothing(
    space: AsyncScope, kind: Kind, descending: bool
) -> None:
    stable, restless = await peopled(space, kind)
    done = asyncio.Event()

    async def write() -> None:
        step = 0
        while not done.is_set() and step < 400:
            step += 1
            name = restless[step * 13 % RESTLESS]
            await space.update(kind, name, text=f"step {step}")

    writing = asyncio.create_task(write())
    keys: list[str] = []
    try:
        walk = space.list(kind, order=Order.UPDATE_TIME, descending=descending, page_size=9)
        async for memory in walk:
            keys.append(memory.key)  # noqa: PERF401 (another task writes meanwhile)
    finally:
        done.set()
        await writing
    assert sorted(name for name in keys if name in stable) == sorted(stable)
    assert set(restless) <= set(keys)


async def first_page(space: AsyncScope, kind: Kind, **options: Any) -> str:
    page = await space.list(kind, page_size=2, **options).page()
    assert page.next_page_token
    return page.next_page_token


async def filled(space: AsyncScope, kind: Kind) -> AsyncScope:
    await put_all(
        space,
        [Put(space.ref(kind, f"{number}"), attributes={"n": number}) for number in range(9)],
    )
    return space


def altered(token: str) -> list[str]:
    """The token with each of its bytes changed, cut short at each length, and longer."""
    sealed = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    wrong = []
    for index in range(len(sealed)):
        changed = bytearray(sealed)
        changed[index] ^= 1
        wrong.append(base64.urlsafe_b64encode(bytes(changed)).decode().rstrip("="))
    wrong += [token[:length] for length in range(1, len(token), 5)]
    wrong += [token + "A", token + "AAAA", "A" + token, token * 2, token.swapcase()]
    return wrong


@EVERY_STORE
async def test_an_altered_token_is_refused(space: AsyncScope, kind: Kind) -> None:
    await filled(space, kind)
    token = await first_page(space, kind)
    walk = space.list(kind, page_size=2)
    for wrong in altered(token):
        with refused(InvalidArgument, "PAGE_TOKEN_INVALID", "page_token"):
            await walk.page(wrong)
    assert len(await walk.page(token)) == 2


@pytest.mark.parametrize(
    "token", ["x", "AAAA", " ", "\n", "é", "\0", "🙂" * 10, "=" * 4, "A" * 10_000, "null", "{}"]
)
async def test_garbage_is_no_token(space: AsyncScope, token: str) -> None:
    await filled(space, Kind.SEMANTIC)
    with refused(InvalidArgument, "PAGE_TOKEN_INVALID", "page_token"):
        await space.list(Kind.SEMANTIC).page(token)


@EVERY_STORE
async def test_a_token_of_another_question_is_refused(space: AsyncScope, kind: Kind) -> None:
    other_kind = Kind.PROCEDURAL if kind is Kind.SEMANTIC else Kind.SEMANTIC
    below = space.scope("below")
    for each in (kind, other_kind):
        await filled(space, each)
        await filled(below, each)
    token = await first_page(space, kind, filter={"n": {"$gte": 0}})
    for walk in (
        space.list(kind),
        space.list(kind, filter={"n": {"$gte": 1}}),
        space.list(kind, filter={"n": {"$gte": 0.0}}),
        space.list(kind, filter={"n": {"$gt": 0}}),
        space.list(kind, filter={"n": {"$gte": 0}}, order=Order.UPDATE_TIME),
        space.list(kind, filter={"n": {"$gte": 0}}, descending=True),
        space.list(kind, filter={"n": {"$gte": 0}}, exact_namespace=True),
        space.list(other_kind, filter={"n": {"$gte": 0}}),
        below.list(kind, filter={"n": {"$gte": 0}}),
    ):
        with refused(InvalidArgument, "PAGE_TOKEN_INVALID", "page_token"):
            await walk.page(token)


@EVERY_STORE
async def test_a_token_goes_on_with_another_page_size_and_view(
    space: AsyncScope, kind: Kind
) -> None:
    await filled(space, kind)
    token = await first_page(space, kind)
    for size, with_vectors, expected in ((1, True, "2"), (5, False, "23456"), (0, True, "2345678")):
        page = await space.list(kind, page_size=size, with_vectors=with_vectors).page(token)
        assert [memory.key for memory in page] == list(expected)


@EVERY_STORE
async def test_a_token_can_be_used_again(space: AsyncScope, kind: Kind) -> None:
    await filled(space, kind)
    token = await first_page(space, kind, order=Order.UPDATE_TIME, descending=True)
    walk = space.list(kind, order=Order.UPDATE_TIME, descending=True, page_size=2)
    first = await walk.page(token)
    await space.put(kind, "later")
    assert (await walk.page(token)).memories == first.memories


async def test_a_token_outlives_a_restart_of_the_gateway(another: Opened) -> None:
    label = key()
    async with another() as door:
        space = await filled(door.client.scope(label), Kind.PROCEDURAL)
        token = await first_page(space, Kind.PROCEDURAL)
    async with another() as door:
        page = await door.client.scope(label).list(Kind.PROCEDURAL, page_size=2).page(token)
        assert [memory.key for memory in page] == ["2", "3"]


async def test_a_token_of_another_gateway_is_refused(space: AsyncScope, another: Opened) -> None:
    await filled(space, Kind.SEMANTIC)
    token = await first_page(space, Kind.SEMANTIC)
    async with another() as door:
        with refused(InvalidArgument, "PAGE_TOKEN_INVALID", "page_token"):
            await door.client.scope(*space.namespace).list(Kind.SEMANTIC).page(token)
