"""Runs the cases of the suite here."""

from memplane_adapters.conformance.memories.test_store_limits import *  # noqa: F403
