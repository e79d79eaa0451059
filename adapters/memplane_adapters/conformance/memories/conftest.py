"""Makes the fixtures known to the cases of this directory."""

from memplane_adapters.conformance.memories.fixtures import (
    abilities,
    another,
    arrange,
    client,
    door,
    door_name,
    random_filters,
    sample,
    space,
)

__all__ = [
    "abilities",
    "another",
    "arrange",
    "client",
    "door",
    "door_name",
    "random_filters",
    "sample",
    "space",
]
