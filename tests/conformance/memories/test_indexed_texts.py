"""Runs the cases of the suite here."""

from memplane_adapters.conformance.memories.test_indexed_texts import *  # noqa: F403
