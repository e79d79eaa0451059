"""Random filters whose answers the gateway makes right: 1,000 for each of the two stores."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memplane import Kind
from memplane_adapters.conformance.memories.helpers import ON_THE_SESSION_LOOP
from memplane_adapters.conformance.memories.test_filters import (
    KINDS,
    Crowd,
    crowd,
    test_a_filtered_walk_is_whole_in_every_order,
    trees,
)
from memplane_adapters.contract import Filter

__all__ = ["crowd", "test_a_filtered_walk_is_whole_in_every_order"]

pytestmark = ON_THE_SESSION_LOOP


@settings(max_examples=20, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(batch=st.lists(trees(), min_size=50, max_size=50), kind=st.sampled_from(KINDS))
async def test_1000_random_filters_answer_as_the_oracle(
    crowd: Crowd, batch: list[Filter], kind: Kind
) -> None:
    await crowd.check(kind, batch)
