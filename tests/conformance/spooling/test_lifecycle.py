"""Runs a few cases of the suite here: beside an outbox in which nothing waits all is as without one."""

from memplane_adapters.conformance.memories.test_consolidating import (
    dimension,
    pytestmark,
    test_a_retry_hears_the_first_receipt,
    test_nothing_that_is_written_meanwhile_is_lost,
)
from memplane_adapters.conformance.memories.test_forgetting import (
    test_an_episode_is_as_old_as_its_event,
)

__all__ = [
    "dimension",
    "pytestmark",
    "test_a_retry_hears_the_first_receipt",
    "test_an_episode_is_as_old_as_its_event",
    "test_nothing_that_is_written_meanwhile_is_lost",
]
