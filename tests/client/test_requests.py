"""Ids, refs, items and how batches are split."""

from __future__ import annotations

import copy
import pickle
import threading
import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from memplane import Delete, Episode, InvalidArgument, Memory, Put, Query, Ref, Update
from memplane._channel import channel_options, check_target, service_config, writes
from memplane._enums import Kind
from memplane._ids import uuid7
from memplane._requests import (
    WriteOptions,
    delete_messages,
    put_messages,
    query_message,
    refuse_twice,
    resolve,
    split,
    update_messages,
)
from memplane.v1 import memory_pb2

NAIVE = datetime(2099, 1, 1)  # noqa: DTZ001 (the mistake under test)
REF = Ref(Kind.SEMANTIC, ("a",), "k")


def test_uuid7_sorts_by_time_also_across_threads() -> None:
    made = [uuid7() for _ in range(20_000)]
    assert made == sorted(made)
    assert len(set(made)) == len(made)
    one = uuid.UUID(made[0])
    assert (one.version, one.variant, str(one)) == (7, uuid.RFC_4122, made[0])
    now = datetime.now(UTC).timestamp()
    assert abs((one.int >> 80) / 1000 - now) < 60

    piles: list[list[str]] = [[] for _ in range(4)]
    threads = [
        threading.Thread(target=lambda pile=pile: pile.extend(uuid7() for _ in range(5000)))
        for pile in piles
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(pile == sorted(pile) for pile in piles)
    assert len({each for pile in piles for each in pile}) == 20_000


def test_uuid7_when_the_clock_is_set_back(monkeypatch: pytest.MonkeyPatch) -> None:
    before = uuid7()
    monkeypatch.setattr("memplane._ids.time.time_ns", lambda: 0)
    assert before < uuid7() < uuid7()


def test_uuid7_when_the_counter_is_used_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("memplane._ids.time.time_ns", lambda: 0)
    monkeypatch.setattr("memplane._ids._counter", 2**42 - 2)
    first, second, third = uuid7(), uuid7(), uuid7()
    assert first < second < third
    assert uuid.UUID(second).int >> 80 == (uuid.UUID(first).int >> 80) + 1


def test_refs() -> None:
    assert Ref("semantic", ["a", "b"], "k") == Ref(Kind.SEMANTIC, ("a", "b"), "k")
    assert resolve("put", ("n",), Kind.EPISODIC, "k") == Ref(Kind.EPISODIC, ("n",), "k")
    assert resolve("put", ("n",), "episodic", None) == Ref(Kind.EPISODIC, ("n",))
    assert resolve("put", ("n",), REF, None) is REF
    wrongs: list[Callable[[], object]] = [
        lambda: resolve("get", (), REF, "k"),
        lambda: resolve("get", (), 7, None),  # type: ignore[arg-type]
        lambda: Ref("sematic"),
        lambda: Ref(Kind.SEMANTIC, "abc"),
        lambda: Ref(Kind.SEMANTIC, ("a", 1)),  # type: ignore[arg-type]
        lambda: Ref(Kind.SEMANTIC, (), "\ud800"),
        lambda: Ref(Kind.SEMANTIC, (), None),  # type: ignore[arg-type]
    ]
    for wrong in wrongs:
        with pytest.raises(InvalidArgument):
            wrong()


@pytest.mark.parametrize(
    ("call", "says"),
    [
        ("get", "get('semantic', 'tone'); for what set() wrote: value('tone')"),
        ("delete", "delete('semantic', 'tone'); for what set() wrote: delete('procedural', 'tone')"),
        ("update", "update('semantic', 'tone'); for what set() wrote: update('procedural', 'tone')"),
        ("put", "put('semantic', 'tone'); for a value: set('tone', ...); for a text: remember('tone')"),
    ],
)  # fmt: skip
def test_a_key_alone_is_refused_with_what_to_write(call: str, says: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        resolve(call, ("n",), "tone", None)
    assert str(caught.value).endswith(f": ref: give a kind and a key: {says}")
    with pytest.raises(InvalidArgument) as caught:
        resolve(call, ("n",), "tone {} " * 100, None)
    assert f"{call}('semantic', ...)" in str(caught.value)
    with pytest.raises(InvalidArgument, match=r"kind: .*semantic"):
        resolve(call, ("n",), "sematic", "k")


def test_a_put_keeps_apart_what_is_absent_and_what_is_null() -> None:
    (bare,) = put_messages([Put(REF)], mint=True)
    assert not bare.memory.HasField("value")
    assert not bare.memory.HasField("importance")
    assert not bare.memory.HasField("episode")
    assert not bare.HasField("expiry")
    assert not bare.HasField("precondition")
    (null,) = put_messages([Put(REF, value=None, importance=0, ttl=0, if_match="")], mint=True)
    assert null.memory.value.WhichOneof("kind") == "null_value"
    assert null.memory.importance == 0
    assert null.memory.HasField("importance")
    assert null.expiry.WhichOneof("when") == "ttl"
    assert null.precondition.WhichOneof("condition") == "if_match"


def test_a_whole_put() -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    (full,) = put_messages(
        [
            Put(
                Ref(Kind.EPISODIC, ("a",), "k"),
                text="t",
                attributes={"n": 1},
                value={"v": [1]},
                episode=Episode(type="action", event_time=moment, input=[1], actor="x"),  # type: ignore[arg-type]
                pinned=True,
                vector=[1.0, 0.0],
                ttl=timedelta(seconds=1.5),
                if_absent=True,
            )
        ],
        mint=True,
    )
    assert full.memory.attributes["n"].int_value == 1
    assert full.memory.episode.type == memory_pb2.EPISODE_TYPE_ACTION
    assert full.memory.episode.event_time.seconds == int(moment.timestamp())
    assert not full.memory.episode.HasField("output")
    assert full.memory.vector == bytes.fromhex("0000803f00000000")
    assert (full.expiry.ttl.seconds, full.expiry.ttl.nanos) == (1, 500_000_000)
    assert full.precondition.if_absent


def test_keys_are_minted_unless_the_gateway_is_to_derive_them() -> None:
    puts = [Put(Ref(Kind.SEMANTIC)) for _ in range(3)]
    keys = [put.memory.ref.key for put in put_messages(puts, mint=True)]
    assert [uuid.UUID(key).version for key in keys] == [7, 7, 7]
    assert keys == sorted(keys)
    assert not put_messages(puts, mint=False)[0].memory.ref.key
    assert WriteOptions(None, "mine").request_id_of(0) == "mine"
    assert WriteOptions(None, "mine").request_id_of(2) == "mine.2"
    assert uuid.UUID(WriteOptions(None, None).request_id_of(0)).version == 7


def test_a_memory_is_put_as_it_was_read() -> None:
    gone = datetime(2099, 1, 1, tzinfo=UTC)
    memory = Memory(REF, text="t", has_value=True, etag="e", revision=3, expire_time=gone)
    (put,) = put_messages([memory], mint=True)
    assert put.memory.value.WhichOneof("kind") == "null_value"
    assert (put.memory.etag, put.memory.revision) == ("", 0)
    assert put.expiry.expire_time.seconds == int(gone.timestamp())
    (put,) = put_messages([Memory(REF)], mint=True)
    assert not put.memory.HasField("value")


@pytest.mark.parametrize(
    ("put", "path"),
    [
        (Put(REF, text=b"x"), "puts[1].memory.text"),  # type: ignore[arg-type]
        (Put(REF, text="\ud800"), "puts[1].memory.text"),
        (Put(REF, attributes={"a": [{"b": float("nan")}]}), "puts[1].memory.attributes['a'][0]['b']"),
        (Put(REF, value=2**64), "puts[1].memory.value"),
        (Put(REF, importance="high"), "puts[1].memory.importance"),  # type: ignore[arg-type]
        (Put(REF, pinned=1), "puts[1].memory.pinned"),  # type: ignore[arg-type]
        (Put(REF, vector=[]), "puts[1].memory.vector"),
        (Put(REF, ttl=float("nan")), "puts[1].expiry.ttl"),
        (Put(REF, ttl=1, expire_time=datetime(2099, 1, 1, tzinfo=UTC)), "puts[1].expiry"),
        (Put(REF, expire_time=NAIVE), "puts[1].expiry.expire_time"),
        (Put(REF, if_absent=True, if_present=True), "puts[1].precondition"),
        (Put(REF, if_match="e", if_absent=True), "puts[1].precondition"),
        (Put(REF, episode=Episode(event_time=NAIVE)), "puts[1].memory.episode.event_time"),
        (REF, "puts[1]"),
        (Put("semantic"), "puts[1].memory.ref"),  # type: ignore[arg-type]
    ],
)  # fmt: skip
def test_a_bad_put_names_its_place(put: Any, path: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        put_messages([Put(REF), put], mint=True)
    assert caught.value.violations[0].field == path


def test_updates_and_deletes() -> None:
    (nothing,) = update_messages([Update(REF)])
    assert nothing.ByteSize() == nothing.ref.ByteSize() + 2
    (update,) = update_messages(
        [Update(REF, text="", value=None, pinned=False, remove_attributes=["x"], ttl=0)]
    )
    assert update.HasField("text")
    assert update.HasField("pinned")
    assert update.value.WhichOneof("kind") == "null_value"
    assert list(update.remove_attributes) == ["x"]
    assert update.expiry.WhichOneof("when") == "ttl"
    with pytest.raises(InvalidArgument):
        update_messages([Update(REF, remove_attributes="abc")])
    plain, guarded = delete_messages([REF, Delete(REF, if_match="e")])
    assert not plain.HasField("precondition")
    assert guarded.precondition.if_match == "e"
    with pytest.raises(InvalidArgument, match=r"deletes\[0\]: must be a Ref or Delete"):
        delete_messages(["k"])  # type: ignore[list-item]
    with pytest.raises(InvalidArgument, match=r"updates\[0\]: must be an Update, not 'k'"):
        update_messages(["k"])  # type: ignore[list-item]


def test_queries() -> None:
    query = query_message("tea?", ("a",), "queries[0]")
    assert (query.text, list(query.namespace), query.kind) == (
        "tea?",
        ["a"],
        memory_pb2.KIND_SEMANTIC,
    )
    assert not query.HasField("filter")
    assert query_message(Query(), ("a",), "q").WhichOneof("query") is None
    assert query_message(Query(""), (), "q").WhichOneof("query") == "text"
    assert list(query_message(Query(namespace=[]), ("a",), "q").namespace) == []
    for wrong in (
        Query("a", vector=[1]),
        Query("a", mode="fast"),
        Query("a", mode="unknown"),
        Query("a", kind="facts"),
        Query("a", limit=2**31),
        Query("a", limit=True),
        Query("a", min_relevance="0.5"),  # type: ignore[arg-type]
        Query("a", time_from=NAIVE),
        Query("a", namespace="abc"),
        7,
    ):
        with pytest.raises(InvalidArgument):
            query_message(wrong, (), "queries[0]")  # type: ignore[arg-type]


def test_splitting() -> None:
    refs = [memory_pb2.MemoryRef(key=f"{i:04}") for i in range(2500)]
    parts = split(refs)
    assert [(part.start, len(part.items)) for part in parts] == [
        (0, 1000),
        (1000, 1000),
        (2000, 500),
    ]
    assert [ref for part in parts for ref in part.items] == refs
    assert split([]) == []

    size = refs[0].ByteSize() + 8
    assert [len(part.items) for part in split(refs[:7], max_bytes=3 * size)] == [3, 3, 1]
    big = memory_pb2.MemoryRef(key="x" * 100)
    assert [len(part.items) for part in split([refs[0], big, refs[1]], max_bytes=50)] == [1, 1, 1]

    refuse_twice([*refs, memory_pb2.MemoryRef(), memory_pb2.MemoryRef()], "puts")
    with pytest.raises(InvalidArgument, match=r"puts\[2500\]: has the same ref as puts\[7\]"):
        refuse_twice([*refs, refs[7]], "puts")


def test_targets() -> None:
    for good in ("localhost:50051", "unix:/run/m.sock", "unix:///run/m.sock", "[::1]:50051",
                 "dns:///memplane:50051", "unix-abstract:m", "ipv4:127.0.0.1:1", "localhost:65535",
                 "localhost:0", "vsock:99999:70000", "unix:m:99999",
                 "ipv4:127.0.0.1:1,127.0.0.1:2"):  # fmt: skip
        assert check_target(good) == good
    for wrong in ("http://localhost:50051", "https://x", "grpc://x:1", "localhost", "[::1]", ""):
        with pytest.raises(InvalidArgument, match=r"host:port or unix:/path"):
            check_target(wrong)
    for wrong in ("localhost:99999", "localhost:65536", "[::1]:65536", "dns:///memplane:70000",
                  "ipv4:127.0.0.1:99999,127.0.0.1:2", "localhost:" + "9" * 5000):  # fmt: skip
        with pytest.raises(InvalidArgument, match=r"target: .*ports are 0 to 65535"):
            check_target(wrong)
    assert ("grpc.enable_http_proxy", 0) in channel_options("localhost:1")
    assert ("grpc.enable_http_proxy", 0) in channel_options("127.0.0.1:1")
    assert "grpc.enable_http_proxy" not in dict(channel_options("localhost.example.com:1"))


def test_the_retry_policy_covers_what_the_contract_calls_idempotent() -> None:
    config = service_config()
    for method in ("PutMemories", "GetMemories", "UpdateMemories", "DeleteMemories",
                   "SearchMemories", "ListMemories", "CountMemories", "PurgeMemories",
                   "ForgetMemories", "ConsolidateMemories",
                   "GetStatus"):  # fmt: skip
        assert f'"{method}"' in config
    assert writes("/memplane.v1.MemoryService/PutMemories")
    assert not writes("/memplane.v1.MemoryService/GetMemories")
    assert not writes("/grpc.health.v1.Health/Check")


def test_refs_can_be_copied_and_sorted() -> None:
    assert replace(REF, key="j") < REF
    assert pickle.loads(pickle.dumps(REF)) == copy.deepcopy(REF) == REF
    assert {REF: 1}[Ref("semantic", ["a"], "k")] == 1


def test_a_put_can_be_checked_without_a_call() -> None:
    Put(REF, text="a" * 4_000_000).check()
    with pytest.raises(InvalidArgument, match="is an int outside"):
        Put(REF, attributes={"n": 2**63}).check()
    with pytest.raises(InvalidArgument, match="must be at most 4190208 bytes as a message"):
        Put(REF, text="a" * 4_190_208).check()
