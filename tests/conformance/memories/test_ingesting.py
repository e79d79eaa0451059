"""Runs the cases of the suite here."""

from memplane_adapters.conformance.memories.test_ingesting import *  # noqa: F403
