"""Completion in a real shell, as somebody types."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

Run = Callable[..., Result]
SECONDS = 30
BASH = shutil.which("bash")


def said_until(terminal: int, *words: str) -> str:
    """What stands on the terminal once all these words do."""
    said = b""
    end = time.monotonic() + SECONDS
    while not all(word.encode() in said for word in words):
        ready, _, _ = select.select([terminal], [], [], max(0.0, end - time.monotonic()))
        assert ready, said.decode(errors="replace")
        said += os.read(terminal, 4096)
    return said.decode()


@pytest.mark.skipif(BASH is None, reason="no bash here")
def test_bash_completes_what_is_typed(tmp_path: Path) -> None:
    assert BASH is not None
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "TERM": "dumb",
        "PS1": "$ ",
    }
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [BASH, "--norc", "--noprofile", "-i"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment,
        cwd=tmp_path,
        start_new_session=True,
    ) as bash:
        os.close(theirs)
        os.write(ours, b'bind "set show-all-if-ambiguous on"; eval "$(memplane completion bash)"\n')
        os.write(ours, b"echo re''ady\n")
        said_until(ours, "ready")
        os.write(ours, b"memplane se\t")
        said = said_until(ours, "search", "serve")
        assert "delete" not in said
        os.write(ours, b"\x15memplane ingest --format lo\t")
        said_until(ours, "locomo")
        os.write(ours, b"\x15exit\n")
        bash.wait(SECONDS)
    os.close(ours)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_is_printed_and_nothing_installed(run: Run, shell: str) -> None:
    done = run("completion", shell)
    assert done.exit_code == 0
    assert "_MEMPLANE_COMPLETE" in done.stdout
    assert "--install-completion" not in run("--help").stdout
