"""A gateway for the snippets of the docs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def memplane(*words: str) -> list[str]:
    """The command line of the CLI in this environment."""
    return [str(Path(sys.executable).with_name("memplane")), *words]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a fresh gateway with the default configuration."""
    directory = tmp_path_factory.mktemp("docs")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MEMPLANE_")}
    socket = f"unix:{directory}/gateway.sock"
    process = subprocess.Popen(
        memplane("serve", "--data", str(directory / "data"), "--listen", socket),
        stdout=subprocess.PIPE,
        text=True,
        cwd=directory,
        env=environment,
    )
    assert process.stdout is not None
    # The banner is printed when the gateway is ready.
    assert process.stdout.readline()
    yield socket
    process.terminate()
    assert process.wait(20) == 0
    process.stdout.close()
