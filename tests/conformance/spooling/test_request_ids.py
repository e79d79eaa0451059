"""Runs the cases of the suite here."""

from memplane_adapters.conformance.memories.test_request_ids import *  # noqa: F403
