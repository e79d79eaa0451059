"""Runs the cases of the suite here that are about what comes between."""

from memplane_adapters.conformance.memories.test_consolidating import (
    dimension,
    pytestmark,
    test_nothing_that_is_written_meanwhile_is_lost,
    test_one_of_each_group_is_kept,
    test_what_is_kept_gets_what_it_lacks,
)

__all__ = [
    "dimension",
    "pytestmark",
    "test_nothing_that_is_written_meanwhile_is_lost",
    "test_one_of_each_group_is_kept",
    "test_what_is_kept_gets_what_it_lacks",
]
