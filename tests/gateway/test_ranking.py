"""The formulas of docs/search.md: bounds, what grows with what, and the order of hits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memplane_adapters.contract import RELEVANCE_DIGITS, Vector, cosine_relevance
from memplane_gateway.memory.questions import Weights
from memplane_gateway.memory.search.diversity import diversified
from memplane_gateway.memory.search.fusion import fused, ranks
from memplane_gateway.memory.search.weights import importance, recency, weighted

shares = st.floats(0.0, 1.0)
rank = st.none() | st.integers(1, 2000)
instants = st.integers(0, 2**52)
half_lives = st.integers(1, 2**52)
weights = st.builds(Weights, shares, half_lives, shares)
lists = st.lists(shares, max_size=50).map(lambda each: sorted(each, reverse=True))
pairs = st.tuples(shares, shares).map(sorted)


def _worse(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else max(one, other)


@given(rank, rank, shares)
def test_fused_is_from_0_to_1(by_vector: int | None, by_words: int | None, share: float) -> None:
    assert 0.0 <= fused(by_vector, by_words, share) <= 1.0
    assert fused(1, 1, share) == pytest.approx(1.0)
    assert fused(None, None, share) == 0.0


@given(rank, rank, rank, shares)
def test_fused_grows_with_each_rank(
    one: int | None, other: int | None, fixed: int | None, share: float
) -> None:
    worse = _worse(one, other)
    assert fused(worse, fixed, share) <= fused(one, fixed, share)
    assert fused(fixed, worse, share) <= fused(fixed, one, share)


@given(lists)
def test_a_rank_is_1_and_how_many_are_better(relevances: list[float]) -> None:
    rounded = [round(each, RELEVANCE_DIGITS) for each in relevances]
    assert ranks(relevances) == [1 + sum(one > each for one in rounded) for each in rounded]


@given(instants, instants, half_lives)
def test_recency_halves_and_is_from_0_to_1(time: int, now: int, half_life: int) -> None:
    assert 0.0 <= recency(time, now, half_life) <= 1.0
    assert recency(now - half_life, now, half_life) == 0.5
    assert recency(now - 3 * half_life, now, half_life) == 0.125
    assert recency(now, now, half_life) == recency(now + time, now, half_life) == 1.0


@given(instants, instants, instants, half_lives)
def test_recency_grows_with_time(one: int, other: int, now: int, half_life: int) -> None:
    older, newer = sorted((one, other))
    assert recency(older, now, half_life) <= recency(newer, now, half_life)


@given(shares, shares, shares, weights)
def test_weights_only_lower_what_matches(
    match: float, recent: float, important: float, given_weights: Weights
) -> None:
    assert 0.0 <= weighted(match, recent, important, given_weights) <= match
    assert weighted(match, 1.0, 1.0, given_weights) == match
    assert weighted(match, recent, important, Weights()) == match


@given(pairs, shares, shares, weights)
def test_weighted_grows_with_each_part(
    pair: Sequence[float], one: float, other: float, given_weights: Weights
) -> None:
    low, high = pair
    assert weighted(low, one, other, given_weights) <= weighted(high, one, other, given_weights)
    assert weighted(one, low, other, given_weights) <= weighted(one, high, other, given_weights)
    assert weighted(one, other, low, given_weights) <= weighted(one, other, high, given_weights)


def test_importance_that_is_not_said_is_between() -> None:
    assert importance(0.0) == 0.0
    assert importance(None) == 0.5
    assert importance(1.0) == 1.0


def _vectors(seed: int, count: int) -> list[Vector | None]:
    drawn = np.random.default_rng(seed).standard_normal((count, 4)).astype(np.float32)
    made: list[Vector | None] = [each / np.linalg.norm(each) for each in drawn]
    for gap in range(3, count, 5):
        made[gap] = None
    return made


@given(lists, st.integers(0, 99), shares)
def test_diversified_is_what_the_formula_says(
    relevances: list[float], seed: int, diversity: float
) -> None:
    vectors = _vectors(seed, len(relevances))
    order = diversified(relevances, vectors, diversity)
    assert sorted(order) == list(range(len(relevances)))
    assert order[:1] == [0][: len(order)]
    for step in range(1, len(order)):
        values = {
            each: (1 - diversity) * relevances[each]
            - diversity * max(_likeness(vectors[each], vectors[one]) for one in order[:step])
            for each in order[step:]
        }
        assert values[order[step]] >= max(values.values()) - 10**-RELEVANCE_DIGITS


def _likeness(one: Vector | None, other: Vector | None) -> float:
    if one is None or other is None:
        return 0.0
    return float(cosine_relevance(float(one.astype(np.float64) @ other.astype(np.float64))))


@given(lists, st.integers(0, 99))
def test_without_diversity_the_order_stays(relevances: list[float], seed: int) -> None:
    vectors = _vectors(seed, len(relevances))
    assert diversified(relevances, vectors, 0.0) == list(range(len(relevances)))
