"""Whether what tests write survives a loss of power, on this machine."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from memplane_adapters.embedded.filesystem import memory_filesystem


def need_disk(directory: Path) -> None:
    """Skip a case about an outbox, which a gateway refuses to keep in memory."""
    kind = memory_filesystem(directory)
    if kind is not None:
        pytest.skip(f"{directory} is on {kind}; TMPDIR can name a directory on a disk")


def embedded_level() -> str:
    """The durability that an embedded store reaches among temporary files."""
    return "DISK" if memory_filesystem(Path(tempfile.gettempdir())) is None else "PROCESS"
