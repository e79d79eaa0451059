"""`memplane.local`: a gateway as a child, which is gone with this process however that ends."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pickle
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor
from tests.faults.process import BYTECODE, room, until

import memplane
from memplane import GatewayNotStarted, InvalidArgument

SECONDS = 30.0


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty directory, which is also the one for temporary files."""
    with room() as path:
        for name in [name for name in os.environ if name.startswith("MEMPLANE_")]:
            monkeypatch.delenv(name)
        for name, value in BYTECODE.items():
            monkeypatch.setenv(name, value)
        (path / "tmp").mkdir()
        monkeypatch.setenv("TMPDIR", str(path / "tmp"))
        monkeypatch.setattr(tempfile, "tempdir", None)
        yield path
        assert names(path / "tmp") == [], "nothing is left behind"


def names(directory: Path) -> list[str]:
    """What is in a directory."""
    return [each.name for each in directory.iterdir()]


def holder(data: Path) -> int:
    """The process that has a directory, or had it last."""
    return int((data / "memplane.db.lock").read_text())


def written(file: Path) -> bool:
    """Whether something stands in a file."""
    return file.exists() and file.read_text() != ""


def alive(pid: int) -> bool:
    """Whether a process runs; one that only waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def gone(pid: int) -> None:
    """Return once a process has ended."""
    until(lambda: not alive(pid), SECONDS, f"the end of {pid}")


@contextlib.contextmanager
def script(code: str, *arguments: object, **environ: str) -> Iterator[subprocess.Popen[str]]:
    """A Python process that runs code; it is killed when the block ends."""
    with subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environ},
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def run(code: str, *arguments: object, **environ: str) -> str:
    """What a script prints that must end well."""
    with script(code, *arguments, **environ) as process:
        said, failed = process.communicate(timeout=60)
        assert process.returncode == 0, failed
        return said


@pytest.fixture
def without_gateway(place: Path) -> Callable[..., str]:
    """Runs code in a Python that has the client and what it needs, and no gateway."""
    packages = place / "packages"
    packages.mkdir()
    google = Path(descriptor.__file__).parents[1]
    for package in (Path(memplane.__file__).parent, Path(grpc.__file__).parent, google):
        (packages / package.name).symlink_to(package)
    with contextlib.suppress(ImportError):  # older grpcio does without
        import typing_extensions

        (packages / "typing_extensions.py").symlink_to(typing_extensions.__file__)

    def run_without(code: str, *arguments: object, path: Path) -> str:
        start = [sys.executable, "-S", "-c", code, *map(str, arguments)]
        environ = {**os.environ, "PYTHONPATH": str(packages), "PATH": str(path)}
        done = subprocess.run(
            start, env=environ, cwd=place, capture_output=True, text=True, timeout=60, check=True
        )
        return done.stdout

    return run_without


# --- as long as it is wanted --------------------------------------------------------------------


def test_a_gateway_lives_as_long_as_its_block(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMPLANE_VECTOR", "not-for-a-gateway-of-its-own")
    monkeypatch.chdir(place)
    (place / "memplane.yaml").write_text("not: for it\n")
    with memplane.local("data", config={"log": {"level": "debug"}}, log_file="log") as client:
        pid = holder(place / "data")
        assert alive(pid)
        client.remember("Prefers tea in the morning")
        assert client.search("tea").hits[0].memory.text == "Prefers tea in the morning"
        private = Path(client.target.removeprefix("unix:")).parent
        assert stat.S_IMODE(private.stat().st_mode) == 0o700
        assert names(private) == ["gateway.sock"], "the configuration may hold secrets"
        with memplane.Client(client.target) as other:
            assert other.count() == 1

        with pytest.raises(GatewayNotStarted, match=f"in use by process {pid}") as refused:
            memplane.local(place / "data")
        assert refused.value.status == 78
        assert refused.value.said.startswith(f"the data directory {place / 'data'} is in use")
        assert "a client in this very process" in refused.value.message
    assert not alive(pid)
    assert not private.exists()
    assert '"level": "debug"' in (place / "log").read_text()
    client.close()
    with pytest.raises(memplane.FailedPrecondition, match="start another"), client:
        pass


def test_what_is_not_closed_stops_with_its_last_scope(place: Path) -> None:
    scope = memplane.local(place / "data").scope("support-bot")
    scope.set("tone", "short")
    pid = holder(place / "data")
    assert scope.value("tone") == "short"
    del scope
    assert not alive(pid)


async def test_the_async_client_is_entered_or_awaited(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = place / "tmp" / ("long" * 25)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    async with memplane.async_local(place / "data") as client:
        assert client.target.startswith("unix:/tmp/memplane-"), "short enough for a socket"
        pid = holder(place / "data")
        await client.set("tone", "short")
        with pytest.raises(GatewayNotStarted, match=f"in use by process {pid}"):
            await memplane.async_local(place / "data")
    assert not alive(pid)
    assert names(long) == []
    long.rmdir()


# --- with its process ---------------------------------------------------------------------------

TEN_LINES = """
import sys
import memplane
client = memplane.local(sys.argv[1])
ada = client.scope("support-bot", "user-42")
if ada.value("visits") is None:
    ada.remember("Prefers tea in the morning")
