"""Texts that an embedder does not take: each is its own memory's failure, and its place is told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.gateway.endpoint import OPENAI, Endpoint, Reply

from memplane import (
    AsyncClient,
    InvalidArgument,
    Kind,
    MemplaneError,
    Outcome,
    Put,
    Ref,
    Unavailable,
    Update,
    WriteResult,
)
from memplane_adapters.conformance.memories.doors import IN_PROCESS
from memplane_adapters.conformance.memories.fixtures import opened
from memplane_gateway.config import load

BAD = "too long"


class Choosy:
    """Answers for an endpoint that takes no text that begins with BAD."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self.down = ""
        """The model that is out of order."""

    def respond(self, request: dict[str, Any]) -> Reply:
        if request["model"] == self.down:
            return Reply(503)
        if any(text.startswith(BAD) for text in request["input"]):
            return Reply(400, {"error": {"message": "maximum context length is 3 tokens"}})
        return self._endpoint.vectors(request)


@pytest.fixture
def choosy(endpoint: Endpoint) -> Choosy:
    made = Choosy(endpoint)
    endpoint.respond = made.respond
    return made


@pytest.fixture
async def client(tmp_path: Path, endpoint: Endpoint, choosy: Choosy) -> AsyncIterator[AsyncClient]:
    url = f"{endpoint.address}/v1"
    settings = load(
        overrides={
            "data_dir": str(tmp_path),
            "listen": "127.0.0.1:0",
            "embedders": {
                name: OPENAI | {"base_url": url, "model": name} for name in ("one", "other")
            },
            "routes": {"semantic": {"embedder": "one"}, "episodic": {"embedder": "other"}},
        }
    )
    async with opened(IN_PROCESS, settings) as door:
        yield door.client


def put(key: str, text: str, kind: Kind = Kind.SEMANTIC, **indexed: str) -> Put:
    return Put(Ref(kind, (), key), text=text, indexed_texts=indexed)


def assert_refused(result: WriteResult, *places: str) -> None:
    error = result.error
    assert isinstance(error, InvalidArgument)
    for place in places:
        assert f"{place}: the embedder does not take this text" in str(error)
    assert error.metadata["violations"] == str(len(places))
    assert "context length" not in str(error), "the provider's word stays in the log"


async def test_one_of_a_thousand_is_refused_and_the_others_are_written(
    client: AsyncClient,
) -> None:
    puts = [put(f"k{number}", f"text {number}") for number in range(1_000)]
    puts[612] = put("k612", BAD)
    written = await client.put_many(puts)
    assert [result.outcome for result in written].count(Outcome.CREATED) == 999
    assert written.failed == (written[612],)
    assert_refused(written[612], "puts[612].memory.text")
    assert await client.get(Kind.SEMANTIC, "k612") is None
    assert await client.count(Kind.SEMANTIC) == 999


async def test_each_text_of_a_memory_is_named_by_its_place(client: AsyncClient) -> None:
    written = await client.put_many(
        [
            put("a", "short", one="also short", two=f"{BAD} 2"),
            put("b", f"{BAD} 1", one="short", two=f"{BAD} 2", three=f"{BAD} 1"),
            put("c", "short", one="also short"),
        ]
    )
    assert_refused(written[0], "puts[0].memory.indexed_texts[1].text")
    texts = "puts[1].memory.indexed_texts[{}].text"
    assert_refused(written[1], "puts[1].memory.text", texts.format(1), texts.format(2))
    assert written[2].outcome is Outcome.CREATED


async def test_an_update_is_refused_by_itself_and_leaves_what_was_there(
    client: AsyncClient,
) -> None:
    refs = [Ref(Kind.SEMANTIC, (), key) for key in "abc"]
    await client.put_many([Put(ref, text="short") for ref in refs])
    written = await client.update_many(
        [
            Update(refs[0], text="new"),
            Update(refs[1], text=BAD, attributes={"n": 1}),
            Update(refs[2], indexed_texts={"one": "short", "two": BAD}),
        ]
    )
    assert written[0].outcome is Outcome.UPDATED
    assert_refused(written[1], "updates[1].text")
    assert_refused(written[2], "updates[2].indexed_texts.texts[1].text")
    there = await client.get(Kind.SEMANTIC, "b")
    assert there is not None
    assert (there.text, dict(there.attributes)) == ("short", {})


async def test_an_ingest_gets_past_it(client: AsyncClient) -> None:
    puts = [put(f"k{number}", BAD if number == 7 else f"text {number}") for number in range(12)]
    result = await client.ingest(puts, batch_items=5)
    assert (result.answered, result.created, result.refused) == (12, 11, 1)
    [failure] = result.failures
    assert failure.index == 7
    assert_refused(failure.result, "puts[7].memory.text")


async def test_neighbours_of_either_kind_are_written(client: AsyncClient) -> None:
    written = await client.put_many(
        [
            put("a", "short"),
            put("b", BAD),
            put("c", "short", Kind.EPISODIC),
            put("d", BAD, Kind.EPISODIC),
        ]
    )
    assert written[0].outcome is written[2].outcome is Outcome.CREATED
    assert_refused(written[1], "puts[1].memory.text")
    assert_refused(written[3], "puts[3].memory.text")


async def test_what_is_not_the_items_own_keeps_its_code(
    client: AsyncClient, choosy: Choosy
) -> None:
    """The embedder of one route is down, and that of the other does not take a text."""
    choosy.down = "other"
    written = await client.put_many(
        [put("a", "short"), put("b", BAD), put("c", "short", Kind.EPISODIC)]
    )
    assert written[0].outcome is Outcome.CREATED
    assert_refused(written[1], "puts[1].memory.text")
    assert isinstance(written[2].error, Unavailable)
    choosy.down = "one"
    with pytest.raises(Unavailable):
        await client.put_many([put("a", "new"), put("b", BAD)])


async def test_a_question_is_refused_as_a_call(client: AsyncClient) -> None:
    with pytest.raises(MemplaneError) as caught:
        await client.search(BAD, kind=Kind.SEMANTIC)
    assert isinstance(caught.value, InvalidArgument)
    assert "shorten" in str(caught.value)
