"""What all tests share: the servers of stores, started when first asked for."""

from hypothesis import HealthCheck, settings

from memplane_adapters.conformance.local_stores import servers

__all__ = ["servers"]

# No example fails by the clock: a busy machine is no bug.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")
