"""Unix sockets: do not take one from a living gateway, do not leave one behind."""

from __future__ import annotations

import socket
from pathlib import Path


def is_answered(path: str) -> bool:
    """Whether somebody accepts connections on a Unix socket; a stale one is nobody's."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except OSError:
            return False
    return True


def identity(path: str) -> tuple[int, int] | None:
    """What tells this socket file from a later one at the same path; None when there is none."""
    try:
        there = Path(path).stat()
    except FileNotFoundError:
        return None
    return there.st_dev, there.st_ino


def remove(path: str, ours: tuple[int, int] | None) -> None:
    """Remove the socket file, if it still is ours."""
    if ours is not None and identity(path) == ours:
        Path(path).unlink(missing_ok=True)
