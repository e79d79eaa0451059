"""Makes the fixtures of the memory-level suite known here."""

from memplane_adapters.conformance.memories.fixtures import (
    abilities,
    another,
    arrange,
    client,
    door,
    door_name,
    space,
)

__all__ = ["abilities", "another", "arrange", "client", "door", "door_name", "space"]
