"""Runs the cases of the suite here."""

from memplane_adapters.conformance.memories.test_search_pages import *  # noqa: F403
