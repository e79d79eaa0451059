"""Runs the cases of the suite here."""

from memplane_adapters.conformance.memories.test_preconditions import *  # noqa: F403
