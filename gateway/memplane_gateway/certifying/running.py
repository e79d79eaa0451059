"""The suite in a process of its own, and what it says."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Final

from memplane_gateway.certifying.apart import Apart
from memplane_gateway.certifying.findings import FAILED, Case, Findings

_NEEDED: Final = ("pytest", "pytest_asyncio", "hypothesis")
_PLUGIN: Final = "memplane_adapters.conformance.certify_plugin"
_SUITE: Final = "memplane_adapters.conformance"
_CASE_SECONDS: Final = 1_800.0
"""A case that takes longer is taken to hang."""
_ENDING_SECONDS: Final = 60.0
_LOOKING_SECONDS: Final = 0.5


@dataclass(frozen=True, slots=True)
class Selection:
    """Which part of the suite is run; anything but all of it is partial."""

    quick: bool = False
    """Few random filters, and one door only."""
    expression: str = ""
    """An expression of pytest's -k."""
    half: str = ""
    """One half of the suite alone (see HALVES)."""
    promise: str = ""
    """One promise of the store alone, VECTORS or KEY_VALUES, which is then the whole that is certified."""

    @property
    def partial(self) -> bool:
        return self.quick or bool(self.expression) or bool(self.half)


def missing_modules() -> list[str]:
    """The modules that the suite needs and that are not installed."""
    return [name for name in _NEEDED if find_spec(name) is None]


def run_suite(apart: Apart, selection: Selection, tell: Callable[[Findings], None]) -> Findings:
    """Run the suite to its end, and tell after each event how far it is.

    KeyboardInterrupt ends it; what runs in its process is given the time to clean up.
    """
    findings = Findings()
    log = apart.directory / "log"
    with log.open("wb") as said:
        read, write = os.pipe()
        with os.fdopen(read, "rb", buffering=0) as events:
            with os.fdopen(write, "wb", buffering=0):
                process = _start(apart, selection, write, said)
            try:
                _listen(events.fileno(), findings, apart.prefixes, tell)
                if not findings.trouble:
                    with contextlib.suppress(subprocess.TimeoutExpired):  # all has been said
                        process.wait(_ENDING_SECONDS)
            finally:
                _stop(process)
    if not findings.ended and not findings.trouble:
        findings.trouble = f"the suite broke off: {_last_words(log)}"
    return findings


def _start(
    apart: Apart, selection: Selection, events: int, said: IO[bytes]
) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(  # noqa: S603 (ourselves)
        _command(apart.directory, selection),
        cwd=apart.directory,
        env=_environment(),
        stdin=subprocess.PIPE,
        stdout=said,
        stderr=subprocess.STDOUT,
        pass_fds=(events,),
        start_new_session=True,  # Ctrl-C comes to us alone, and we pass it on once
    )
    assert process.stdin is not None, "it is a pipe"
    with contextlib.suppress(BrokenPipeError), process.stdin:  # its log says why it has gone
        process.stdin.write(_task(apart, selection, events))
    return process


def _listen(
    events: int,
    findings: Findings,
    prefixes: dict[str, None],
    tell: Callable[[Findings], None],
) -> None:
    rest = b""
    silent = 0.0
    while silent < _CASE_SECONDS:
        if not select.select([events], [], [], _LOOKING_SECONDS)[0]:
            silent += _LOOKING_SECONDS
            continue
        silent = 0.0
        got = os.read(events, 65_536)
        if not got:
            return
        *lines, rest = (rest + got).split(b"\n")
        for event in map(json.loads, lines):
            if event["event"] == "prefix":
                prefixes.setdefault(event["prefix"])
            else:
                findings.note(event)
                tell(findings)
    reason = f"it did not end within {_CASE_SECONDS / 60:.0f} minutes"
    findings.cases.append(Case(findings.under_way or "the start", FAILED, reason))
    findings.trouble = f"{findings.under_way or 'the start'}: {reason}"


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End a process that has not ended by itself, and all that it has started."""
    for number in (signal.SIGINT, signal.SIGKILL):
        if process.poll() is not None:
            return
        os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_ENDING_SECONDS)


def _command(directory: Path, selection: Selection) -> list[str]:
    ini = directory / "pytest.ini"
    ini.write_text(
        "[pytest]\nasyncio_mode = strict\nasyncio_default_fixture_loop_scope = function\n"
    )
    expression = selection.expression
    if selection.quick:
        expression = f"not grpc and ({expression})" if expression else "not grpc"
    suite = f"{_SUITE}.{selection.half}" if selection.half else _SUITE
    return [
        *(sys.executable, "-m", "pytest", "--pyargs", suite, "--quiet", "--tb=short"),
        *("-c", str(ini), "--rootdir", str(directory), "--basetemp", str(directory / "pytest")),
        *("-p", "asyncio", "-p", "hypothesispytest", "-p", "no:cacheprovider", "-p", _PLUGIN),
        *(("-k", expression) if expression else ()),
    ]


def _environment() -> dict[str, str]:
    """Ours, without settings of the gateway's or of pytest's."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.upper().startswith(("MEMPLANE_", "PYTEST_"))
    }
    return {**kept, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}


def _task(apart: Apart, selection: Selection, events: int) -> bytes:
    task = {
        "adapter": apart.adapter.name,
        "keys": apart.keys(),
        "quick": selection.quick,
        "promise": selection.promise,
        "events": events,
    }
    return (json.dumps(task, default=str) + "\n").encode()


def _last_words(log: Path) -> str:
    lines = log.read_text("utf-8", "replace").strip().splitlines()
    return " / ".join(lines[-3:])[-500:] or "it said nothing"
