"""What all tests share: the servers of stores, started when first asked for."""

import gc

import pytest
from hypothesis import HealthCheck, settings

from memplane_adapters.conformance.local_stores import servers

__all__ = ["servers"]

# No example fails by the clock: a busy machine is no bug.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Lets no garbage collection look through all the modules and cases, which stay to the end."""
    gc.collect()
    gc.freeze()
