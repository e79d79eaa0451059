"""Runs the cases of the suite here."""

from memplane_adapters.conformance.memories.test_forgetting import *  # noqa: F403
