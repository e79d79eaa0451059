"""What stands in the way of a start is said in a sentence, with an exit status for supervisors."""

from __future__ import annotations

import os
import shutil
import socket
import sqlite3
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest
from tests.faults import messages
from tests.faults.calls import METHODS, call, check_honest
from tests.faults.figures import say
from tests.faults.process import Gateway, NotStartedError

from memplane.v1 import memory_service_pb2 as svc

pytestmark = pytest.mark.usefixtures("real_starts")

UNAVAILABLE = 69
CONFIG = 78
NOBODY = 65_534


def check_sentence(error: NotStartedError, *words: str) -> None:
    """The last line says in words what is wrong; there is no trace."""
    assert "Traceback" not in error.said, error.said
    last = error.said.strip().splitlines()[-1]
    assert last.startswith("memplane: "), error.said
    for word in words:
        assert word in last, f"{word!r} is not in {last!r}"


def test_second_gateway_on_a_directory_is_refused(gateway: Gateway) -> None:
    gateway.start()
    (gateway.root / "second").mkdir()
    second = Gateway(gateway.root / "second", data=gateway.data)
    error = second.refused()
    assert error.code == CONFIG
    check_sentence(error, str(gateway.data), str(gateway.pid))
    with gateway.channel() as channel:
        messages.Stub(channel).PutMemories(messages.put("unharmed"), timeout=20)
        assert messages.keys_there(messages.Stub(channel)) == {"unharmed"}
    gateway.kill()
    with second:
        pass


def test_port_that_is_taken(place: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        error = Gateway(place, listen=f"127.0.0.1:{port}").refused()
    assert error.code == UNAVAILABLE
    check_sentence(error, f"127.0.0.1:{port}")


def test_socket_of_a_killed_gateway_is_no_obstacle(gateway: Gateway) -> None:
    gateway.start()
    gateway.kill()
    assert (gateway.root / "gateway.sock").is_socket()
    gateway.start()
    assert gateway.status().version
    assert gateway.stop() == 0
    assert not (gateway.root / "gateway.sock").exists()


def test_socket_of_a_living_gateway_is_not_taken_from_it(gateway: Gateway) -> None:
    gateway.start()
    (gateway.root / "second").mkdir()
    second = Gateway(gateway.root / "second", listen=gateway.listen)
    error = second.refused()
    assert error.code == UNAVAILABLE
    check_sentence(error, str(gateway.root / "gateway.sock"))
    with gateway.channel() as channel:
        messages.Stub(channel).PutMemories(messages.put("unharmed"), timeout=20)


def test_socket_that_vanishes_does_not_stand_in_the_way_of_the_end(gateway: Gateway) -> None:
    gateway.start()
    (gateway.root / "gateway.sock").unlink()
    assert gateway.stop() == 0
    gateway.start()
    assert gateway.status().version


def test_a_file_where_the_socket_should_be_is_left_alone(gateway: Gateway) -> None:
    (gateway.root / "gateway.sock").write_text("precious")
    error = gateway.refused()
    assert error.code == UNAVAILABLE
    check_sentence(error, "gateway.sock")
    assert (gateway.root / "gateway.sock").read_text() == "precious"


def test_no_directory_for_the_socket(place: Path) -> None:
    error = Gateway(place, listen=f"unix:{place}/no/such/place").refused()
    assert error.code == UNAVAILABLE
    check_sentence(error, "no/such/place")


def test_data_directory_is_a_file(gateway: Gateway) -> None:
    gateway.data.write_text("precious")
    error = gateway.refused()
    assert error.code == CONFIG
    check_sentence(error, str(gateway.data))


def test_database_is_a_directory(gateway: Gateway) -> None:
    (gateway.data / "memplane.db").mkdir(parents=True)
    error = gateway.refused()
    assert error.code == CONFIG
    check_sentence(error, str(gateway.data))


@pytest.mark.parametrize("what", ["the directory", "the file"])
def test_data_that_is_another_users(gateway: Gateway, what: str) -> None:
    with gateway:
        gateway.stop()
    theirs = gateway.data if what == "the directory" else gateway.data / "memplane.db"
    if os.geteuid() == 0:
        without = ("--bounding-set", "-dac_override,-dac_read_search", "--inh-caps", "-all")
        if shutil.which("setpriv") is None:
            pytest.skip("root may write everything, and there is no setpriv to take that away")
        gateway.command = ("setpriv", *without, *gateway.command)
        os.chown(theirs, NOBODY, NOBODY)
    theirs.chmod(0o555)
    try:
        error = gateway.refused()
    finally:
        theirs.chmod(0o755)
    assert error.code == CONFIG
    check_sentence(error, str(gateway.data), "0555")


def _flip_header(file: Path) -> None:
    with file.open("r+b") as opened:
        head = opened.read(16)
        opened.seek(0)
        opened.write(bytes(byte ^ 0xFF for byte in head))


def _garbage(file: Path) -> None:
    file.write_bytes(bytes(range(256)) * 64)


def _cut(file: Path) -> None:
    size = file.stat().st_size
    os.truncate(file, size // 2 // 4096 * 4096)


def _first_page(file: Path) -> None:
    with file.open("r+b") as opened:
        opened.seek(100)
        opened.write(b"\xa5" * (4096 - 100))


def _foreign(file: Path) -> None:
    file.unlink()
    connection = sqlite3.connect(file)
    connection.execute("create table other (name text)")
    connection.close()


def _newer(file: Path) -> None:
    connection = sqlite3.connect(file)
    connection.execute("pragma user_version = 9999")
    connection.close()


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        (_flip_header, UNAVAILABLE),
        (_garbage, UNAVAILABLE),
        (_first_page, UNAVAILABLE),
        (_foreign, CONFIG),
        (_newer, CONFIG),
    ],
)
def test_file_that_is_damaged_or_foreign(
    gateway: Gateway, damage: Callable[[Path], None], code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Gateway, "forks", True)  # what is wrong is the file
    _filled(gateway)
    file = gateway.data / "memplane.db"
    damage(file)
    before = file.read_bytes()
    error = gateway.refused()
    assert error.code == code
    check_sentence(error, str(file))
    assert file.read_bytes() == before, "what cannot be read is not made worse"


