"""All adapters at once, in a process of their own."""

from __future__ import annotations

import subprocess
import sys

import pytest
from tests.thorough import THOROUGH

_ALL = """
import sys, tempfile
from pathlib import Path
from memplane_gateway.config.stores import find_adapter, installed
adapters = [find_adapter(name) for name in installed()]
needs = [module for each in adapters for module in each.needs]
assert len(needs) > 4, needs
def is_loaded(module):  # or something of it
    return any(name == module or name.startswith(f"{module}.") for name in sys.modules)
"""
_LATE = """
loaded = [module for module in needs if is_loaded(module)]
assert not loaded, f"imported though nobody has made a store: {loaded}"
"""
_TOGETHER = """
for each in adapters:
    each.connect(each.settings(), Path(tempfile.gettempdir()))
missing = [module for module in needs if not is_loaded(module)]
assert not missing, f"needed by nobody: {missing}"
"""


def holds(program: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _ALL + program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_field_56_no_client_library_is_loaded_before_a_store_is_made() -> None:
    """A store that nobody used cost all others its size, and its time."""
    holds(_LATE)


@pytest.mark.skipif(not THOROUGH, reason="loads all of them; `make check` does, too, for the docs")
def test_field_55_all_client_libraries_get_along_in_one_process() -> None:
    """Two of them registered the same stubs."""
    holds(_TOGETHER)
