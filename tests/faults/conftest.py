"""Real gateways for the fault campaign. What a test starts is gone when it ends."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.faults import figures
from tests.faults.process import Gateway, room


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The figures, at the end."""
    if figures.SAID:
        terminalreporter.section("figures of the fault campaign")
        for text in figures.SAID:
            terminalreporter.write_line(text)


@pytest.fixture
def place() -> Iterator[Path]:
    """An empty directory with a short path."""
    with room() as path:
        yield path


@pytest.fixture
def real_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gateways start as users start them: cases about starts, and about what a process costs."""
    monkeypatch.setattr(Gateway, "forks", False)


@pytest.fixture
def gateway(place: Path) -> Iterator[Gateway]:
    """A gateway on a Unix socket, not started."""
    gateway = Gateway(place)
    try:
        yield gateway
    finally:
        gateway.kill()


@pytest.fixture(scope="module")
def shared() -> Iterator[Gateway]:
    """A gateway that serves all tests of a module, logging everything."""
    with (
        room() as path,
        Gateway(path, environ={"MEMPLANE_LOG__LEVEL": "debug"}) as gateway,
    ):
        yield gateway
