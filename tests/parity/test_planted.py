"""The harness finds what is wrong with a store, and says it with a small example."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.parity.machine import run
from tests.parity.planted import FAULTS, RARER_FAULTS, broken
from tests.parity.sides import Contender, DifferentAnswersError, table
from tests.thorough import THOROUGH

from memplane_adapters.embedded.vector_store import EmbeddedVectorStore

LARGEST_EXAMPLE = 4
"""Calls in the smallest example of any of these faults, the end of it included."""


def found(fault: type[EmbeddedVectorStore], directory: Path, steps: int, *, small: bool) -> None:
    """Expects that the machine finds a fault and says it in few words."""
    stores = [
        Contender("embedded", lambda settings: settings),
        Contender("broken", broken(fault)),
    ]
    with table(stores, directory) as made, pytest.raises(DifferentAnswersError) as caught:
        run(made, steps, small=small)
    message = str(caught.value)
    assert message.startswith("broken answers differently from embedded\nrequest: ")
    calls = [
        line
        for note in caught.value.__notes__
        for line in note.splitlines()
        if line.startswith("state.")
    ]
    assert 2 <= len(calls) <= LARGEST_EXAMPLE, calls


@pytest.mark.timeout(600)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: str(fault.__name__))
def test_a_planted_fault_is_found(fault: type[EmbeddedVectorStore], tmp_path: Path) -> None:
    found(fault, tmp_path, 1_000, small=True)


@pytest.mark.skipif(not THOROUGH, reason="takes minutes; MEMPLANE_TEST_THOROUGH=1 runs it")
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("fault", RARER_FAULTS, ids=lambda fault: str(fault.__name__))
def test_a_rarer_fault_is_found(fault: type[EmbeddedVectorStore], tmp_path: Path) -> None:
    found(fault, tmp_path, 10_000, small=False)
