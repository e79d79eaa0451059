"""Runs the cases of the suite here."""

from memplane_adapters.conformance.memories.test_vector_search import *  # noqa: F403
