"""Sends a signal to a process, its group and all that come from it: `signals.py KILL 1234`.

A program by itself, with the standard library alone, so that it can be run when whoever wanted it is
gone. A group is not enough: PostgreSQL makes each of its processes the head of a group of its own.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

_PROC = Path("/proc")


def main(name: str, pid: int) -> None:
    """Sends it. What has ended meanwhile is let be."""
    number = signal.Signals[f"SIG{name}"]
    below = list(descendants(pid))  # the head may end before it is asked about its children
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, number)
    for one in below:
        with contextlib.suppress(ProcessLookupError):
            if os.getpgid(one) != pid:
                os.kill(one, number)


def descendants(pid: int) -> Iterator[int]:
    """The processes that came from one, the nearer ones first."""
    children: defaultdict[int, list[int]] = defaultdict(list)
    for child, parent in _parents():
        children[parent].append(child)
    found = [pid]
    for one in found:
        found += children[one]
        yield from children[one]


def _parents() -> Iterator[tuple[int, int]]:
    """Every process and its parent."""
    if (_PROC / "self/stat").exists():
        for directory in _PROC.iterdir():
            if directory.name.isdecimal():
                with contextlib.suppress(OSError):
                    # The name of the program, in brackets, may hold anything.
                    rest = (directory / "stat").read_text("utf-8", "replace").rpartition(")")[2]
                    yield int(directory.name), int(rest.split()[1])
        return
    listed = subprocess.run(["/bin/ps", "-A", "-o", "pid=,ppid="], check=True, capture_output=True)
    for line in listed.stdout.decode("ascii").splitlines():
        child, parent = line.split()
        yield int(child), int(parent)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
