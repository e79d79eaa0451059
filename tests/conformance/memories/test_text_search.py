"""Runs the cases of the suite here."""

from memplane_adapters.conformance.memories.test_text_search import *  # noqa: F403
