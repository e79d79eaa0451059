"""Runs the cases of the suite here."""

from memplane_adapters.conformance.memories.test_sizes import *  # noqa: F403
