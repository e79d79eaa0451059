"""What callers store and send stays out of logs, and out of errors but for their own field names."""

from __future__ import annotations

import json
from collections.abc import Iterator

import grpc
import pytest
from google.protobuf.message import Message
from tests.faults import messages, samples
from tests.faults.calls import METHODS, Answer, call, check_honest
from tests.faults.hostile import TOO_MANY, bad_strings
from tests.faults.process import Gateway, room

from memplane.v1 import (
    consolidate_pb2,
    filter_pb2,
    forget_pb2,
    namespace_pb2,
    purge_pb2,
    search_pb2,
    statistics_pb2,
    sweep_pb2,
    value_pb2,
)
from memplane.v1 import memory_service_pb2 as svc

pytestmark = pytest.mark.usefixtures("real_starts")

CANARY = "kanarie"
EVIL = "kanarie\n\x1b[31m\r\u202e\u2028\u0085\x7f end"


@pytest.fixture(scope="module", params=["json", "text"])
def talking(request: pytest.FixtureRequest) -> Iterator[Gateway]:
    """A gateway that logs all it can."""
    environ = {"MEMPLANE_LOG__LEVEL": "debug", "MEMPLANE_LOG__FORMAT": request.param}
    with room() as path, Gateway(path, environ=environ) as gateway:
        yield gateway


def _value(text: str) -> value_pb2.Value:
    value = value_pb2.Value()
    value.map_value.entries[f"{text}-name"].string_value = text
    value.map_value.entries["bytes"].bytes_value = text.encode()
    return value


def _good() -> dict[str, list[Message]]:
    puts = svc.PutMemoriesRequest(request_id=f"{CANARY}-request")
    for kind in (messages.SEMANTIC, messages.EPISODIC, messages.PROCEDURAL):
        memory = puts.puts.add().memory
        memory.ref.CopyFrom(messages.ref(f"{CANARY}-key", kind, [f"{CANARY}-label"]))
        memory.attributes[f"{CANARY}-attribute"].CopyFrom(_value(CANARY))
        memory.value.CopyFrom(_value(CANARY))
        if kind != messages.PROCEDURAL:
            memory.text = f"{CANARY} prefers tea"
        if kind == messages.EPISODIC:
            memory.episode.session_id = f"{CANARY}-session"
            memory.episode.actor = f"{CANARY}-actor"
            memory.episode.input.CopyFrom(_value(CANARY))
    update = svc.UpdateMemoriesRequest()
    change = update.updates.add(ref=puts.puts[0].memory.ref, text=f"{CANARY} prefers coffee")
    change.remove_attributes.append(f"{CANARY}-gone")
    change.precondition.if_match = f"{CANARY}-etag"
    search = svc.SearchMemoriesRequest()
    query = search.queries.add(kind=messages.SEMANTIC, text=CANARY)
    query.filter.CopyFrom(samples.condition(filter_pb2.OP_EQ, f"{CANARY}-attribute"))
    return {
        "PutMemories": [puts],
        "UpdateMemories": [update],
        "SearchMemories": [search],
        "GetMemories": [svc.GetMemoriesRequest(refs=[puts.puts[0].memory.ref])],
        "ListMemories": [svc.ListMemoriesRequest(kind=messages.SEMANTIC, namespace=[CANARY])],
        "DeleteMemories": [
            svc.DeleteMemoriesRequest(deletes=[svc.MemoryDelete(ref=puts.puts[1].memory.ref)])
        ],
    }


