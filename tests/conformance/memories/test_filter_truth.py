"""Runs the cases of the suite here."""

from memplane_adapters.conformance.memories.test_filter_truth import *  # noqa: F403
