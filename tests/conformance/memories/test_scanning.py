"""Runs the cases of the suite here."""

from memplane_adapters.conformance.memories.test_scanning import *  # noqa: F403
