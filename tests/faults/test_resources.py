"""A disk that is full, a budget that is spent: said as RESOURCE_EXHAUSTED, and mended by room."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
from google.protobuf.message import Message
from tests.faults import messages
from tests.faults.calls import METHODS, Answer, call, check_honest
from tests.faults.figures import say
from tests.faults.process import Gateway, until

from memplane.v1 import memory_pb2, search_pb2
from memplane.v1 import memory_service_pb2 as svc

pytestmark = pytest.mark.usefixtures("real_starts")

EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.fixture
def small_disk(place: Path) -> Iterator[Path]:
    """A directory on a file system of 4 MB."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only root on Linux can mount a small file system")
    disk = place / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"cannot mount a tmpfs: {mounted.stderr.strip()}")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def _outcome(answer: Answer, key: str) -> bool:
    """Whether a put was acknowledged; if not, it was for want of room."""
    check_honest(answer, key)
    if answer.code is not grpc.StatusCode.OK:
        assert (answer.code, answer.reason) == (EXHAUSTED, "BACKEND_EXHAUSTED"), answer
        return False
    (result,) = svc.PutMemoriesResponse.FromString(answer.raw).results
    if result.HasField("error"):
        assert result.error.code == EXHAUSTED.value[0], result.error
        return False
    return True


@pytest.mark.parametrize("kind", [messages.SEMANTIC, messages.PROCEDURAL])
def test_full_disk(small_disk: Path, gateway: Gateway, kind: memory_pb2.Kind.ValueType) -> None:
    gateway.data = small_disk / "data"
    filler = small_disk / "filler"
    filler.write_bytes(bytes(1_500_000))
    put = METHODS["PutMemories"]
    acked: set[str] = set()
    refused = 0
    with gateway.start().channel() as channel:
        stub = messages.Stub(channel)
        number = 0
        while refused < 20:
            number += 1
            # When large ones no longer fit, small ones fill what is left.
            payload = os.urandom(100_000 if refused < 10 else 100)
            answer = call(channel, put, messages.put(f"key-{number}", kind=kind, payload=payload))
            if _outcome(answer, f"key-{number}"):
                acked.add(f"key-{number}")
            else:
                refused += 1
            assert gateway.running, "it died of a full disk"
        assert messages.keys_there(stub, kind) == acked, "reads go on, nothing is lost or left over"

        filler.unlink()
        answer = call(channel, put, messages.put("after", kind=kind, payload=bytes(100_000)))
        assert _outcome(answer, "after"), "there is room again"
        acked.add("after")
    gateway.kill()
    with gateway.start().channel() as channel:
        assert messages.keys_there(messages.Stub(channel), kind) == acked
    assert "bug in" not in gateway.log
    say(f"{len(acked)} acknowledged, {refused} refused, none lost")


def test_start_on_a_full_disk(small_disk: Path, gateway: Gateway) -> None:
    """What is there can be read although nothing can be written, or the start says why not."""
    gateway.data = small_disk / "data"
    with gateway, gateway.channel() as channel:
        messages.Stub(channel).PutMemories(messages.put("kept"), timeout=20)
    filler = small_disk / "filler"
    with filler.open("wb", buffering=0) as opened:
        for size in (65_536, 4096, 512):
            try:
                while True:
                    opened.write(b"x" * size)
            except OSError:
                continue
    gateway.launch()
    try:
        gateway.wait()
    except Exception as error:  # noqa: BLE001 (looked at)
        said = str(error)
        assert "Traceback" not in said, said
        assert "memplane: " in said, said
        say(f"refused: {said.strip().splitlines()[-1]}")
    else:
        with gateway.channel() as channel:
            assert messages.keys_there(messages.Stub(channel)) == {"kept"}
        say("it serves what is there")
    gateway.kill()
    filler.unlink()
    with gateway.start().channel() as channel:
        assert messages.keys_there(messages.Stub(channel)) == {"kept"}
        messages.Stub(channel).PutMemories(messages.put("more"), timeout=20)


