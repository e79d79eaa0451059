"""Which stores are compared, over how many steps, and from which seed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.parity.options import SAID, Options, chosen


def pytest_addoption(parser: pytest.Parser) -> None:
    """`make parity ARGS="--steps 10000 --seed 7 --stores embedded,chroma"`."""
    group = parser.getgroup("parity")
    group.addoption("--steps", type=int, help="steps of the parity run (or MEMPLANE_PARITY_STEPS)")
    group.addoption("--seed", type=int, help="what chooses them (or MEMPLANE_PARITY_SEED)")
    group.addoption("--one-an-adapter", action="store_true", help="one store of each adapter")
    group.addoption("--stores", help="names, with commas between (or MEMPLANE_PARITY_STORES)")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What was compared, at the end."""
    for text in SAID:
        terminalreporter.write_line(text)


@pytest.fixture
def options(request: pytest.FixtureRequest) -> Options:
    """What was asked for."""
    return chosen(request.config)
