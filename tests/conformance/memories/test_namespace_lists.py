"""Runs the cases of the suite here."""

from memplane_adapters.conformance.memories.test_namespace_lists import *  # noqa: F403
