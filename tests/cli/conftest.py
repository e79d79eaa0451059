"""A real gateway in a process of its own, and the command line in this one."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

START_SECONDS = 20


def clean() -> dict[str, str]:
    """The environment without settings of ours."""
    return {name: v for name, v in os.environ.items() if not name.startswith("MEMPLANE_")}


@contextlib.contextmanager
def served(
    place: Path, *arguments: str, **environment: str
) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """`memplane serve` until the block ends; with the process come the lines that it said."""
    command = [sys.executable, "-m", "memplane_gateway.cli", "serve", *arguments]
    with (
        (place / "stderr").open("w") as stderr,
        subprocess.Popen(
            command,
            cwd=place,
            env=clean() | environment,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        ) as process,
    ):
        assert process.stdout is not None
        try:
            said: list[str] = []
            for line in process.stdout:
                said.append(line.rstrip("\n"))
                if "memplane search" in line:
                    break
            assert said, (place / "stderr").read_text()
            yield process, said
        finally:
            if process.poll() is None:
                process.terminate()
            process.wait(START_SECONDS)


@pytest.fixture(scope="session")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where a gateway listens."""
    place = tmp_path_factory.mktemp("gateway")
    policies = '[{"kind": "episodic", "namespace": ["capped"], "max_items": 2}]'
    options = ("--data", str(place / "data"), "--listen", "127.0.0.1:0")
    with served(place, *options, MEMPLANE_RETENTION=policies) as (_, said):
        yield said[0].rsplit(" ", 1)[1]


@pytest.fixture
def namespace() -> str:
    """A label that no other test uses."""
    return f"test-{uuid.uuid4()}"


Run = Callable[..., Result]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Runs the command line in an empty directory, without settings from outside."""
    from memplane_gateway.cli.app import app

    for name in os.environ:
        if name.startswith("MEMPLANE_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)

    def invoke(*arguments: str, stdin: str | None = None) -> Result:
        return CliRunner().invoke(app, list(arguments), input=stdin, env={"COLUMNS": "200"})

    return invoke
