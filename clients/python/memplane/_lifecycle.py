"""What the calls of the lifecycle return, and how it is made of replies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from memplane import _enums, _replies
from memplane._enums import Durability
from memplane._models import FilterReport, Ref

if TYPE_CHECKING:
    from google.protobuf.duration_pb2 import Duration

    from memplane.v1 import consolidate_pb2, forget_pb2


@dataclass(frozen=True, slots=True)
class ForgottenMemory:
    """A memory that was forgotten, and what it was judged by. None is what was not asked for."""

    ref: Ref
    age: timedelta | None = None
    """The time since its event_time, else its create_time."""
    inactive_for: timedelta | None = None
    """The time since its last change."""
    importance: float | None = None
    """Its importance as it counted: decayed where a half-life was given."""


@dataclass(frozen=True, slots=True)
class ForgetResult:
    """What a forget did."""

    count: int
    """How many memories were deleted; with `dry_run` how many would have been."""
    memories: tuple[ForgottenMemory, ...] = ()
    """Which, by namespace and key: the first 100 of each call that it took."""
    dry_run: bool = False
    """Whether nothing was deleted, but found."""
    filter: FilterReport | None = None
    """How conditions and filter were evaluated. None of a retry."""
    replayed: bool = False
    """Whether an earlier try with the same request id did some of it."""
    durability: Durability = Durability.UNKNOWN
    """How safe the deletes are, as reached. UNKNOWN for a dry run."""


@dataclass(frozen=True, slots=True)
class MergedMemory:
    """A memory that was merged into another one, and deleted."""

    ref: Ref
    similarity: float
    """The cosine of its vector and that of the memory that is kept."""


@dataclass(frozen=True, slots=True)
class MemoryGroup:
    """A memory that is kept, and those that were merged into it."""

    kept: Ref
    merged: tuple[MergedMemory, ...]
    """The most similar first; at most 100 of them."""
    merged_count: int
    """How many were merged into it."""


@dataclass(frozen=True, slots=True)
class ConsolidateResult:
    """What a consolidation did."""

    groups: tuple[MemoryGroup, ...]
    merged_count: int
    """How many memories were merged into others; with `dry_run` how many would have been."""
    conflicts: int = 0
    """Groups that were left alone, as a whole or in part: they changed meanwhile, or do not fit."""
    compared: int = 0
    """How many memories were compared with others."""
    dry_run: bool = False
    """Whether nothing was merged, but found."""
    replayed: bool = False
    """Whether an earlier try with the same request id did some of it."""
    durability: Durability = Durability.UNKNOWN
    """How safe the changes are, as reached. UNKNOWN for a dry run."""


def forgotten(
    responses: Sequence[forget_pb2.ForgetMemoriesResponse], *, dry_run: bool
) -> ForgetResult:
    """What the calls of one forget did together."""
    return ForgetResult(
        count=sum(each.count for each in responses),
        memories=tuple(_forgotten(each) for part in responses for each in part.memories),
        dry_run=dry_run,
        filter=_replies.reports(responses),
        replayed=any(each.replayed for each in responses),
        durability=_durability(responses[-1].durability),
    )


def consolidated(
    responses: Sequence[consolidate_pb2.ConsolidateMemoriesResponse], *, dry_run: bool
) -> ConsolidateResult:
    """What the calls of one consolidation did together."""
    return ConsolidateResult(
        groups=tuple(_group(each) for part in responses for each in part.groups),
        merged_count=sum(each.merged_count for each in responses),
        conflicts=sum(each.conflicts for each in responses),
        compared=sum(each.compared for each in responses),
        dry_run=dry_run,
        replayed=any(each.replayed for each in responses),
        durability=_durability(responses[-1].durability),
    )


def _forgotten(message: forget_pb2.ForgottenMemory) -> ForgottenMemory:
    return ForgottenMemory(
        _replies.ref(message.ref),
        _period(message.age) if message.HasField("age") else None,
        _period(message.inactive_for) if message.HasField("inactive_for") else None,
        message.importance if message.HasField("importance") else None,
    )


def _group(message: consolidate_pb2.MemoryGroup) -> MemoryGroup:
    merged = (MergedMemory(_replies.ref(each.ref), each.similarity) for each in message.merged)
    return MemoryGroup(_replies.ref(message.kept), tuple(merged), message.merged_count)


def _period(message: Duration) -> timedelta:
    return timedelta(seconds=message.seconds, microseconds=message.nanos // 1000)


def _durability(number: int) -> Durability:
    return _enums.from_wire(Durability, number) or Durability.UNKNOWN
