"""Each field of each request, set to what it must not be: refused in words, or done; never a bug."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from tests.faults import messages, samples
from tests.faults.calls import METHODS, Answer, call, call_all, check_honest
from tests.faults.figures import say
from tests.faults.hostile import bad_strings, variants
from tests.faults.process import Gateway
from tests.thorough import THOROUGH

from memplane.v1 import memory_service_pb2 as svc

INVALID = grpc.StatusCode.INVALID_ARGUMENT
_WRITES: dict[str, Any] = {
    "PutMemories": svc.PutMemoriesResponse,
    "UpdateMemories": svc.UpdateMemoriesResponse,
    "DeleteMemories": svc.DeleteMemoriesResponse,
}


def check_items(name: str, answer: Answer, request: object) -> None:
    """Items fail as honestly as calls do."""
    if name not in _WRITES or answer.code is not grpc.StatusCode.OK:
        return
    for result in _WRITES[name].FromString(answer.raw).results:
        if result.HasField("error"):
            assert result.error.code not in (0, 2, 13), f"{result.error} for {str(request)[:600]}"
            assert result.error.message


def _some(all_: Iterator[Message], step: int) -> list[Message]:
    """Every so many, from anywhere on; all of them when there is time."""
    return list(all_)[0 if THOROUGH else random.randrange(step) :: 1 if THOROUGH else step]


@pytest.mark.parametrize("name", METHODS)
def test_every_field_with_every_suspicious_value(shared: Gateway, name: str) -> None:
    # The first sample has all fields; of what is made from the others, some will do.
    first, *others = samples.requests()[name]
    requests = _some(variants(first), 2)
    for good in others:
        requests += _some(variants(good), 9)
    with shared.channel() as channel:
        for good in samples.requests()[name]:
            assert call(channel, METHODS[name], good).code is grpc.StatusCode.OK, "a good sample"
        answers = call_all(channel, METHODS[name], requests)
        for request, answer in zip(requests, answers, strict=True):
            check_honest(answer, request)
            check_items(name, answer, request)
    assert shared.running
    assert "bug in" not in shared.log
    say(f"{name}: {dict(Counter(answer.code.name for answer in answers))}")


@pytest.mark.parametrize("name", METHODS)
def test_text_that_is_not_utf8_in_every_string(shared: Gateway, name: str) -> None:
    requests = [raw for good in samples.requests()[name] for raw in bad_strings(good)]
    with shared.channel() as channel:
        for raw, answer in zip(requests, call_all(channel, METHODS[name], requests), strict=True):
            check_honest(answer, raw)
            assert (answer.code, answer.reason) == (INVALID, "MALFORMED_MESSAGE"), raw


def test_what_was_let_in_can_be_read_by_all_ways(shared: Gateway) -> None:
    """After all that: what is stored is whole."""
    with shared.channel() as channel:
        stub = messages.Stub(channel)
        for kind in (messages.SEMANTIC, messages.EPISODIC, messages.PROCEDURAL):
            request = svc.ListMemoriesRequest(kind=kind, page_size=100)
            number = 0
            while True:
                page = stub.ListMemories(request, timeout=20)
                refs = [memory.ref for memory in page.memories]
                got = stub.GetMemories(svc.GetMemoriesRequest(refs=refs), timeout=20)
                assert [result.memory for result in got.results] == list(page.memories)
                number += len(refs)
                if not page.next_page_token:
                    break
                request.page_token = page.next_page_token
            count = stub.CountMemories(svc.CountMemoriesRequest(kind=kind), timeout=20).count
            assert count == number
            say(f"{svc.CountMemoriesRequest(kind=kind)}: {count}")
