"""The harness finds what is wrong with a store, and says it with a small example."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.parity.families import KEY_VALUES, VECTORS, Family
from tests.parity.machine import run
from tests.parity.planted import (
    FAULTS,
    KEY_VALUE_FAULTS,
    RARER_FAULTS,
    RARER_KEY_VALUE_FAULTS,
    Fault,
    broken,
)
from tests.parity.sides import Contender, DifferentAnswersError, NoAnswerError, table
from tests.thorough import THOROUGH

RARER = pytest.mark.skipif(not THOROUGH, reason="takes minutes; MEMPLANE_TEST_THOROUGH=1 runs it")
MOST_STEPS = 5_000
"""Most seeds need less than a fifth of them; which steps are made changes with the code they are of."""
LARGEST_EXAMPLE = 4
"""Calls in the smallest example of any of these faults, the end of it included."""


def found(
    fault: Fault, directory: Path, steps: int, *, small: bool, family: Family = VECTORS
) -> None:
    """Expects that the machine finds a fault and says it in few words."""
    stores = [
        Contender("embedded", lambda settings: settings),
        Contender("broken", broken(fault)),
    ]
    with (
        table(stores, directory, family.kinds[0]) as made,
        pytest.raises((DifferentAnswersError, NoAnswerError)) as caught,
    ):
        run(made, family, steps, small=small)
    message = str(caught.value)
    assert message.startswith(("broken answers differently from embedded\nrequest: ", "broken: "))
    calls = [
        line
        for note in caught.value.__notes__
        for line in note.splitlines()
        if line.startswith("state.")
    ]
    assert 2 <= len(calls) <= LARGEST_EXAMPLE, calls


@pytest.mark.timeout(600)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: str(fault.__name__))
def test_a_planted_fault_is_found(fault: Fault, tmp_path: Path) -> None:
    found(fault, tmp_path, MOST_STEPS, small=True)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("fault", KEY_VALUE_FAULTS, ids=lambda fault: str(fault.__name__))
def test_a_planted_fault_in_key_values_is_found(fault: Fault, tmp_path: Path) -> None:
    found(fault, tmp_path, MOST_STEPS, small=True, family=KEY_VALUES)


@RARER
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("fault", RARER_FAULTS, ids=lambda fault: str(fault.__name__))
def test_a_rarer_fault_is_found(fault: Fault, tmp_path: Path) -> None:
    found(fault, tmp_path, 10_000, small=False)


@RARER
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("fault", RARER_KEY_VALUE_FAULTS, ids=lambda fault: str(fault.__name__))
def test_a_rarer_fault_in_key_values_is_found(fault: Fault, tmp_path: Path) -> None:
    found(fault, tmp_path, 10_000, small=False, family=KEY_VALUES)
