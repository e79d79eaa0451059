"""Runs the cases of the suite here."""

from memplane_adapters.conformance.memories.test_consolidating import *  # noqa: F403
