"""The plugin of pytest that `memplane certify` runs the suite with.

What is to be certified comes as one line of JSON on stdin (there may be secrets in it); what happens
goes out as lines of JSON to a pipe, whose number stands in it. So the options, files and plugins
of pytest that a user has play no part.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Mapping
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, settings

from memplane_adapters.conformance.certifying import NAME, Certifying

# Where we run in the background the shell has it ignored; nobody but the other end sends it.
signal.signal(signal.SIGINT, signal.default_int_handler)

# When a plugin is loaded pytest has not taken stdin away yet.
_TASK: Final[Mapping[str, Any]] = json.loads(sys.stdin.readline())

# No example fails by the clock, and none is kept in a directory of the user's.
settings.register_profile(
    NAME, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)


def pytest_configure(config: pytest.Config) -> None:
    """Has the run use what was read."""
    settings.load_profile(NAME)
    config.pluginmanager.register(Certifying(_TASK), NAME)