def test_pages_that_are_damaged_or_missing(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never a wrong answer, never INTERNAL: the truth, or DATA_LOSS, or no start."""
    monkeypatch.setattr(Gateway, "forks", True)  # as above
    keys = _filled(gateway)
    file = gateway.data / "memplane.db"
    whole = gateway.root / "whole.db"
    shutil.copy(file, whole)
    pages = file.stat().st_size // 4096
    outcomes: dict[str, int] = {}
    for number in [*range(1, pages, max(1, pages // 5)), -1]:
        shutil.copy(whole, file)
        if number < 0:
            _cut(file)
        else:
            with file.open("r+b") as opened:
                opened.seek(number * 4096)
                opened.write(bytes(4096))
        try:
            gateway.start()
        except NotStartedError as error:
            check_sentence(error, str(file))
            outcomes[f"exit {error.code}"] = outcomes.get(f"exit {error.code}", 0) + 1
            continue
        with gateway.channel() as channel:
            for name in _reads(channel, keys):
                outcomes[name] = outcomes.get(name, 0) + 1
        gateway.kill()
    assert "bug in" not in gateway.log
    say(f"pages damaged one after the other: {outcomes}")
    assert not {"exit 0", "exit 1", "exit 2"} & outcomes.keys()
    assert outcomes.keys() - {"GetMemories OK", "ListMemories OK", "CountMemories OK"}


def _filled(gateway: Gateway) -> list[str]:
    keys = [f"key-{number}" for number in range(200)]
    with gateway, gateway.channel() as channel:
        messages.Stub(channel).PutMemories(messages.put(*keys, payload=bytes(500)), timeout=20)
        channel.close()
        assert gateway.stop() == 0
    return keys


def _reads(channel: grpc.Channel, keys: list[str]) -> list[str]:
    outcomes: list[str] = []
    requests = {
        "GetMemories": messages.get(*keys),
        "ListMemories": svc.ListMemoriesRequest(kind=messages.SEMANTIC, page_size=1000),
        "CountMemories": svc.CountMemoriesRequest(kind=messages.SEMANTIC),
    }
    for name, request in requests.items():
        answer = call(channel, METHODS[name], request)
        check_honest(answer, name)
        outcomes.append(f"{name} {answer.code.name}")
        if answer.code is not grpc.StatusCode.OK:
            assert answer.reason in ("DATA_DAMAGED", "BACKEND_PROTOCOL"), answer
        elif name == "GetMemories":
            got = svc.GetMemoriesResponse.FromString(answer.raw)
            found = {result.memory.ref.key for result in got.results if result.HasField("memory")}
            assert found == set(keys), f"lost in silence: {len(keys) - len(found)}"
        elif name == "ListMemories":
            page = svc.ListMemoriesResponse.FromString(answer.raw)
            assert {memory.ref.key for memory in page.memories} == set(keys), "lost in silence"
        else:
            counted = svc.CountMemoriesResponse.FromString(answer.raw)
            assert counted.count == len(keys), "miscounted in silence"
    return outcomes
