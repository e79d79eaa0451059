"""An embedder as routes have it, with batches and a cache around it, before a real HTTP server."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from tests.gateway.endpoint import Endpoint, Reply, assert_right

from memplane_gateway.deadline import within
from memplane_gateway.embedders import EmbedderError, Role, batching
from memplane_gateway.errors import Code, MemplaneError, Reason
from memplane_gateway.memory.embedding import TextVectors


def patience(endpoint: Endpoint, header: str, times: int, status: int = 429) -> None:
    left = [times]

    def respond(request: dict[str, Any]) -> Reply:
        left[0] -= 1
        return (
            Reply(status, headers={"Retry-After": header})
            if left[0] >= 0
            else endpoint.vectors(request)
        )

    endpoint.respond = respond


@pytest.mark.parametrize(("header", "status"), [("0.01", 429), ("0", 503), ("a date", 503)])
async def test_retry_after_is_waited_for(endpoint: Endpoint, header: str, status: int) -> None:
    if header == "a date":
        header = format_datetime(datetime.now(UTC) - timedelta(seconds=1), usegmt=True)
    patience(endpoint, header, 2, status)
    embedder = endpoint.serving()
    with within(20.0):
        assert_right(["tea", "a"], await embedder.embed(["tea", "a"]))
    assert len(endpoint.requests) == 3
    await embedder.close()


@pytest.mark.parametrize(("header", "seconds"), [("7", 7.0), ("3600", 60.0)])
async def test_who_has_less_time_than_is_asked_for_hears_so_at_once(
    endpoint: Endpoint, header: str, seconds: float
) -> None:
    patience(endpoint, header, 1)
    embedder = endpoint.serving()
    vectors = TextVectors("semantic", embedder)
    for _ in range(2):  # the second does not even ask
        with within(5.0), pytest.raises(MemplaneError) as caught:
            await vectors.of({"tea"})
        assert caught.value.code is Code.RESOURCE_EXHAUSTED
        assert caught.value.reason is Reason.EMBEDDER_UNAVAILABLE
        assert caught.value.retry_after == pytest.approx(seconds, abs=2.0)
    assert len(endpoint.requests) == 1
    await embedder.close()


async def test_an_endpoint_that_asks_again_and_again_is_let_be(endpoint: Endpoint) -> None:
    patience(endpoint, "0", 1_000)
    embedder = endpoint.serving()
    with within(60.0), pytest.raises(EmbedderError) as caught:
        await embedder.embed(["tea"])
    assert (caught.value.reason, len(endpoint.requests)) == ("exhausted", batching.ATTEMPTS)
    await embedder.close()


async def test_without_retry_after_nothing_is_sent_twice(endpoint: Endpoint) -> None:
    endpoint.respond = lambda request: Reply(503)
    embedder = endpoint.serving()
    with pytest.raises(MemplaneError) as caught:
        await TextVectors("semantic", embedder).of({"tea"})
    assert (caught.value.code, len(endpoint.requests)) == (Code.UNAVAILABLE, 1)
    await embedder.close()


async def test_callers_share_requests_and_answers(endpoint: Endpoint) -> None:
    arrived, go = threading.Event(), threading.Event()

    def respond(request: dict[str, Any]) -> Reply:
        arrived.set()
        go.wait(30)
        return endpoint.vectors(request)

    endpoint.respond = respond
    embedder = endpoint.serving()
    texts = [f"text {number % 8}" for number in range(16)]
    calls = [asyncio.create_task(embedder.embed([text])) for text in texts]
    await asyncio.to_thread(arrived.wait, 30)
    calls[3].cancel()
    go.set()
    for text, call in zip(texts, calls, strict=True):
        if call is not calls[3]:
            assert_right([text], await call)
    assert [len(request["input"]) for request in endpoint.requests] == [1, 7]
    # And from now on nobody needs to be asked.
    assert_right(texts, await embedder.embed(texts))
    assert_right(["text 1"], await embedder.embed(["text 1"], Role.QUERY))
    assert len(endpoint.requests) == 2
    await embedder.close()


async def test_openai_refuses_one_text_and_takes_the_others(endpoint: Endpoint) -> None:
    def respond(request: dict[str, Any]) -> Reply:
        return Reply(400) if "too long" in request["input"] else endpoint.vectors(request)

    endpoint.respond = respond
    embedder = endpoint.serving()
    told = await asyncio.gather(
        *(embedder.embed([text]) for text in ("a", "b", "too long", "c")), return_exceptions=True
    )
    assert isinstance(told[2], EmbedderError)
    for text, vectors in zip(("a", "b", "c"), (told[0], told[1], told[3]), strict=True):
        assert isinstance(vectors, list)
        assert_right([text], vectors)
    await embedder.close()


async def test_a_search_has_a_connection_beside_the_largest_load(endpoint: Endpoint) -> None:
    def respond(request: dict[str, Any]) -> Reply:
        if request["input"][0].startswith("load"):
            endpoint.released.wait(30)
        return endpoint.vectors(request)

    endpoint.respond = respond
    embedder = endpoint.serving(max_parallel=32, max_batch=1, timeout_seconds=30)
    load = asyncio.create_task(embedder.embed([f"load {number}" for number in range(32)]))
    async with asyncio.timeout(20):
        while len(endpoint.requests) < 32:  # noqa: ASYNC110 (the endpoint does not tell)
            await asyncio.sleep(0.005)
        assert_right(["what?"], await embedder.embed(["what?"], Role.QUERY))
    assert not load.done()
    endpoint.released.set()
    await load
    await embedder.close()


async def test_openai_batches_by_bytes(endpoint: Endpoint) -> None:
    embedder = endpoint.serving(max_batch_bytes=10, max_parallel=1)
    texts = ["猫猫", "猫", "c", "a text of more than that", "d"]
    assert_right(texts, await embedder.embed(texts))
    sizes = [sum(len(text.encode()) for text in each["input"]) for each in endpoint.requests]
    assert sizes == [10, 24, 1]
    await embedder.close()


@pytest.mark.parametrize("sends", [True, False])
async def test_openai_is_asked_for_a_dimension_where_that_is_wanted(
    endpoint: Endpoint, sends: bool
) -> None:
    embedder = endpoint.embedder(send_dimensions=sends)
    await embedder.embed(["tea"])
    assert endpoint.requests[0].get("dimensions") == (3 if sends else None)
    await embedder.close()


@pytest.mark.parametrize(
    ("reply", "hears", "says"),
    [
        (None, (Code.FAILED_PRECONDITION, Reason.IDENTITY_MISMATCH), "of 3 numbers.* says 4"),
        (Reply(body={"data": []}), (Code.UNAVAILABLE, Reason.BACKEND_PROTOCOL), "cannot be right"),
        (Reply(429), (Code.RESOURCE_EXHAUSTED, Reason.EMBEDDER_UNAVAILABLE), "too often"),
        (Reply(413), (Code.INVALID_ARGUMENT, Reason.INVALID_REQUEST), "shorten"),
    ],
)
async def test_what_callers_hear(
    endpoint: Endpoint, reply: Reply | None, hears: tuple[Code, Reason], says: str
) -> None:
    if reply is not None:
        endpoint.respond = lambda request: reply
    embedder = endpoint.serving(dimension=4 if reply is None else 3)
    with pytest.raises(MemplaneError, match=says) as caught:
        await TextVectors("semantic", embedder).of({"tea"})
    assert (caught.value.code, caught.value.reason) == hears
    await embedder.close()
