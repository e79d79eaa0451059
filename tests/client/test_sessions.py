"""Sessions: the events of a conversation in their order, against a real gateway."""

from __future__ import annotations

import asyncio
import itertools
import random
import threading
import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

import memplane
from memplane import (
    AsyncClient,
    Client,
    Episode,
    EpisodeType,
    Memory,
    Mode,
    Outcome,
    Put,
    Scope,
    _sessions,
    attr,
)
from memplane.v1 import memory_service_pb2 as service

from .conftest import FakeGateway
from .resending import AsyncResending, Resending

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
def ada(served: str) -> Iterator[Scope]:
    with Client(served) as client:
        yield client.scope("sessions", uuid.uuid4().hex)


def texts(events: Sequence[Memory]) -> list[str]:
    return [event.text for event in events]


def happened(memory: Memory | None) -> datetime:
    assert memory is not None
    assert memory.episode is not None
    assert memory.episode.event_time is not None
    return memory.episode.event_time


def test_append_and_history(ada: Scope) -> None:
    talk = ada.session("s-17", agent_id="support")
    assert talk.history() == ()
    written = talk.append("I want a refund", actor="user", attributes={"topic": "money"})
    assert written.outcome is Outcome.CREATED
    assert uuid.UUID(written.key).version == 7
    talk.append("", type="action", input={"order": 7}, output=[True], value={"ms": 12})
    talk.append("Done", actor="bot", importance=0.5)
    asked, called, answered = talk.history()
    assert texts([asked, called, answered]) == ["I want a refund", "", "Done"]
    assert asked.episode == Episode(
        EpisodeType.CONVERSATION,
        happened(asked),
        session_id="s-17",
        agent_id="support",
        actor="user",
    )
    assert called.episode is not None
    assert (called.episode.type, called.episode.input) == (EpisodeType.ACTION, {"order": 7})
    assert (called.episode.output, called.value, answered.importance) == ([True], {"ms": 12}, 0.5)
    assert asked.attributes == {"topic": "money"}
    assert repr(talk) == f"<Session 's-17' in {list(ada.namespace)!r}>"
    assert talk.session_id == "s-17"


def test_the_newest_come_oldest_first(ada: Scope) -> None:
    talk = ada.session("long")
    for number in range(25):
        talk.append(str(number), attributes={"even": number % 2 == 0})
    assert texts(talk.history()) == [str(number) for number in range(5, 25)]
    assert texts(talk.history(last=3)) == ["22", "23", "24"]
    assert texts(talk.history(25)) == texts(talk.history(99)) == [str(n) for n in range(25)]
    assert talk.history(last=0) == ()
    assert texts(talk.history(2, filter=attr("even") == True)) == ["22", "24"]  # noqa: E712 (a filter)
    assert texts(talk.history(2, filter={"even": False})) == ["21", "23"]
    assert texts(talk.history(2, filter={})) == ["23", "24"]
    for wrong in (-1, True, 1.5):
        with pytest.raises(memplane.InvalidArgument, match="last"):
            talk.history(wrong)  # type: ignore[arg-type]


