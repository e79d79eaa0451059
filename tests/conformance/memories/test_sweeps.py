"""Runs the cases of the suite here."""

from memplane_adapters.conformance.memories.test_sweeps import *  # noqa: F403
