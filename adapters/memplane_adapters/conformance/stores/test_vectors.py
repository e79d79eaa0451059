"""Search by vector: the right rows with the right scores, in the contract's order."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from memplane_adapters.conformance import notes
from memplane_adapters.conformance.stores.fixtures import (
    DIMENSION,
    NOW,
    Points,
    some_vectors,
    vector,
)
from memplane_adapters.contract import (
    Condition,
    Op,
    Pushdown,
    StoreError,
    StoreReason,
    cosine_relevance,
    rank_key,
)

_EXACTLY = 1e-6
_NEARLY = 1e-3


@pytest.mark.asyncio
async def test_field_41_scores_are_cosines(points: Points) -> None:
    """Stores gave distances as similarities, cut at 0, or null (also 42, 43)."""
    points.needs("vector")
    await points.write(
        points.point("same", vector(1.0)),
        points.point("near", vector(1.0, 1.0)),
        points.point("orthogonal", vector(0.0, 1.0)),
        points.point("far", vector(-1.0, 1.0)),
        points.point("opposite", vector(-1.0)),
    )
    hits = await points.query(vector=vector(1.0))
    assert [hit.record for hit in hits] == [b"same", b"near", b"orthogonal", b"far", b"opposite"]
    within = _EXACTLY if points.capabilities.exact_search else _NEARLY
    half = 0.5**0.5
    assert [hit.score for hit in hits] == pytest.approx([1.0, half, 0.0, -half, -1.0], abs=within)
    notes.compared([hit.score for hit in hits], [1.0, half, 0.0, -half, -1.0])


@pytest.mark.asyncio
async def test_field_42_scores_stay_between_minus_1_and_1(points: Points) -> None:
    """Identical text had a distance of -4.8e-7."""
    points.needs("vector")
    vectors = some_vectors(50, seed=3)
    await points.write(
        *(points.point(f"+{n}", at) for n, at in enumerate(vectors)),
        *(points.point(f"-{n}", -at) for n, at in enumerate(vectors)),
    )
    for number, at in enumerate(vectors):
        hits = await points.query(vector=at, limit=100)
        assert all(-1.0 <= hit.score <= 1.0 for hit in hits)
        assert hits[0].record == b"+%d" % number
        assert hits[-1].record == b"-%d" % number
        assert (hits[0].score, hits[-1].score) == pytest.approx((1.0, -1.0), abs=_EXACTLY)


@pytest.mark.asyncio
async def test_field_44_hits_are_in_order_and_whole(points: Points) -> None:
    """Filtered matches came out of score order; every answer equals the oracle (also 3)."""
    points.needs("vector", "exact_search")
    vectors = some_vectors(400)
    await points.write(
        *(
            points.point(f"{n:03}", at, time=NOW + n % 7, namespace=(f"u{n % 4}",))
            for n, at in enumerate(vectors)
        )
    )
    matrix = np.array(vectors, np.float64)
    for target in some_vectors(10, seed=2):
        scores = matrix @ target.astype(np.float64)
        for namespace in ((), ("u2",)):
            best = sorted(
                rank_key(
                    cosine_relevance(float(scores[n])), NOW + n % 7, ((f"u{n % 4}",), f"{n:03}")
                )
                for n in range(400)
                if namespace in ((), (f"u{n % 4}",))
            )
            for limit in (1, 10, 99, 500):
                hits = await points.query(points.scope(*namespace), vector=target, limit=limit)
                assert [hit.record.decode() for hit in hits] == [row[3] for row in best[:limit]]
                assert [hit.score for hit in hits] == pytest.approx(
                    [2 * -row[0] - 1 for row in best[:limit]], abs=2 * _EXACTLY
                )
                cosines = [scores[int(hit.record)] for hit in hits]
                notes.compared([hit.score for hit in hits], cosines)


@pytest.mark.asyncio
async def test_ties_go_by_time_and_place_also_at_the_limit(points: Points) -> None:
    points.needs("vector", "exact_search")
    rows = [
        (NOW + (n * 13) % 10, (f"u{(n * 7) % 3}",), f"k{(n * 37) % 101:03}") for n in range(101)
    ]
    at = some_vectors(1, seed=5)[0]
    await points.write(
        *(points.point(key, at, time=time, namespace=namespace) for time, namespace, key in rows),
        points.point("best", vector(1.0)),
    )
    rows.sort(key=lambda row: (-row[0], row[1], row[2]))
    keys = [key for _, _, key in rows]
    for limit in (1, 2, 50, 100, 200):
        assert await points.search(vector=at, limit=limit) == [*keys, "best"][:limit]


@pytest.mark.asyncio
async def test_scores_that_agree_to_six_digits_are_ties(points: Points) -> None:
    points.needs("vector", "exact_search")
    nudged = [vector(1.0, 1.0 + n * 1e-8) for n in range(20)]
    await points.write(*(points.point(f"{n:02}", at, time=NOW + n) for n, at in enumerate(nudged)))
    newest = [f"{n:02}" for n in reversed(range(20))]
    assert await points.search(vector=vector(1.0), limit=7) == newest[:7]


@pytest.mark.asyncio
async def test_writing_again_moves_the_point(points: Points) -> None:
    points.needs("vector")
    await points.write(points.point("moves", vector(1.0)), points.point("stays", vector(1.0, 1.0)))
    assert await points.search(vector=vector(1.0)) == ["moves", "stays"]
    await points.write(points.point("moves", vector(-1.0), revision=2))
    hits = await points.query(vector=vector(1.0))
    assert [hit.record for hit in hits] == [b"stays", b"moves"]
    assert hits[1].score == pytest.approx(-1.0, abs=_NEARLY)


@pytest.mark.asyncio
async def test_deleted_points_are_not_found(points: Points) -> None:
    points.needs("vector", "read_your_writes")
    await points.write(points.point("a"), points.point("b"), points.point("c"))
    assert await points.search(vector=vector(1.0)) == ["a", "b", "c"]
    await points.delete(points.address("b"))
    assert await points.search(vector=vector(1.0)) == ["a", "c"]
    await points.store.delete_where(points.scope(), max_revision=1)
    assert await points.search(vector=vector(1.0)) == []


@pytest.mark.asyncio
async def test_points_without_vector_are_kept_and_not_found(points: Points) -> None:
    points.needs("vector", "vectorless")
    await points.write(points.point("bare", vectorless=True), points.point("dressed"))
    assert await points.search(vector=vector(1.0)) == ["dressed"]
    assert await points.walk() == ["bare", "dressed"]
    (row,) = await points.store.fetch([points.address("bare")], vectors=True)
    assert row is not None
    assert row.vector is None
    await points.write(points.point("dressed", vectorless=True, revision=2))
    assert await points.search(vector=vector(1.0)) == []
    await points.write(points.point("bare", revision=2))
    assert await points.search(vector=vector(1.0)) == ["bare"]


@pytest.mark.asyncio
async def test_field_11_a_small_tenant_fills_the_page(points: Points) -> None:
    """A small tenant got 1 row of dozens, because the index filters after its scan."""
    points.needs("vector")
    crowd, few = some_vectors(1000, seed=8), some_vectors(20, seed=9)
    await points.write(
        *(points.point(f"c{n}", at, namespace=("crowd",)) for n, at in enumerate(crowd)),
        *(points.point(f"f{n}", at, namespace=("few",)) for n, at in enumerate(few)),
    )
    for target in crowd[:5]:
        assert len(await points.query(points.scope("few"), vector=target, limit=20)) == 20


@pytest.mark.asyncio
async def test_a_narrow_filter_fills_the_page(points: Points) -> None:
    points.needs("vector")
    if points.capabilities.pushdown(Op.EQ) is not Pushdown.EXACT:
        pytest.skip("the store does not declare eq as exact")
    vectors = some_vectors(1000, seed=8)
    await points.write(
        *(
            points.point(f"{n:03}", at, fields={"rare": n % 100 == 0})
            for n, at in enumerate(vectors)
        )
    )
    tree = Condition(("rare",), Op.EQ, operand=True)
    found = await points.search(vector=vectors[1], filter=tree, limit=10)
    assert sorted(found) == [f"{n:03}" for n in range(0, 1000, 100)]


@pytest.mark.parametrize("size", [1, DIMENSION - 1, DIMENSION + 1])
@pytest.mark.asyncio
async def test_a_vector_of_another_dimension_is_refused(points: Points, size: int) -> None:
    points.needs("vector")
    await points.write(points.point("k"))
    with pytest.raises(StoreError) as refusal:
        await points.query(vector=np.full(size, size**-0.5, np.float32))
    assert refusal.value.reason is StoreReason.IDENTITY_MISMATCH


@pytest.mark.asyncio
async def test_answers_are_whole_under_writes(points: Points) -> None:
    """Every row is there all the time, once, while all of them are written again and again."""
    points.needs("vector", "read_your_writes", "exact_search")
    number, writing = 100, True
    await points.write(*(points.point(f"{n:03}", vector(1.0, n)) for n in range(number)))

    async def disturb() -> None:
        revision = 1
        while writing:
            revision += 1
            await points.write(
                *(
                    points.point(f"{n:03}", vector(1.0, n + revision % 2), revision=revision)
                    for n in range(number)
                )
            )
            await asyncio.sleep(0)  # a store that never waits lets no other task in between

    disturbing = asyncio.ensure_future(disturb())
    try:
        for _ in range(50):
            await asyncio.sleep(0)
            hits = await points.query(vector=vector(1.0), limit=2 * number)
            assert sorted(hit.record for hit in hits) == [b"%03d" % n for n in range(number)]
            scores = [round(hit.score, 6) for hit in hits]
            assert scores == sorted(scores, reverse=True)
    finally:
        writing = False
        await disturbing
