"""The pages of a search."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from memplane import (
    AsyncScope,
    Capabilities,
    InvalidArgument,
    Kind,
    Mode,
    Put,
    Query,
    SearchResult,
)
from memplane_adapters.conformance.memories.helpers import (
    EVERY_KIND,
    ON_THE_SESSION_LOOP,
    SEARCHED,
    needs,
    needs_room,
    needs_texts,
    put_all,
    refused,
)

pytestmark = ON_THE_SESSION_LOOP

WORDS = ["tea", "coffee", "water", "milk", "juice"]
PAGED = 1000
"""Of the contract: how many hits the pages of a search hold."""
REFUSED = (InvalidArgument, "PAGE_TOKEN_INVALID")


def keys(result: SearchResult) -> list[str]:
    return [memory.key for memory in result.memories]


async def filled(space: AsyncScope, kind: Kind, count: int = 60) -> None:
    await put_all(
        space,
        [
            Put(
                space.ref(kind, f"{n:04}"),
                text=f"green {WORDS[n % 5]} and {WORDS[n * 3 % 4]} number {n}",
                importance=n % 7 / 6,
                attributes={"n": n},
            )
            for n in range(count)
        ],
    )


async def walked(space: AsyncScope, sizes: list[int], **question: Any) -> list[SearchResult]:
    """All pages of a search, of these sizes in turn."""
    pages: list[SearchResult] = []
    token = ""
    while not pages or token:
        size = sizes[len(pages) % len(sizes)]
        page = await space.search(limit=size, page_token=token, **question)
        assert len(page) <= size
        pages.append(page)
        token = page.next_page_token
    return pages


WAYS: list[dict[str, Any]] = [
    {},
    {"importance_weight": 0.9},
    {"importance_weight": 0.9, "exact": True},
    {"recency_half_life": timedelta(days=1), "min_relevance": 0.02},
    {"diversity": 0.4},
    {"filter": {"n": {"$gte": 25}}},
]


@SEARCHED
@pytest.mark.parametrize("way", WAYS, ids=lambda way: "-".join(way) or "plain")
@pytest.mark.parametrize("mode", [Mode.VECTOR, Mode.KEYWORD, Mode.HYBRID])
async def test_pages_together_are_the_whole(
    space: AsyncScope, kind: Kind, abilities: Capabilities, mode: Mode, way: dict[str, Any]
) -> None:
    needs(bool(getattr(abilities[kind], mode.value)), f"{mode.name} search")
    needs_texts(abilities, kind)
    await filled(space, kind)
    able = abilities[kind]
    needs(able.exact_search or "exact" not in way, "exact search")
    question = {"exact": able.approximate and able.exact_search, **way}
    question |= {"text": "green tea and coffee", "kind": kind, "mode": mode}
    whole = await space.search(limit=PAGED, **question)
    assert len(whole) > 10
    assert whole.next_page_token == ""
    pages = await walked(space, [7, 20], **question)
    assert [key for page in pages for key in keys(page)] == keys(whole)
    assert all(len(page) == (20 if n % 2 else 7) for n, page in enumerate(pages[:-2]))
    assert not any(page.truncated for page in pages)


@EVERY_KIND
async def test_pages_of_recent_go_from_the_newest_to_the_oldest(
    space: AsyncScope, kind: Kind
) -> None:
    await filled(space, kind)
    whole = await space.search(kind=kind, limit=PAGED)
    assert len(whole) == 60
    pages = await walked(space, [7], kind=kind)
    assert [key for page in pages for key in keys(page)] == keys(whole)
    found = await walked(space, [7], kind=kind, filter={"n": {"$lt": 20}})
    assert sorted(key for page in found for key in keys(page)) == [f"{n:04}" for n in range(20)]


@EVERY_KIND
async def test_pages_end_after_a_thousand(
    space: AsyncScope, kind: Kind, abilities: Capabilities
) -> None:
    await filled(space, kind, PAGED + 30)
    question: dict[str, Any] = {"kind": kind}
    for text in (None, "green tea and coffee"):
        if text is not None:
            if kind is Kind.PROCEDURAL:
                continue
            needs_texts(abilities, kind)
            able = abilities[kind]
            # An approximate list may be another one when it is asked for deeper.
            question |= {"exact": able.approximate and able.exact_search}
            question |= {"text": text, "mode": "vector"}
        pages = await walked(space, [400], **question)
        assert [len(page) for page in pages] == [400, 400, 200]
        assert len({key for page in pages for key in keys(page)}) == PAGED


@EVERY_KIND
async def test_a_token_is_bound_to_its_question(space: AsyncScope, kind: Kind) -> None:
    await filled(space, kind, 5)
    token = (await space.search(kind=kind, limit=2)).next_page_token
    assert token
    again = await space.search(kind=kind, limit=1, page_token=token, with_vectors=True)
    assert len(again) == 1
    other = Kind.SEMANTIC if kind is Kind.PROCEDURAL else Kind.PROCEDURAL
    changed: list[dict[str, Any]] = [
        {"kind": other},
        {"filter": {"n": 1}},
        {"exact_namespace": True},
        {"mode": Mode.RECENT},
    ]
    for change in changed:
        with refused(*REFUSED):
            await space.search(page_token=token, **{"kind": kind, **change})
    with refused(*REFUSED):
        await space.scope("below").search(kind=kind, page_token=token)
    other_first = "B" if token.startswith("A") else "A"
    for wrong in (token[:-2], other_first + token[1:], "nonsense", token + "AA"):
        with refused(*REFUSED):
            await space.search(kind=kind, page_token=wrong)


@EVERY_KIND
async def test_a_token_of_a_listing_is_none_of_a_search(space: AsyncScope, kind: Kind) -> None:
    await filled(space, kind, 5)
    listed = (await space.list(kind, page_size=2).page()).next_page_token
    searched = (await space.search(kind=kind, limit=2)).next_page_token
    with refused(*REFUSED):
        await space.search(kind=kind, page_token=listed)
    with refused(*REFUSED):
        await space.list(kind, page_size=2).page(searched)


@SEARCHED
async def test_each_question_of_a_call_has_pages_of_its_own(space: AsyncScope, kind: Kind) -> None:
    await filled(space, kind, 5)
    first, second = await space.search_many(
        [Query(kind=kind, limit=2), Query(kind=kind, limit=3, filter={"n": {"$lt": 4}})]
    )
    rest = await space.search_many(
        [
            Query(kind=kind, limit=2, page_token=first.next_page_token),
            Query(kind=kind, limit=3, filter={"n": {"$lt": 4}}, page_token=second.next_page_token),
        ]
    )
    assert [len(each) for each in rest] == [2, 1]
    assert not set(keys(first)) & set(keys(rest[0]))
    assert not set(keys(second)) & set(keys(rest[1]))


@EVERY_KIND
async def test_pages_that_a_reply_has_no_room_for_go_on(
    space: AsyncScope, kind: Kind, abilities: Capabilities
) -> None:
    """Ten memories of 600 KiB: five fit into the 3 MiB of a page."""
    needs_room(abilities, kind, 600_000)
    large = "x" * 200_000
    for n in range(10):
        await space.put(kind, f"{n}", text="tea", value=[large, large, large])
    pages = await walked(space, [10], kind=kind)
    assert [key for page in pages for key in keys(page)] == [f"{n}" for n in range(9, -1, -1)]
    assert pages[0].truncated
    assert len(pages) >= 2
