"""Ingests whose stream is cut: killed gateways, stopped ones, broken connections, killed clients."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.faults.figures import say
from tests.faults.forwarder import Forwarder
from tests.faults.process import Gateway, until

from memplane import Client, IngestAck, IngestResult, Put, Ref

MEMORIES = 3_000
SPACE = ("ingest",)


def puts(count: int = MEMORIES) -> Iterator[Put]:
    """Memories without keys: what is written twice would be there twice."""
    return (
        Put(Ref("episodic", SPACE), text=f"turn {i}", attributes={"n": i}) for i in range(count)
    )


def check_whole(address: str, count: int = MEMORIES) -> None:
    """No gap and no duplicate, and as many as are counted."""
    with Client(address) as client:
        scope = client.scope(*SPACE)
        found = sorted(int(memory.attributes["n"]) for memory in scope.scan("episodic"))
        assert found == list(range(count))
        assert scope.count("episodic") == count


def interrupt(address: str, cut: Callable[[], None], times: int) -> IngestResult:
    """An ingest that is cut so many times."""
    acks: list[IngestAck] = []

    def ingest() -> IngestResult:
        with Client(address) as client:
            return client.ingest(puts(), batch_items=50, on_ack=acks.append)

    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(ingest)
        for batches in range(15, 15 * (times + 1), 15):
            until(lambda n=batches: len(acks) >= n or running.done(), 30, "more batches")  # type: ignore[misc]
            cut()
        result = running.result(60)
    assert result.answered == result.created == MEMORIES
    assert [ack.sequence for ack in acks] == list(range(1, MEMORIES // 50 + 1))
    return result


def test_a_gateway_is_killed_in_the_middle_of_an_ingest(gateway: Gateway) -> None:
    gateway.start()

    def cut() -> None:
        gateway.kill()
        gateway.start()

    result = interrupt(gateway.address, cut, times=2)
    check_whole(gateway.address)
    say(f"{MEMORIES} memories over two kills; {result.replayed} had been written without an answer")


def test_a_gateway_stops_in_the_middle_of_an_ingest(gateway: Gateway) -> None:
    """A stream has no end by itself: it must not hold the gateway up, nor lose a batch."""
    gateway.start()

    def cut() -> None:
        gateway.signal(signal.SIGTERM)
        assert gateway.ended() == 0
        gateway.start()

    interrupt(gateway.address, cut, times=1)
    assert "bug in" not in gateway.log
    check_whole(gateway.address)


def test_an_idle_stream_does_not_hold_a_gateway_up(gateway: Gateway) -> None:
    with Client(gateway.start().address) as client:
        streaming, go_on = threading.Event(), threading.Event()

        def source() -> Iterator[Put]:
            for index, put in enumerate(puts(110)):
                if index == 100:
                    streaming.set()
                    assert go_on.wait(30)
                yield put

        with ThreadPoolExecutor(1) as thread:
            running = thread.submit(client.ingest, source(), batch_items=10)
            assert streaming.wait(30)
            gateway.signal(signal.SIGTERM)
            assert gateway.ended() == 0
            gateway.start()
            go_on.set()
            assert running.result(30).answered == 110
    check_whole(gateway.address, 110)


def test_a_connection_breaks_in_the_middle_of_an_ingest(gateway: Gateway) -> None:
    gateway.listen = "127.0.0.1:0"
    gateway.start()
    forwarder = Forwarder(f"http://{gateway.address}", end=lambda: None).start()

    def cut() -> None:
        forwarder.stop()
        forwarder.start()

    try:
        interrupt(forwarder.url.removeprefix("http://"), cut, times=3)
    finally:
        forwarder.stop()
    assert "bug in" not in gateway.log
    check_whole(gateway.address)


def test_another_process_goes_on_with_an_ingest(gateway: Gateway) -> None:
    """What a killed client has brought home is found to be there."""
    with Client(gateway.start().address) as client:

        def ends() -> Iterator[Put]:
            yield from puts(1_000)
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            client.ingest(ends(), ingest_id="mine", batch_items=50)
    with Client(gateway.address) as another:
        result = another.ingest(puts(), ingest_id="mine", batch_items=50)
    assert result.created == MEMORIES
    assert 800 <= result.replayed <= 1_000
    check_whole(gateway.address)


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_a_gateway_ends_before_its_first_answer(gateway: Gateway, end: signal.Signals) -> None:
    """A stream that waits for its first answer must hear of that, and find the next gateway."""
    gateway.start()
    gateway.signal(signal.SIGSTOP)
    with Client(gateway.address) as client, ThreadPoolExecutor(2) as threads:
        ingest = threads.submit(client.ingest, puts(20), batch_items=10)
        scan = threads.submit(lambda: list(client.scope(*SPACE, "other").scan("episodic")))
        with pytest.raises(TimeoutError):
            ingest.result(0.3)
        gateway.signal(end)
        gateway.signal(signal.SIGCONT)
        gateway.ended()
        gateway.start()
        assert ingest.result(30).answered == 20
        assert scan.result(30) == []
    check_whole(gateway.address, 20)


def test_a_reader_that_takes_nothing_does_not_hold_a_gateway_up(gateway: Gateway) -> None:
    """Nor for ever what it was to be sent."""
    payload = "x" * 20_000
    with Client(gateway.start().address) as client:
        client.ingest(Put(Ref("episodic", SPACE), text=f"{i}", value=payload) for i in range(600))
        scan = iter(client.scope(*SPACE).scan("episodic"))
        seen = [next(scan).key]
        began = time.monotonic()
        gateway.signal(signal.SIGTERM)
        assert gateway.ended() == 0
        say(f"stopped within {time.monotonic() - began:.2f} s beside a stalled reader")
        gateway.start()
        seen += [memory.key for memory in scan]
    assert len(seen) == len(set(seen)) == 600
    assert "bug in" not in gateway.log
    assert "Traceback" not in gateway.log


def test_a_reader_that_stalls_for_long_is_cut_off_and_reads_on(tmp_path: Path) -> None:
    payload = "x" * 20_000
    environ = {"MEMPLANE_DEFAULT_DEADLINE_SECONDS": "0.5"}
    with Gateway(tmp_path, environ=environ) as gateway, Client(gateway.address) as client:
        client.ingest(Put(Ref("episodic", SPACE), text=f"{i}", value=payload) for i in range(600))
        scan = iter(client.scope(*SPACE).scan("episodic"))
        seen = [next(scan).key]
        until(lambda: "DEADLINE_PASSED" in gateway.log, 20, "the stalled reader to be cut off")
        seen += [memory.key for memory in scan]
        assert len(seen) == len(set(seen)) == 600
        assert "Traceback" not in gateway.log
