"""Runs the cases of the suite here in which a filter decides what goes."""

from memplane_adapters.conformance.memories.test_consolidating import (
    dimension,
    pytestmark,
    test_only_what_matches_takes_part,
)
from memplane_adapters.conformance.memories.test_forgetting import (
    test_an_episode_is_as_old_as_its_event,
    test_conditions_and_filter_hold_together,
    test_what_does_not_say_its_importance_counts_as_a_half,
)

__all__ = [
    "dimension",
    "pytestmark",
    "test_an_episode_is_as_old_as_its_event",
    "test_conditions_and_filter_hold_together",
    "test_only_what_matches_takes_part",
    "test_what_does_not_say_its_importance_counts_as_a_half",
]
