"""Ties at the limit of a query are cut in the contract's order."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memplane_adapters.contract import RankKey, rank_key
from memplane_adapters.kit.ties import cut_ties


def _rank(row: tuple[float, int]) -> RankKey:
    return rank_key(row[0], row[1], ((), ""))


def _relevance(row: tuple[float, int]) -> float:
    return row[0]


SCORES = st.sampled_from([0.5, 0.5 + 1e-8, 0.25, 1.0, 0.0])


@pytest.mark.asyncio
async def test_what_a_store_misjudges_a_little_is_not_cut_off() -> None:
    """It is asked for more while one behind may be as good as the last, for all that it knows."""
    rows = [(0.5, time) for time in range(9)] + [(0.4999989, time) for time in range(20)]
    rows.append((0.4999998, 99))  # as good as the others, rounded, and newer than them all

    async def ask(number: int) -> Sequence[tuple[float, int]]:
        return rows[:number]

    for error, newest in ((0.0, 8), (1e-6, 99)):
        found = await cut_ties(9, ask, _relevance, _rank, error=error)
        assert found[0][1] == newest


@given(st.lists(SCORES, max_size=200), st.integers(1, 20), st.integers())
@pytest.mark.asyncio
async def test_the_cut_is_that_of_a_full_sort(scores: list[float], limit: int, seed: int) -> None:
    rows = [(score, time) for time, score in enumerate(scores)]
    shuffled = sorted(random.Random(seed).sample(rows, len(rows)), key=lambda row: -row[0])

    async def ask(number: int) -> Sequence[tuple[float, int]]:
        return shuffled[:number]

    found = await cut_ties(limit, ask, _relevance, _rank)
    assert found == sorted(rows, key=_rank)[:limit]
