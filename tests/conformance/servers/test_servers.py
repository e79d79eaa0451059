"""Servers are started, stopped, killed, frozen and found; with real processes."""

from __future__ import annotations

import dataclasses
import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from memplane_adapters.conformance import servers as module
from memplane_adapters.conformance.local_stores import Choice, Servers, at_hand
from memplane_adapters.conformance.servers import (
    PORTS,
    PROJECT,
    Container,
    NotAtHandError,
    NotStartedError,
    Program,
    Server,
    answers,
    free_ports,
    given,
    launcher_for,
    without_vectors,
)
from memplane_adapters.contract import LocalStore

# Serves the files of its directory on the first port, and on the second one, later, takes connections.
SCRIPT = """
import http.server, os, socket, sys, threading, time
directory, host, first, second = sys.argv[1:]
class Handler(http.server.SimpleHTTPRequestHandler):
    def __init__(self, *args): super().__init__(*args, directory=directory)
print("serving for", os.environ["WHO"], flush=True)
server = http.server.ThreadingHTTPServer((host, int(first)), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
time.sleep(0.2)
late = socket.create_server((host, int(second)))
while True: late.accept()
"""
STORE = LocalStore(
    name="files",
    url="http://{host}:{ports[0]}/?also={ports[1]}",
    program="memplane-test-files",
    arguments=("-c", SCRIPT, "{directory}", "{host}", "{ports[0]}", "{ports[1]}"),
    environ={"WHO": "{host}"},
    ports=2,
    ready=("http://{host}:{ports[0]}/", "tcp://{host}:{ports[1]}"),
    variable="MEMPLANE_TEST_FILES_URL",
)
PYTHON = Program(sys.executable)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(STORE, tmp_path / "server", PYTHON)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A machine with nothing on it: no program, no project, no engine."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    for name in (PROJECT, "CI", STORE.variable):
        monkeypatch.delenv(name, raising=False)
    module._engine.cache_clear()
    yield tmp_path
    module._engine.cache_clear()


def program(path: Path, script: str = "") -> str:
    """Makes a file that can be run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}")
    path.chmod(0o755)
    return str(path)


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.005)


def status(server: Server, path: str = "/") -> int:
    """What the server answers to a GET."""
    asking = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=0.5)
    try:
        asking.request("GET", path)
        return asking.getresponse().status
    finally:
        asking.close()


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()


def test_it_serves_on_all_ports_when_start_returns(server: Server) -> None:
    assert not answers(f"http://{urlsplit(server.url).netloc}/")
    with server:
        first, second = urlsplit(server.url).port, int(server.url.rpartition("=")[2])
        assert first in PORTS
        assert answers(f"http://127.0.0.1:{first}/")
        assert answers(f"tcp://127.0.0.1:{second}")
        assert not answers(f"http://127.0.0.1:{first}/nothing")
        assert "serving for 127.0.0.1" in server.log
    assert not server.running
    assert not answers(f"tcp://127.0.0.1:{first}")


def test_it_comes_back_on_the_same_ports_and_directory(server: Server) -> None:
    url = server.start().url
    (server.root / "data" / "kept").write_text("here")
    for end in (server.kill, server.stop, lambda: None):
        pid = server.pid
        end()
        assert server.running == (end not in (server.kill, server.stop))
        server.restart()
        assert server.pid != pid
        assert gone(pid)
        assert server.url == url
        assert status(server, "/kept") == 200


def test_a_frozen_one_takes_connections_and_answers_nothing(server: Server) -> None:
    server.start().pause()
    with pytest.raises(TimeoutError):
        status(server)
    server.resume()
    assert status(server) == 200


@pytest.mark.parametrize("end", [Server.stop, Server.kill, Server.close])
def test_a_frozen_one_can_be_ended(server: Server, end: Callable[[Server], None]) -> None:
    server.start().pause()
    end(server)
    assert gone(server.pid)
    end(server)
    assert status(server.start()) == 200


# Has a child that leaves its group, as PostgreSQL's do; the child counts into a file.
FAMILY = """
import os, sys, time
directory, host, port = sys.argv[1:]
if os.fork() == 0:
    os.setsid()
    with open(directory + "/pid", "w") as file: file.write(str(os.getpid()))
    while True:
        with open(directory + "/ticks", "a") as file: file.write(".")
        time.sleep(0.01)
