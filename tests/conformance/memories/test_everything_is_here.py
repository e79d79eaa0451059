"""A file of cases that nobody runs proves nothing, nor does a store that nobody asks."""

from pathlib import Path

import pytest

from memplane_adapters.conformance import memories, stores
from memplane_adapters.conformance.local_stores import Choice, absent, choices
from memplane_adapters.conformance.memories import helpers, test_keys
from memplane_adapters.conformance.stores import test_values
from memplane_gateway.config import installed
from memplane_gateway.config.stores import own_name


def test_every_file_of_cases_is_run_here() -> None:
    there = {path.name for path in Path(memories.__path__[0]).glob("test_*.py")}
    here = {path.name for path in Path(__file__).parent.glob("test_*.py")}
    assert here - {Path(__file__).name} == there


def test_failing_assertions_of_the_suite_show_their_values() -> None:
    for module in (memories, stores, helpers, test_keys, test_values):
        assert "@pytest_ar" in vars(module), f"{module.__name__} was imported without rewriting"


@pytest.mark.parametrize("choice", choices(), ids=str)
def test_every_store_is_run_here(choice: Choice) -> None:
    if choice.problem:
        absent(choice.problem, fails=choice.missed)


def test_every_adapter_declares_a_store() -> None:
    names = set(map(own_name, installed()))
    unknown = names - {choice.adapter_name for choice in choices()}
    assert not unknown, "declare `local` of the Adapter, so that the suite can run on it"