ada.set("visits", (ada.value("visits") or 0) + 1)
for hit in ada.search("tea?"):
    print(ada.value("visits"), hit.memory.text)
"""


def test_a_script_that_closes_nothing(place: Path, without_gateway: Callable[..., str]) -> None:
    assert run(TEN_LINES, place / "data") == "1 Prefers tea in the morning\n"
    assert not alive(holder(place / "data")), "the next one finds the directory free"
    # And with a gateway that is not this interpreter's, but on the PATH.
    beside = Path(sys.executable).parent
    said = without_gateway(TEN_LINES, place / "data", path=beside)
    assert said == "2 Prefers tea in the morning\n"
    assert not alive(holder(place / "data"))


LEFT = """
import os, sys, threading, warnings
import memplane
clients = []
thread = threading.Thread(target=lambda: clients.append(memplane.local(sys.argv[1])))
thread.start()
thread.join()
warnings.simplefilter("ignore")  # of forks beside threads
child = os.fork()
if not child:
    sys.stdin.read()
    os._exit(0)
clients[0].set("tone", "short")
print(child, flush=True)
sys.stdin.read()
"""


def test_the_process_is_killed_though_a_fork_of_it_lives_on(place: Path) -> None:
    """The gateway outlives the thread that started it, and not the process."""
    with script(LEFT, place / "data", GRPC_VERBOSITY="NONE") as process:
        assert process.stdout is not None
        fork = int(process.stdout.readline())
        pid = holder(place / "data")
        assert alive(pid)
        process.kill()
        try:
            gone(pid)
            assert alive(fork)
        finally:
            os.kill(fork, signal.SIGKILL)
    # Who was killed could not clear up: an empty directory is all that is left.
    (left,) = (place / "tmp").iterdir()
    left.rmdir()


# --- why it did not start -----------------------------------------------------------------------

HANGS = 'echo "$$" >> "$0"; echo on the way >&2; exec sleep 600'


def test_a_start_that_takes_too_long(place: Path) -> None:
    pids = place / "pids"
    with pytest.raises(GatewayNotStarted, match="did not serve within 2 s") as error:
        memplane.local(place, command=["sh", "-c", HANGS, str(pids)], start_timeout=2)
    assert error.value.said == "on the way"
    assert not alive(int(pids.read_text()))


async def test_a_start_that_nobody_waits_for(place: Path) -> None:
    pids = place / "pids"

    async def start() -> None:
        await memplane.async_local(place, command=["sh", "-c", HANGS, str(pids)])

    task = asyncio.create_task(start())
    await asyncio.to_thread(until, lambda: written(pids), SECONDS, "a process")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    gone(int(pids.read_text()))


def test_settings_that_are_wrong_are_told_in_the_words_of_the_gateway(place: Path) -> None:
    config = {"routes": {"semantik": {"store": "Ümlaut"}}}
    with pytest.raises(GatewayNotStarted) as error:
        memplane.local(place / "data", config=config, vektor="chroma", log__level="info")
    assert error.value.status == 78
    assert 'MEMPLANE_VEKTOR: unknown variable (did you mean "MEMPLANE_VECTOR"?)' in error.value.said
    assert '\n  config: routes.semantik: unknown setting (did you mean "semantic"?)' in (
        error.value.said
    )
    twin = pickle.loads(pickle.dumps(error.value))
    assert (str(twin), twin.status, twin.said) == (str(error.value), 78, error.value.said)


def test_a_program_that_is_not_there(place: Path) -> None:
    with pytest.raises(GatewayNotStarted, match="No such file or directory: '/no/memplane'"):
        memplane.local(place, command=["/no/memplane"])


@pytest.mark.parametrize(
    ("field", "arguments"),
    [
        ("command", {"command": "memplane serve"}),
        ("command", {"command": []}),
        ("start_timeout", {"start_timeout": 0}),
        ("listen", {"listen": "127.0.0.1:1"}),
        ("data_dir", {"data_dir": "elsewhere"}),
        ("config", {"config": {"routes": object()}}),
        ("timeout", {"timeout": 0, "command": ["echo", "memplane listening on unix:/nowhere"]}),
    ],
)
def test_arguments_that_are_wrong(place: Path, field: str, arguments: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument) as error:
        memplane.local(place, **arguments)
    assert [each.field for each in error.value.violations] == [field]


def test_no_gateway_is_installed(place: Path, without_gateway: Callable[..., str]) -> None:
    code = """
import sys, memplane
try:
    memplane.local(sys.argv[1])
except memplane.GatewayNotStarted as error:
    print(error.status, error)
"""
    said = without_gateway(code, place / "data", path=place)
    assert said.startswith("None FAILED_PRECONDITION: no gateway is installed here: ")
    assert "pip install memplane-gateway" in said
    assert not (place / "data").exists()