import socket
line = socket.create_server((host, int(port)))
while True: line.accept()
"""


def test_a_signal_reaches_those_who_left_the_group(tmp_path: Path) -> None:
    store = LocalStore(
        name="family",
        url="",
        program="python",
        arguments=("-c", FAMILY, "{directory}", "{host}", "{ports[0]}"),
        ready=("tcp://{host}:{ports[0]}",),
    )
    ticks = tmp_path / "data/ticks"

    def size() -> int:
        return ticks.stat().st_size if ticks.exists() else 0

    def state(pid: int) -> str:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]

    with Server(store, tmp_path, PYTHON) as server:
        until(lambda: size() > 0)
        child = int((tmp_path / "data/pid").read_text())
        server.pause()
        until(lambda: state(child) == "T")
        frozen = size()
        server.resume()
        until(lambda: size() > frozen)
        server.kill()
        until(lambda: gone(child))
        server.start()
        until(lambda: (tmp_path / "data/pid").read_text() not in ("", str(child)))
        child = int((tmp_path / "data/pid").read_text())
        server.stop()
        until(lambda: gone(child))


def test_one_that_is_to_answer_is_asked() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = f"tcp://127.0.0.1:{listening.getsockname()[1]}"

        def serve(answer: bytes) -> threading.Thread:
            def once() -> None:
                line, _ = listening.accept()
                with line:
                    heard.append(line.recv(100))
                    line.sendall(answer)

            thread = threading.Thread(target=once)
            thread.start()
            return thread

        for answer, right in ((b"+PONG", True), (b"-LOADING", False), (b"", False)):
            heard: list[bytes] = []
            thread = serve(answer)
            assert answers(f"{address}?say=PING%0D%0A%00&hear=%2BPO") is right
            thread.join()
            assert heard == [b"PING\r\n\0"]


def test_a_starter_becomes_the_program(tmp_path: Path) -> None:
    made = 'import os, sys; os.environ["WHO"] = "made ready"; os.execv(sys.argv[1], sys.argv[1:])'
    store = dataclasses.replace(STORE, starter=(sys.executable, "-c", made))
    with Server(store, tmp_path, PYTHON) as server:
        assert "serving for made ready" in server.log


def test_one_that_ends_says_what_it_said(tmp_path: Path) -> None:
    store = LocalStore(
        name="broken",
        url="",
        program="sh",
        arguments=("-c", "echo no licence; exit 3"),
        ready=("tcp://{host}:{ports[0]}",),
    )
    server = Server(store, tmp_path, Program("/bin/sh"))
    with pytest.raises(NotStartedError, match="no licence"):
        server.start()
    assert not server.running


def test_one_that_never_answers_is_ended(tmp_path: Path) -> None:
    store = LocalStore(
        name="mute",
        url="",
        program="sleep",
        arguments=("600",),
        ready=("tcp://{host}:{ports[0]}",),
    )
    server = Server(store, tmp_path, Program("/bin/sleep", patience=0.1))
    with pytest.raises(NotStartedError):
        server.start()
    assert gone(server.pid)


STARTER = f"""
import sys
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_servers import PYTHON, STORE
from memplane_adapters.conformance.servers import Server
server = Server(STORE, Path(sys.argv[1]), PYTHON).start()
print(server.pid, flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, None])
def test_it_dies_with_the_process_that_started_it(
    tmp_path: Path, number: signal.Signals | None
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", STARTER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as starter:
        assert starter.stdout is not None
        assert starter.stdin is not None
        pid = int(starter.stdout.readline())
        assert not gone(pid)
        if number is None:
            starter.stdin.close()  # it comes to its end
        else:
            os.killpg(starter.pid, number)
        until(lambda: gone(pid))


def test_free_ports_are_free_and_distinct() -> None:
    taken = free_ports(3)
    assert len(set(taken)) == 3
    assert not any(answers(f"tcp://127.0.0.1:{port}") for port in taken)


def test_a_program_on_the_path_comes_before_one_in_the_tools(nowhere: Path) -> None:
    tool = program(nowhere / ".tools/servers/files/bin" / STORE.program)
    assert launcher_for(STORE) == Program(tool)
    on_the_path = program(nowhere / "bin" / STORE.program)
    assert launcher_for(STORE) == Program(on_the_path)


def test_a_program_that_brings_nothing_for_vectors_is_passed_over(nowhere: Path) -> None:
    """It is a link, as Debian makes one; what it brings is seen from where it leads."""
    store = dataclasses.replace(
        STORE, brings=("../lib*/vector.*", "../lib*/*/vector.*"), key_values=True
    )
    plain = program(nowhere / "bin" / STORE.program)
    with pytest.raises(NotAtHandError, match=r"brings \.\./lib"):
        launcher_for(store)
    assert launcher_for(without_vectors(store)) == Program(plain)
    real = Path(program(nowhere / "package/bin" / STORE.program))
    (nowhere / "package/lib/store").mkdir(parents=True)
    (nowhere / "package/lib/store/vector.so").touch()
    link = nowhere / ".tools/servers/files/bin" / STORE.program
    link.parent.mkdir(parents=True)
    link.symlink_to(real)
    assert launcher_for(store) == Program(str(link))
    assert launcher_for(without_vectors(store)) == Program(plain)
    with pytest.raises(NotAtHandError):
        without_vectors(STORE)


def test_tools_are_found_from_below_and_by_the_variable(
    nowhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = program(nowhere / "project/.tools/servers/files/bin" / STORE.program)
    below = nowhere / "project/tests/deep"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert launcher_for(STORE) == Program(tool)
    monkeypatch.chdir(nowhere)
    with pytest.raises(NotAtHandError):
        launcher_for(STORE)
    monkeypatch.setenv(PROJECT, str(nowhere / "project"))
    assert launcher_for(STORE) == Program(tool)


def test_an_engine_counts_when_it_answers(nowhere: Path) -> None:
    shipped = LocalStore(name="files", url="", program="none", image="files:1", image_ports=(80,))
    program(nowhere / "bin/docker", "exit 1")
    with pytest.raises(NotAtHandError, match="no container engine"):
        launcher_for(shipped)
    module._engine.cache_clear()
    podman = program(nowhere / "bin/podman", '[ "$1" = info ]')
    found = launcher_for(shipped)
    assert isinstance(found, Container)
    assert found.engine == podman
    with pytest.raises(NotAtHandError):  # no image
        launcher_for(STORE)


# Stands in for an engine, with a real process as the container: none answers where this is run.
ENGINE = """echo "$@" >> "$(dirname "$0")/words"
pid="$(dirname "$0")/pid"
case "$1" in
  run) echo $$ > "$pid"
       first=${3#*127.0.0.1:}; second=${4#*127.0.0.1:}
       WHO=container exec PYTHON -c 'SCRIPT' /tmp 127.0.0.1 "${first%:*}" "${second%:*}";;
  stop) kill "$(cat "$pid")";;
  rm) kill -9 "$(cat "$pid")";;
  pause) kill -STOP "$(cat "$pid")";;
  unpause) kill -CONT "$(cat "$pid")";;
esac
"""


def test_a_container_is_run_and_ended_by_the_engine(tmp_path: Path) -> None:
    engine = program(
        tmp_path / "docker", ENGINE.replace("PYTHON", sys.executable).replace("SCRIPT", SCRIPT)
    )
    shipped = LocalStore(
        name="files",
        url=STORE.url,
        program="none",
        ports=2,
        ready=STORE.ready,
        image="files:1",
        image_ports=(80, 81),
        image_directory="/data",
        image_environ={"NAME": "a b"},
    )
    with Server(shipped, tmp_path / "server", Container(engine, "box")) as server:
        assert "serving for container" in server.log
        server.pause()
        server.resume()
        server.kill()
        assert gone(server.pid)
        server.start()
    first, second = urlsplit(server.url).port, server.url.rpartition("=")[2]
    run = (
        f"run --rm --publish=127.0.0.1:{first}:80 --publish=127.0.0.1:{second}:81"
        " --env=NAME=a b --volume=box:/data --name=box files:1"
    )
    assert (tmp_path / "words").read_text().splitlines() == [
        run,
        "pause box",
        "unpause box",
        "rm --force box",
        run,
        "stop box",
        "volume rm --force box",
    ]


def test_a_url_in_the_environment_comes_first(
    nowhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(STORE.variable, "http://there:1")
    assert given(STORE) == "http://there:1"
    assert Servers(nowhere).url(STORE, nowhere) == "http://there:1"
    assert given(LocalStore(name="local", url="{directory}")) == ""


def test_a_store_in_process_needs_no_server(tmp_path: Path) -> None:
    store = LocalStore(name="local", url="{directory}/store")
    assert Servers(tmp_path).url(store, tmp_path) == f"{tmp_path}/store"


def test_all_share_one_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / ".tools/servers/files/bin" / STORE.program
    program(tool, f'exec {sys.executable} "$@"')
    monkeypatch.setenv(PROJECT, str(tmp_path))
    shared = Servers(tmp_path)
    try:
        url = shared.url(STORE, tmp_path / "one")
        assert shared.url(STORE, tmp_path / "two") == url
        assert answers(f"http://{urlsplit(url).netloc}/")
    finally:
        shared.close()
    assert not answers(f"http://{urlsplit(url).netloc}/")


def test_what_is_not_at_hand_is_skipped_and_fails_in_ci(
    nowhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    servers = Servers(nowhere)
    with pytest.raises(pytest.skip.Exception, match=STORE.variable):
        servers.url(STORE, nowhere)
    monkeypatch.setenv("CI", "1")
    with pytest.raises(pytest.skip.Exception):  # nothing that CI would install
        servers.url(STORE, nowhere)
    monkeypatch.setenv(PROJECT, str(nowhere))
    installs = nowhere / "requirements/servers" / f"{STORE.program}.txt"
    installs.parent.mkdir(parents=True)
    installs.touch()
    with pytest.raises(pytest.fail.Exception, match="make servers"):
        servers.url(STORE, nowhere)


def test_what_go_builds_fails_in_ci_where_there_is_go(
    nowhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    servers = Servers(nowhere)
    monkeypatch.setenv("CI", "1")
    monkeypatch.setenv(PROJECT, str(nowhere))
    built = nowhere / "requirements/servers" / f"{STORE.name}.go-install"
    built.parent.mkdir(parents=True)
    built.touch()
    with pytest.raises(pytest.skip.Exception, match=f"make {STORE.name}, with Go"):
        servers.url(STORE, nowhere)
    go = nowhere / "programs" / "go"
    go.parent.mkdir()
    go.write_text("#!/bin/sh\n")
    go.chmod(0o755)
    monkeypatch.setenv("PATH", str(go.parent))
    with pytest.raises(pytest.fail.Exception, match=f"make {STORE.name}"):
        servers.url(STORE, nowhere)


SERVED = [choice for choice in at_hand() if choice.store is not None and choice.store.program]


@pytest.mark.parametrize("choice", SERVED, ids=str)
def test_what_an_adapter_declares_serves_and_comes_back(
    choice: Choice, servers: Servers, tmp_path: Path
) -> None:
    assert choice.store is not None
    assert choice.store.ready, "nothing tells when it serves"
    with servers.own(choice.store, tmp_path / "server").start() as server:
        for end in (server.stop, server.kill):
            end()
            server.start()
        server.pause()
        server.resume()
