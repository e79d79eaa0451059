"""Runs the cases of the suite here."""

from memplane_adapters.conformance.memories.test_hybrid import *  # noqa: F403
