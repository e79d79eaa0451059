"""The suites of memory-level cases; division.py says what of them is run where."""

from collections.abc import Generator

import pytest
from tests.conformance.division import comes_again

from memplane import Kind


@pytest.hookimpl(wrapper=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> Generator[None, None, None]:
    """Makes no item of what would only come again: the first store has been through all of it.

    What is made first and deselected later is paid for by every worker, and is as much again.
    """
    yield
    name, file = metafunc.definition.name, metafunc.definition.path.name
    calls = metafunc._calls
    kinds = {kind for call in calls if isinstance(kind := call.params.get("kind"), Kind)}
    kept = [call for call in calls if not comes_again(file, name, call.params, kinds)]
    assert kept or not calls, f"{name} is run nowhere"
    metafunc._calls = kept
