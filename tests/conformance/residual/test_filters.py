"""Random filters whose answers the gateway makes right, for each of the two stores."""

from __future__ import annotations

import pytest
from tests.thorough import THOROUGH

from memplane import Kind
from memplane_adapters.conformance.memories.helpers import ON_THE_SESSION_LOOP
from memplane_adapters.conformance.memories.test_filters import (
    crowd,
    test_a_filtered_walk_is_whole_in_every_order,
    test_random_filters_answer_as_the_oracle,
)

__all__ = [
    "crowd",
    "test_a_filtered_walk_is_whole_in_every_order",
    "test_random_filters_answer_as_the_oracle",
]

pytestmark = ON_THE_SESSION_LOOP


@pytest.fixture
def random_filters(kind: Kind) -> int:
    """Of the kinds that have one store, one has a few only."""
    if THOROUGH:
        return 1000
    return 50 if kind is Kind.EPISODIC else 150
