"""Search by words: the match set is exact, and better matches come first."""

from __future__ import annotations

import pytest

from memplane_adapters.conformance.stores.fixtures import NOW, Points, vector
from memplane_adapters.contract import Condition, Op, Pushdown

_WORDS = (
    *("tea", "and", "or", "not", "near", "match", "order", "by", "null", "a", "0", "42", "2nd"),
    *("straße", "日本語", "茶", "é", "naïve", "привет", "שלום", "مرحبا", "ﬁ", "²", "x" * 200),
)


@pytest.mark.asyncio
async def test_each_term_finds_its_rows_only(points: Points) -> None:
    points.needs("keyword")
    await points.write(
        *(points.point(f"{n:02}", terms=f"common {word}") for n, word in enumerate(_WORDS)),
        points.point("none"),
    )
    for number, word in enumerate(_WORDS):
        assert await points.search(terms=(word,)) == [f"{number:02}"], word
    everything = await points.search(terms=("common",), limit=100)
    assert sorted(everything) == [f"{n:02}" for n in range(len(_WORDS))]
    assert await points.search(terms=("absent",)) == []
    assert await points.search(terms=()) == []


@pytest.mark.asyncio
async def test_any_of_the_terms_matches(points: Points) -> None:
    points.needs("keyword")
    for key, terms in {"a": "red tea", "b": "green tea", "c": "coffee", "d": "milk"}.items():
        await points.write(points.point(key, terms=terms))
    assert sorted(await points.search(terms=("tea", "coffee"))) == ["a", "b", "c"]
    assert (await points.search(terms=("tea", "green")))[0] == "b"
    assert sorted(await points.search(terms=("tea", "tea", "tea"))) == ["a", "b"]


@pytest.mark.asyncio
async def test_better_matches_come_first(points: Points) -> None:
    points.needs("keyword")
    await points.write(
        points.point("often", terms="tea tea tea x"),
        points.point("once", terms="tea x x x"),
        points.point("both", terms="tea rare x x"),
        *(points.point(f"other{n}", terms="x x x x") for n in range(20)),
    )
    hits = await points.query(terms=("tea", "rare"))
    assert {hit.record for hit in hits} == {b"often", b"once", b"both"}
    assert hits[0].record == b"both"
    assert hits[-1].record == b"once"
    scores = [hit.score for hit in hits]
    assert scores == sorted(scores, reverse=True)
    assert scores[-1] >= 0.0


@pytest.mark.asyncio
async def test_equal_matches_go_by_time_and_place_also_at_the_limit(points: Points) -> None:
    points.needs("keyword")
    rows = [(NOW + n % 3, (f"u{n % 2}",), f"{(n * 7) % 90:02}") for n in range(90)]
    await points.write(
        *(
            points.point(key, terms="tea time", time=time, namespace=namespace)
            for time, namespace, key in rows
        )
    )
    rows.sort(key=lambda row: (-row[0], row[1:]))
    keys = [key for _, _, key in rows]
    for limit in (1, 30, 31, 89, 100):
        assert await points.search(terms=("tea",), limit=limit) == keys[:limit]


@pytest.mark.asyncio
async def test_scope_filter_and_expiry_hold(points: Points) -> None:
    points.needs("keyword")
    await points.write(
        points.point("in", terms="tea", namespace=("acme",), fields={"n": 1}),
        points.point("sibling", terms="tea", namespace=("acme-corp",), fields={"n": 1}),
        points.point("dead", terms="tea", namespace=("acme",), expire_time=NOW),
        points.point("other", terms="tea", namespace=("acme",), fields={"n": 2}),
    )
    assert sorted(await points.search(points.scope("acme"), terms=("tea",))) == ["in", "other"]
    if points.capabilities.pushdown(Op.EQ) is Pushdown.EXACT:
        tree = Condition(("n",), Op.EQ, 1)
        assert await points.search(points.scope("acme"), terms=("tea",), filter=tree) == ["in"]


@pytest.mark.asyncio
async def test_scores_do_not_depend_on_other_tenants(points: Points) -> None:
    points.needs("keyword")
    other = Points(points.store)
    rows = [points.point(f"{n}", terms="tea" if n < 3 else "milk") for n in range(10)]
    await points.write(*rows)
    before = [hit.score for hit in await points.query(terms=("tea",))]
    await other.write(*(other.point(f"{n}", terms="tea tea tea") for n in range(50)))
    assert [hit.score for hit in await points.query(terms=("tea",))] == before


@pytest.mark.asyncio
async def test_writing_again_forgets_the_old_words(points: Points) -> None:
    points.needs("keyword", "read_your_writes")
    await points.write(points.point("k", terms="old same"), points.point("l", terms="old"))
    await points.write(points.point("k", terms="new same", revision=2))
    assert await points.search(terms=("old",)) == ["l"]
    assert await points.search(terms=("new",)) == ["k"]
    assert await points.search(terms=("same",)) == ["k"]
    await points.write(points.point("k", revision=3))
    assert await points.search(terms=("new", "same")) == []
    await points.delete(points.address("l"))
    assert await points.search(terms=("old",)) == []


@pytest.mark.asyncio
async def test_rows_without_vector_are_found_by_words(points: Points) -> None:
    points.needs("keyword", "vectorless")
    await points.write(points.point("bare", terms="tea", vectorless=True))
    assert await points.search(terms=("tea",)) == ["bare"]
    assert await points.search(vector=vector(1.0)) == []


@pytest.mark.parametrize(
    "term",
    [
        *('"', '""', '"tea', "tea*", "^tea", "tea)", "(tea", "tea:milk", "+tea", "-tea", "{tea}"),
        *("NEAR(tea milk)", "tea AND milk", "tea' or 1=1 --", "*", "terms:tea", "\\", "tea\ttea"),
    ],
)
@pytest.mark.asyncio
async def test_terms_are_never_syntax(points: Points, term: str) -> None:
    """The contract has letters and digits only; anything else must do no harm."""
    points.needs("keyword")
    await points.write(points.point("k", terms="milk"), points.point("l", terms="unrelated"))
    assert "l" not in await points.search(terms=(term,))


@pytest.mark.asyncio
async def test_a_thousand_terms(points: Points) -> None:
    points.needs("keyword")
    words = tuple(f"w{n}" for n in range(1000))
    await points.write(
        points.point("all", terms=" ".join(words)),
        points.point("last", terms=words[-1]),
        points.point("none", terms="other"),
    )
    assert sorted(await points.search(terms=words)) == ["all", "last"]