def test_events_of_one_time_have_an_order_too(ada: Scope) -> None:
    """The newest of them are the last by key, wherever the history is cut."""
    talk = ada.session("ties")
    keys = [f"{number:03}" for number in range(40)]
    for key in random.Random(7).sample(keys, len(keys)):
        # 8 at each of 5 instants.
        moment = NOON + timedelta(microseconds=int(key) // 8)
        talk.append(key, key=key, event_time=moment)
    assert texts(list(talk)) == keys
    for last in range(1, 42):
        assert texts(talk.history(last)) == keys[-last:], last
    # In one instant, the order is that of the appends.
    for number in range(6):
        ada.session("instant").append(str(number), event_time=NOON)
    assert texts(ada.session("instant").history(3)) == ["3", "4", "5"]


def test_the_clock_of_a_process_never_stands_still(
    ada: Scope, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = _sessions.next_event_time()
    micros = (now - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    # A clock that stands, and then is set back by an hour.
    shown = itertools.chain([micros * 1000] * 3, itertools.repeat((micros - 3_600_000_000) * 1000))
    monkeypatch.setattr(_sessions, "time", SimpleNamespace(time_ns=lambda: next(shown)))
    events = [ada.get(ada.session("s").append(str(n)).ref) for n in range(6)]
    assert [happened(event) for event in events] == [
        now + timedelta(microseconds=n + 1) for n in range(6)
    ]
    assert texts(ada.session("s").history()) == [str(n) for n in range(6)]


def test_appends_of_several_threads_keep_the_order_of_each(ada: Scope) -> None:
    talk = ada.session("busy")

    def speak(name: int) -> None:
        for number in range(20):
            talk.append(f"{number}", actor=str(name))

    threads = [threading.Thread(target=speak, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    events = talk.history(last=200)
    assert len(events) == talk.count() == 160
    for name in range(8):
        own = [event for event in events if event.episode and event.episode.actor == str(name)]
        assert texts(own) == [str(number) for number in range(20)]
    assert len({happened(event) for event in events}) == 160


def test_sessions_stay_apart(ada: Scope) -> None:
    for scope in (ada, ada.scope("below"), ada.scope("beside")):
        scope.session("s").append("in " + scope.namespace[-1])
    ada.session("s-2").append("another")
    ada.record("outside of any")
    own = ["in " + ada.namespace[-1]]
    talk = ada.session("s")
    assert texts(talk.history()) == texts(list(talk)) == own
    assert (talk.count(), ada.count("episodic")) == (1, 5)
    assert texts(talk.search(mode=Mode.RECENT).memories) == own
    assert talk.delete() == 1
    assert talk.delete() == 0
    assert (talk.history(), talk.count(), ada.count("episodic")) == ((), 0, 4)


def test_search_and_count(ada: Scope) -> None:
    talk = ada.session("s")
    talk.append("Earl Grey is her favourite tea", attributes={"n": 1})
    talk.append("She asked for the weather", attributes={"n": 2})
    ada.session("other").append("Earl Grey is out of stock", attributes={"n": 1})
    hits = talk.search("earl grey", mode="keyword")
    assert texts(hits.memories) == ["Earl Grey is her favourite tea"]
    assert not talk.search("earl grey", mode="keyword", filter=attr("n") == 2)
    assert (talk.count(filter={"n": 1}), talk.count(filter=attr("n") > 0)) == (1, 2)
    unfit: Any = [attr("n"), "n == 1", {"n": {"$near": 1}}]
    for wrong in unfit:
        with pytest.raises(memplane.InvalidArgument, match="filter"):
            talk.count(filter=wrong)


def test_a_long_session(ada: Scope) -> None:
    ref = ada.ref("episodic")
    ada.put_many(
        Put(
            ref,
            text=str(number),
            episode=Episode(event_time=NOON + timedelta(seconds=number), session_id="long"),
        )
        for number in random.Random(7).sample(range(2500), 2500)
    )
    talk = ada.session("long")
    assert texts(list(talk)) == [str(number) for number in range(2500)]
    assert texts(talk.history(2000)) == [str(number) for number in range(500, 2500)]
    ada.session("short").append("stays")
    assert talk.delete() == 2500
    assert ada.count("episodic") == 1


async def test_async_sessions(served: str) -> None:
    async with AsyncClient(served) as client:
        talk = client.scope("sessions", uuid.uuid4().hex).session("s")
        # They begin in this order, and run side by side.
        await asyncio.gather(*(talk.append(str(number)) for number in range(30)))
        assert texts(await talk.history(last=4)) == ["26", "27", "28", "29"]
        assert [event.text async for event in talk] == [str(number) for number in range(30)]
        assert await talk.count() == 30
        assert len(await talk.search(mode="recent", limit=7)) == 7
        assert await talk.delete() == 30


def test_an_answer_that_gets_lost_makes_no_second_event(served: str) -> None:
    transport = Resending(served)
    with Client(transport=transport) as client:
        talk = client.scope("sessions", uuid.uuid4().hex).session("s")
        for text in "abc":
            assert talk.append(text).ok
        assert texts(talk.history()) == ["a", "b", "c"]
        transport.methods.clear()
        assert texts(talk.history(2)) == ["b", "c"]
        assert transport.methods == ["ListMemories"]
    transport.close()


async def test_an_answer_that_gets_lost_makes_no_second_event_async(served: str) -> None:
    transport = AsyncResending(served)
    async with AsyncClient(transport=transport) as client:
        talk = client.scope("sessions", uuid.uuid4().hex).session("s")
        assert (await talk.append("once")).ok
        assert await talk.count() == 1
    await transport.close()


def test_a_retry_of_the_callers_own_says_the_same(ada: Scope, gateway: FakeGateway) -> None:
    talk = ada.session("s")
    assert talk.append("turn", key="turn-1").outcome is Outcome.CREATED
    first = happened(ada.get("episodic", "turn-1"))
    assert talk.append("turn", key="turn-1").outcome is Outcome.UNCHANGED
    assert happened(ada.get("episodic", "turn-1")) == first
    with Client(gateway.target) as client:
        for _ in range(2):
            client.session("s").append("turn", request_id="mine")
    assert gateway.requests[0] == gateway.requests[1]


def test_what_is_asked_for(gateway: FakeGateway) -> None:
    with Client(gateway.target) as client:
        client.scope("a", "b").session("s").history(last=20)
    (request,) = gateway.requests
    assert list(request.namespace) == ["a", "b"]
    assert (request.exact_namespace, request.descending, request.page_size) == (True, True, 21)
    assert request.order == service.LIST_ORDER_EVENT_TIME
    assert list(request.filter.condition.path) == ["@session_id"]
    with Client(gateway.target) as client:
        for empty in ("", None):
            session: Any = empty
            with pytest.raises(memplane.InvalidArgument, match="session_id"):
                client.session(session)
        with pytest.raises(memplane.InvalidArgument, match="type"):
            client.session("s").append("x", type="chat")