def _sixteen_searches() -> svc.SearchMemoriesRequest:
    request = svc.SearchMemoriesRequest()
    for number in range(16):
        mode = (search_pb2.SEARCH_MODE_VECTOR, search_pb2.SEARCH_MODE_KEYWORD)[number % 2]
        request.queries.add(kind=messages.SEMANTIC, text="everywhere", mode=mode, page_size=1000)
    return request


GREEDY: dict[str, Callable[[], Message]] = {
    "GetMemories": lambda: messages.get(*["big-0"] * 1000),
    "SearchMemories": _sixteen_searches,
    "ListMemories": lambda: svc.ListMemoriesRequest(kind=messages.SEMANTIC, page_size=1000),
}


@pytest.mark.parametrize("name", GREEDY)
def test_a_small_question_does_not_get_a_gigantic_answer(gateway: Gateway, name: str) -> None:
    """40 memories of 250 KB: the answers would have 250 MB, 160 MB and 10 MB."""
    with gateway.start().channel(max_receive_message_length=-1) as channel:
        for start in range(0, 40, 10):
            keys = (f"big-{number}" for number in range(start, start + 10))
            put = messages.put(*keys, payload=bytes(250_000))
            assert call(channel, METHODS["PutMemories"], put).code is grpc.StatusCode.OK
        before = gateway.peak_bytes()
        answer = call(channel, METHODS[name], GREEDY[name](), timeout=60)
        grown = gateway.peak_bytes() - before
        say(
            f"{name}: {answer.code.name} {answer.reason}, {len(answer.raw) / 1e6:.1f} MB, "
            f"peak memory +{grown / 1e6:.0f} MB"
        )
        check_honest(answer)
        assert len(answer.raw) <= 64 * 1024 * 1024, "more than our own client takes"
        assert grown < 300e6
        if name == "SearchMemories":
            for result in svc.SearchMemoriesResponse.FromString(answer.raw).results:
                assert len(result.hits) == 40 or result.truncated, "cut without a word"


def test_threads_and_files_return_to_the_baseline(gateway: Gateway) -> None:
    """A thousand calls over twenty connections, good ones and bad ones."""
    gateway.start()
    vector = search_pb2.SearchQuery(
        kind=messages.SEMANTIC, text="everywhere", mode=search_pb2.SEARCH_MODE_VECTOR
    )
    keyword = search_pb2.SearchQuery(
        kind=messages.SEMANTIC, text="everywhere", mode=search_pb2.SEARCH_MODE_KEYWORD
    )

    def fifty(number: int) -> None:
        with gateway.channel() as channel:
            for step in range(10):
                key = f"key-{number}-{step}"
                call(channel, METHODS["PutMemories"], messages.put(key))
                call(channel, METHODS["GetMemories"], messages.get(key))
                call(channel, METHODS["GetMemories"], b"\xff\xff")
                request = svc.SearchMemoriesRequest(queries=[vector, keyword])
                call(channel, METHODS["SearchMemories"], request)
                call(channel, METHODS["ListMemories"], b"")

    def settled() -> bool:
        # A connection that was closed takes a moment to go.
        sockets = [
            link
            for link in Path(f"/proc/{gateway.pid}/fd").iterdir()
            if link.exists() or link.is_symlink()
        ]
        return len(sockets) <= files

    for number in range(4):  # pools fill up to what they are allowed
        fifty(number)
    threads, files = gateway.threads(), gateway.descriptors()
    resident = gateway.resident_bytes()
    for number in range(4, 24):
        fifty(number)
    until(settled, 10, f"back to {files} files")
    say(
        f"threads {threads} -> {gateway.threads()}, files {files} -> {gateway.descriptors()}, "
        f"memory {resident / 1e6:.1f} -> {gateway.resident_bytes() / 1e6:.1f} MB"
    )
    assert gateway.threads() <= threads + 2, "grpc's own pool breathes by a thread or two"
    assert gateway.stop() == 0
