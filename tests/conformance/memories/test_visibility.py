"""Runs the cases of the suite here."""

from memplane_adapters.conformance.memories.test_visibility import *  # noqa: F403