def _bad(text: str) -> dict[str, list[Message]]:
    """Requests with a secret in them that are refused for all the reasons that there are."""
    put = svc.PutMemoriesRequest()
    put.puts.add().memory.ref.CopyFrom(messages.ref(f"{text}\0", namespace=[f"{text}\0"]))
    put.puts[0].memory.text = f"{text}\0"
    put.puts[0].memory.attributes[f"{text}\0"].string_value = f"{text}\0"
    put.puts[0].memory.attributes[f"@{text}"].double_value = float("nan")
    put.puts[0].memory.attributes[text * 40].double_value = float("nan")
    put.puts[0].memory.attributes["n"].map_value.entries[text].double_value = float("nan")
    put.puts[0].memory.etag = text
    twice = messages.put(f"{text}-1", f"{text}-1", request_id=text * 50)
    conditional = messages.put(text)
    conditional.puts[0].precondition.if_match = text
    update = svc.UpdateMemoriesRequest()
    change = update.updates.add(ref=messages.ref("x"), remove_attributes=[text])
    change.attributes[text].string_value = text
    count = svc.CountMemoriesRequest(kind=messages.SEMANTIC, consistency_token=text)
    count.filter.condition.path.extend([f"@{text}", text])
    count.filter.condition.op = filter_pb2.OP_GT
    count.filter.condition.operand.string_value = text
    search = svc.SearchMemoriesRequest()
    search.queries.add(kind=messages.PROCEDURAL, text=text, mode=search_pb2.SEARCH_MODE_KEYWORD)
    search_bad = svc.SearchMemoriesRequest()
    search_bad.queries.add(kind=messages.SEMANTIC, text=f"{text}\0", namespace=[f"{text}\0"])
    listing = svc.ListMemoriesRequest(kind=messages.SEMANTIC, page_token=text)
    delete = svc.DeleteMemoriesRequest()
    delete.deletes.add(ref=messages.ref("missing")).precondition.if_match = text
    purge = purge_pb2.PurgeMemoriesRequest(kind=messages.SEMANTIC, request_id=text * 50)
    purge.namespace.append(f"{text}\0")
    purge_on = purge_pb2.PurgeMemoriesRequest(
        kind=messages.SEMANTIC, confirm_all=True, page_token=text
    )
    forget = forget_pb2.ForgetMemoriesRequest(
        kind=messages.SEMANTIC, importance_below=0.5, page_token=text
    )
    merge = consolidate_pb2.ConsolidateMemoriesRequest(
        kind=messages.SEMANTIC, namespace=[f"{text}\0"], request_id=text * 50, min_similarity=2
    )
    spaces = namespace_pb2.ListNamespacesRequest(kind=messages.SEMANTIC, page_token=text)
    figures = statistics_pb2.GetStatisticsRequest(consistency_token=text)
    get = svc.GetMemoriesRequest(refs=[messages.ref(text)] * TOO_MANY)
    return {
        "PutMemories": [put, twice, conditional],
        "UpdateMemories": [update],
        "CountMemories": [count],
        "SearchMemories": [search, search_bad],
        "ListMemories": [listing],
        "DeleteMemories": [delete],
        "GetMemories": [get],
        "PurgeMemories": [purge, purge_on],
        "ForgetMemories": [forget],
        "ConsolidateMemories": [merge],
        "ListNamespaces": [spaces],
        "GetStatistics": [figures],
        "SweepMemories": [sweep_pb2.SweepMemoriesRequest(page_token=text)],
    }


def _send(gateway: Gateway, requests: dict[str, list[Message]]) -> list[Answer]:
    metadata = [("authorization", f"Bearer {CANARY}-token"), ("x-api-key", f"{CANARY}-secret")]
    answers: list[Answer] = []
    with gateway.channel() as channel:
        for name, some in requests.items():
            for request in some:
                answer = call(channel, METHODS[name], request, metadata=metadata)
                check_honest(answer, name)
                answers.append(answer)
    return answers


def _check_log(gateway: Gateway) -> None:
    assert gateway.log.count("PutMemories") >= 1, "it logs at all"
    assert CANARY not in gateway.log
    for line in gateway.log.splitlines():
        assert line.isprintable(), repr(line)


def test_good_calls_leave_no_content_in_the_log(talking: Gateway) -> None:
    for answer in _send(talking, _good()):
        assert answer.code is grpc.StatusCode.OK, answer
    _check_log(talking)


@pytest.mark.parametrize("text", [CANARY, EVIL], ids=["plain", "evil"])
def test_refused_calls_leave_no_content_in_the_log(talking: Gateway, text: str) -> None:
    _send(talking, _bad(text))
    with talking.channel() as channel:
        for name, some in samples.requests().items():
            for raw in bad_strings(some[0]):
                call(channel, METHODS[name], raw.replace(b"tail", CANARY.encode()))
                break
    _check_log(talking)


@pytest.mark.parametrize("text", [CANARY, EVIL], ids=["plain", "evil"])
def test_errors_show_field_paths_only_and_nothing_that_steers_a_terminal(
    talking: Gateway, text: str
) -> None:
    named = 0
    for answer in _send(talking, _bad(text)):
        said = [answer.message, *answer.descriptions, *answer.metadata.values()]
        for sentence in (*said, *answer.fields):
            assert sentence.isprintable(), repr(sentence)
        for sentence in said:
            for field in answer.fields:
                sentence = sentence.replace(field, "")  # noqa: PLW2901 (the paths taken out)
            assert CANARY not in sentence, (sentence, answer.fields)
        named += sum(CANARY in field for field in answer.fields)
    assert named, "a caller is told which of his attributes it is"


def test_the_log_is_made_of_single_records(talking: Gateway) -> None:
    _send(talking, _bad(EVIL))
    if talking.log.startswith("{"):
        for line in talking.log.splitlines():
            assert {"time", "level", "logger", "message"} <= json.loads(line).keys()
