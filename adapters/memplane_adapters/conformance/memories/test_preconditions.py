"""Every precondition, for every write, against every state: exact code, exact reason, no effect."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import pytest

from memplane import (
    Aborted,
    AlreadyExists,
    AsyncScope,
    FailedPrecondition,
    InvalidArgument,
    Kind,
    MemplaneError,
    NotFound,
    Outcome,
    Put,
)
from memplane.v1 import error_reason_pb2
from memplane.v1 import memory_service_pb2 as pb
from memplane_adapters.conformance.memories.doors import Door, call
from memplane_adapters.conformance.memories.helpers import (
    EVERY_KIND,
    EVERY_STORE,
    ON_THE_SESSION_LOOP,
    expired,
    put_all,
    ref_message,
    refused,
    string_value,
    there,
)

pytestmark = ON_THE_SESSION_LOOP


class State(StrEnum):
    """What is there before the write."""

    PRESENT = "present"
    MISSING = "missing"
    EXPIRED = "expired"


class Condition(StrEnum):
    """What the write asks for."""

    NONE = "none"
    CURRENT = "if-match-current"
    STALE = "if-match-stale"
    ABSENT = "if-absent"
    IF_PRESENT = "if-present"


@dataclass(frozen=True)
class Refused:
    """The write has no effect."""

    error: type[MemplaneError]
    reason: str


MISMATCH = Refused(Aborted, "ETAG_MISMATCH")
ON_MISSING = Refused(FailedPrecondition, "ETAG_ON_MISSING")
EXISTS = Refused(AlreadyExists, "MEMORY_EXISTS")
NOT_FOUND = Refused(NotFound, "MEMORY_NOT_FOUND")

# Where nothing is there it makes no difference whether it expired or never was.
WHERE_PRESENT: dict[tuple[str, Condition], Outcome | Refused] = {
    ("put", Condition.NONE): Outcome.UPDATED,
    ("put", Condition.CURRENT): Outcome.UPDATED,
    ("put", Condition.STALE): MISMATCH,
    ("put", Condition.ABSENT): EXISTS,
    ("put", Condition.IF_PRESENT): Outcome.UPDATED,
    ("update", Condition.NONE): Outcome.UPDATED,
    ("update", Condition.CURRENT): Outcome.UPDATED,
    ("update", Condition.STALE): MISMATCH,
    ("update", Condition.IF_PRESENT): Outcome.UPDATED,
    ("delete", Condition.NONE): Outcome.DELETED,
    ("delete", Condition.CURRENT): Outcome.DELETED,
    ("delete", Condition.STALE): MISMATCH,
    ("delete", Condition.IF_PRESENT): Outcome.DELETED,
}
WHERE_MISSING: dict[tuple[str, Condition], Outcome | Refused] = {
    ("put", Condition.NONE): Outcome.CREATED,
    ("put", Condition.CURRENT): ON_MISSING,
    ("put", Condition.STALE): ON_MISSING,
    ("put", Condition.ABSENT): Outcome.CREATED,
    ("put", Condition.IF_PRESENT): NOT_FOUND,
    ("update", Condition.NONE): NOT_FOUND,
    ("update", Condition.CURRENT): ON_MISSING,
    ("update", Condition.STALE): ON_MISSING,
    ("update", Condition.IF_PRESENT): NOT_FOUND,
    ("delete", Condition.NONE): Outcome.MISSING,
    ("delete", Condition.CURRENT): ON_MISSING,
    ("delete", Condition.STALE): ON_MISSING,
    ("delete", Condition.IF_PRESENT): NOT_FOUND,
}
MATRIX = [
    pytest.param((write, condition, state), expected, id=f"{write}-{condition}-{state}")
    for state in State
    for (write, condition), expected in (
        WHERE_PRESENT if state is State.PRESENT else WHERE_MISSING
    ).items()
]


@EVERY_STORE
@pytest.mark.parametrize(("tried", "expected"), MATRIX)
async def test_a_precondition(
    door: Door,
    space: AsyncScope,
    kind: Kind,
    tried: tuple[str, Condition, State],
    expected: Outcome | Refused,
) -> None:
    write, condition, state = tried
    current, stale = await _prepare(space, kind, state)
    precondition = pb.Precondition()
    if condition is Condition.CURRENT:
        precondition.if_match = current
    elif condition is Condition.STALE:
        precondition.if_match = stale
    elif condition is Condition.ABSENT:
        precondition.if_absent = True
    elif condition is Condition.IF_PRESENT:
        precondition.if_present = True
    result = await _write(door, space, kind, write, precondition)
    after = await space.get(kind, "k")
    if isinstance(expected, Refused):
        reason = error_reason_pb2.ErrorReason.Name(result.error.reason)
        assert result.error.code == _CODES[expected.error]
        assert reason == f"ERROR_REASON_{expected.reason}"
        assert result.outcome == pb.WRITE_OUTCOME_UNSPECIFIED
        assert (result.etag, result.revision) == ("", 0)
        if state is State.PRESENT:
            assert result.error.metadata["etag"] == current
            assert after is not None
            assert (after.etag, after.text) == (current, "old")
        else:
            assert after is None
        return
    assert not result.HasField("error")
    assert pb.WriteOutcome.Name(result.outcome) == f"WRITE_OUTCOME_{expected.name}"
    if write == "delete":
        assert after is None
    else:
        assert after is not None
        assert (after.text, after.etag) == ("new", result.etag)


_CODES = {InvalidArgument: 3, NotFound: 5, AlreadyExists: 6, FailedPrecondition: 9, Aborted: 10}


async def _prepare(space: AsyncScope, kind: Kind, state: State) -> tuple[str, str]:
    """Brings about a state; returns the etag that is there (or was) and one before it."""
    if state is State.EXPIRED:
        stale = (await space.put(kind, "k", text="older")).etag
        return (await expired(space, kind, "k", text="old")).etag, stale
    stale = (await space.put(kind, "k", text="older")).etag
    current = (await space.put(kind, "k", text="old")).etag
    if state is State.MISSING:
        await space.delete(kind, "k")
    return current, stale


async def _write(
    door: Door, space: AsyncScope, kind: Kind, write: str, precondition: pb.Precondition
) -> pb.WriteResult:
    ref = ref_message(space.ref(kind, "k"))
    if write == "put":
        put = pb.MemoryPut(precondition=precondition)
        put.memory.ref.CopyFrom(ref)
        put.memory.text = "new"
        request = pb.PutMemoriesRequest(puts=[put])
        return (await call(door, "PutMemories", request, pb.PutMemoriesResponse)).results[0]
    if write == "update":
        update = pb.MemoryUpdate(ref=ref, text="new", precondition=precondition)
        changes = pb.UpdateMemoriesRequest(updates=[update])
        return (await call(door, "UpdateMemories", changes, pb.UpdateMemoriesResponse)).results[0]
    delete = pb.MemoryDelete(ref=ref, precondition=precondition)
    deletes = pb.DeleteMemoriesRequest(deletes=[delete])
    return (await call(door, "DeleteMemories", deletes, pb.DeleteMemoriesResponse)).results[0]


@EVERY_STORE
async def test_only_a_put_takes_if_absent(door: Door, space: AsyncScope, kind: Kind) -> None:
    await space.put(kind, "k", text="old")
    for write, field in (("update", "updates[0]"), ("delete", "deletes[0]")):
        path = f"{field}.precondition.if_absent"
        with refused(InvalidArgument, "INVALID_REQUEST", path):
            await _write(door, space, kind, write, pb.Precondition(if_absent=True))
    assert (await there(space, kind, "k")).text == "old"


@pytest.mark.parametrize("write", ["put", "update", "delete"])
async def test_a_precondition_that_says_nothing_is_refused(
    door: Door, space: AsyncScope, write: str
) -> None:
    await space.put(Kind.SEMANTIC, "k", text="old")
    for precondition, name in (
        (pb.Precondition(if_present=False), "if_present"),
        (pb.Precondition(if_match=""), "if_match"),
    ):
        path = f"{write}s[0].precondition.{name}"
        with refused(InvalidArgument, "INVALID_REQUEST", path):
            await _write(door, space, Kind.SEMANTIC, write, precondition)
    with refused(InvalidArgument, "INVALID_REQUEST"):
        await _write(door, space, Kind.SEMANTIC, write, pb.Precondition(if_absent=False))
    assert (await there(space, Kind.SEMANTIC, "k")).text == "old"


@EVERY_KIND
async def test_a_precondition_is_checked_also_where_nothing_would_change(
    space: AsyncScope, kind: Kind
) -> None:
    first = await space.put(kind, "k", text="one")
    second = await space.put(kind, "k", text="two")
    with refused(Aborted, "ETAG_MISMATCH") as refusal:
        await space.put(kind, "k", text="two", if_match=first.etag)
    assert refusal.error.metadata["etag"] == second.etag
    with refused(Aborted, "ETAG_MISMATCH"):
        await space.update(kind, "k", if_match=first.etag)
    with refused(AlreadyExists, "MEMORY_EXISTS"):
        await space.put(kind, "k", text="two", if_absent=True)
    same = await space.put(kind, "k", text="two", if_match=second.etag)
    assert same.outcome is Outcome.UNCHANGED


@EVERY_KIND
async def test_an_etag_of_another_memory_does_not_match(space: AsyncScope, kind: Kind) -> None:
    one, other = await put_all(space, [Put(space.ref(kind, "a")), Put(space.ref(kind, "b"))])
    assert one.etag != other.etag
    with refused(Aborted, "ETAG_MISMATCH"):
        await space.put(kind, "a", text="new", if_match=other.etag)
    with refused(Aborted, "ETAG_MISMATCH"):
        await space.put(kind, "a", text="new", if_match="no etag at all % '\"")


@EVERY_KIND
async def test_an_etag_from_before_a_delete_does_not_match(space: AsyncScope, kind: Kind) -> None:
    old = await space.put(kind, "k", text="same")
    await space.delete(kind, "k")
    with refused(FailedPrecondition, "ETAG_ON_MISSING"):
        await space.put(kind, "k", text="new", if_match=old.etag)
    await space.put(kind, "k", text="same")
    with refused(Aborted, "ETAG_MISMATCH"):
        await space.delete(kind, "k", if_match=old.etag)
    assert (await there(space, kind, "k")).text == "same"


@EVERY_STORE
async def test_a_refused_precondition_leaves_the_other_items(
    door: Door, space: AsyncScope, kind: Kind
) -> None:
    await put_all(space, [Put(space.ref(kind, name), text="old") for name in "abc"])
    request = pb.UpdateMemoriesRequest(
        updates=[
            pb.MemoryUpdate(
                ref=ref_message(space.ref(kind, name)),
                attributes={"x": string_value("y")},
                precondition=pb.Precondition(if_match="no") if name == "b" else None,
            )
            for name in "abc"
        ]
    )
    reply = await call(door, "UpdateMemories", request, pb.UpdateMemoriesResponse)
    assert [result.HasField("error") for result in reply.results] == [False, True, False]
    changed = [(await there(space, kind, name)).attributes for name in "abc"]
    assert changed == [{"x": "y"}, {}, {"x": "y"}]
