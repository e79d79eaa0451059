"""What all tests share: the servers of stores, started when first asked for."""

import gc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from memplane_adapters.conformance.local_stores import servers

__all__ = ["servers"]

# No example fails by the clock: a busy machine is no bug.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")

LONGEST = (
    "parity/test_parity.py",
    "outside/test_outside_adapter.py",
    "faults/test_bad_days.py",
    "faults/test_beside.py",
    "faults/test_kill.py",
    "switching/test_switching.py",
    "faults/test_outbox.py",
    "faults/test_start.py",
    "bench/test_bench.py",
    "adapters/test_chroma.py",
    "adapters/test_qdrant.py",
    "conformance/memories/test_listing.py",
    "conformance/memories/test_paging.py",
    "conformance/memories/test_filters.py",
    "conformance/memories/test_values.py",
    "cli/test_serve.py",
    "faults/test_bad_bytes.py",
    "parity/test_planted.py",
)
"""The files that take longest, the longest first."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Has workers, of whom each takes a file after the other, begin with the longest.

    One that comes last keeps a single worker busy while the others have nothing left to do.
    """
    if not hasattr(config, "workerinput"):
        return
    tests = Path(__file__).parent
    places = {tests / name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Lets no garbage collection look through all the modules and cases, which stay to the end."""
    gc.collect()
    gc.freeze()
