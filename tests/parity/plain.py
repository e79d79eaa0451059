"""Answers in a plain form, in which those of different stores must be the same.

What belongs to one gateway alone is left out, or said by what it does: an etag becomes the number of
the version that it stands for, so that two stores agree when their etags have the same effects.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

import numpy as np

from memplane import (
    Code,
    Count,
    FilterReport,
    Hit,
    IndexedText,
    Memory,
    MemplaneError,
    Mode,
    Ref,
    SearchResult,
    WriteResult,
)
from memplane_adapters.contract import identical, rank_key, to_micros

SCORE_TOLERANCE = 1e-3
"""What DESIGN.md lets scores differ by."""
SWAP_TOLERANCE = 2e-6
"""Rows whose relevance differs by less may be swapped: stores compute in float32."""
VECTOR_TOLERANCE = 1e-6
"""What normalising once more, and float32, may change in a number of a vector."""

ROOT = "~"
"""How the label that is minted for an example is shown."""

Difference: TypeAlias = tuple[str, Any, Any]
"""Where two answers differ, and what stands there."""

_OF_ONE_STORE: Mapping[type, frozenset[str]] = {
    Memory: frozenset({"etag", "revision"}),
    WriteResult: frozenset(
        {"etag", "revision", "durability", "replicas_acked", "visible", "consistency_token"}
    ),
    FilterReport: frozenset({"pushed", "residual", "scanned"}),
    SearchResult: frozenset({"approximate", "next_page_token"}),
}
"""What each store may say as it is."""

_FAULTS = frozenset(
    {Code.INTERNAL, Code.UNKNOWN, Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED, Code.DATA_LOSS}
)
"""No request has these as its answer while all is well, even if all stores agree in them."""


@dataclass(frozen=True, slots=True)
class Near:
    """A number that may differ a little between stores."""

    number: float | None
    tolerance: float

    def __repr__(self) -> str:
        return repr(self.number)


@dataclass(frozen=True, slots=True)
class Ranking:
    """Hits in order. `limit` and `floor` (min_relevance) are those of the query.

    Where they do not come `by_relevance`, the order is not compared: each hit of it follows from all
    before, so that two that may be swapped change the rest.
    """

    hits: list[dict[str, Any]]
    limit: int
    floor: float | None
    mode: Mode
    by_relevance: bool = True

    def __repr__(self) -> str:
        return repr([(hit["memory"]["ref"], hit["relevance"]) for hit in self.hits])


class Versions:
    """The etags of one store during one example, by memory, in the order in which they came."""

    def __init__(self, label: str) -> None:
        self.label = label
        self._etags: dict[Ref, list[str]] = {}

    def number(self, ref: Ref, etag: str) -> int:
        """Which version of the memory it stands for; 0 for none."""
        if not etag:
            return 0
        etags = self._etags.setdefault(ref, [])
        if etag not in etags:
            etags.append(etag)
        return etags.index(etag) + 1

    def etag(self, ref: Ref, *, back: int) -> str:
        """The etag of the memory so many versions ago, or one that no memory has."""
        etags = self._etags.get(ref, [])
        return etags[-1 - back] if back < len(etags) else "no-such-etag"

    def refs(self) -> list[Ref]:
        """Every memory that was met."""
        return list(self._etags)


def plain(given: Any, versions: Versions) -> Any:
    """An answer as dicts, lists and scalars."""
    if isinstance(given, Ref):
        return (
            given.kind.value,
            [shown(label, versions.label) for label in given.namespace],
            given.key,
        )
    if isinstance(given, MemplaneError):
        return error(given, versions)
    if isinstance(given, Count):
        return {"count": int(given), "filter": plain(given.filter, versions)}
    if dataclasses.is_dataclass(given):
        return _fields(given, versions)
    if isinstance(given, Mapping):
        return {name: plain(item, versions) for name, item in given.items()}
    if isinstance(given, list | tuple):
        return [plain(item, versions) for item in given]
    return given


def _fields(given: Any, versions: Versions) -> dict[str, Any]:
    dropped = _OF_ONE_STORE.get(type(given), frozenset())
    made = {
        each.name: plain(getattr(given, each.name), versions)
        for each in dataclasses.fields(given)
        if each.name not in dropped
    }
    if isinstance(given, Memory | WriteResult):
        made["version"] = versions.number(given.ref, given.etag)
    if isinstance(given, Memory | IndexedText) and given.vector is not None:
        made["vector"] = [Near(float(n), VECTOR_TOLERANCE) for n in np.asarray(given.vector)]
    if isinstance(given, Hit):
        made["score"] = Near(given.score, SCORE_TOLERANCE)
        made["relevance"] = Near(given.relevance, SCORE_TOLERANCE / 2)
    if isinstance(given, WriteResult) and given.error is not None:
        made["error"] = error(given.error, versions, given.ref)
    return made


def ranking(
    given: SearchResult,
    versions: Versions,
    *,
    limit: int,
    floor: float | None,
    by_relevance: bool = True,
) -> Any:
    """The plain form of a search result, whose hits may be swapped where they are equally good."""
    if by_relevance:
        assert _ordered(given), f"not in the order of its own numbers: {given}"
    made = plain(given, versions)
    made["hits"] = Ranking(made["hits"], limit, floor, given.mode, by_relevance)
    return made


def error(given: MemplaneError, versions: Versions, ref: Ref | None = None) -> dict[str, Any]:
    """What a caller may build on in an error. Fails for errors that are nobody's request's fault."""
    assert given.code not in _FAULTS, f"a fault and no answer: {given}"
    metadata = {name: text for name, text in given.metadata.items() if name != "store"}
    if ref is not None and "etag" in metadata:
        metadata["etag"] = f"version {versions.number(ref, metadata['etag'])}"
    return {
        "code": given.code.value,
        "reason": given.reason,
        "violated": sorted(violation.field for violation in given.violations),
        "metadata": metadata,
        "ambiguous": given.ambiguous,
    }


def shown(label: str, root: str) -> str:
    """A label without what was minted for the example."""
    return label.replace(root, ROOT)


def _ordered(result: SearchResult) -> bool:
    """Whether hits come as DESIGN.md orders them, by the numbers that came with them."""
    keys = [
        rank_key(hit.relevance, _time(hit.memory), (hit.memory.namespace, hit.memory.key))
        for hit in result
    ]
    return keys == sorted(keys)


def _time(memory: Memory) -> int:
    time = memory.episode.event_time if memory.episode is not None else memory.update_time
    assert time is not None, f"{memory.ref} has no time"
    return to_micros(time)


# --- comparison -------------------------------------------------------------------------------


def differences(left: Any, right: Any, path: str = "answer") -> Iterator[Difference]:
    """Where two plain answers differ; nothing when they are the same."""
    if type(left) is not type(right):
        yield path, left, right
    elif isinstance(left, Near):
        if not _near(left, right):
            yield path, left, right
    elif isinstance(left, Ranking):
        yield from _ranking_differences(left, right, path)
    elif isinstance(left, dict):
        for name in sorted(left.keys() | right.keys(), key=str):
            if name not in left or name not in right:
                yield f"{path}[{name!r}]", left.get(name, MISSING), right.get(name, MISSING)
            else:
                yield from differences(left[name], right[name], f"{path}[{name!r}]")
    elif isinstance(left, list):
        if len(left) != len(right):
            yield f"len({path})", len(left), len(right)
        for number, (ours, theirs) in enumerate(zip(left, right, strict=False)):
            yield from differences(ours, theirs, f"{path}[{number}]")
    elif not _same(left, right):
        yield path, left, right


class _Missing:
    def __repr__(self) -> str:
        return "(nothing)"


MISSING = _Missing()


def _same(left: Any, right: Any) -> bool:
    if isinstance(left, float | str | bytes | bool | int | datetime):
        return identical(left, right)
    return bool(left == right)


def _near(left: Near, right: Near) -> bool:
    if left.number is None or right.number is None:
        return left.number is right.number
    return math.isclose(left.number, right.number, rel_tol=0, abs_tol=left.tolerance)


def _ranking_differences(left: Ranking, right: Ranking, path: str) -> Iterator[Difference]:
    if left.mode is Mode.RECENT:
        yield from differences(left.hits, right.hits, path)
        return
    ours, theirs = _by_ref(left), _by_ref(right)
    words = left.mode is not Mode.VECTOR  # of which DESIGN.md promises the set and not the ranking
    for ref in (ref for ref in (*ours, *theirs) if ref not in ours or ref not in theirs):
        if words or not (_excused(left, ours.get(ref)) or _excused(right, theirs.get(ref))):
            yield f"{path} has {ref}", ref in ours, ref in theirs
    if len(ours) != len(theirs) and left.floor is None:
        yield f"len({path})", len(ours), len(theirs)
    for ref in (ref for ref in ours if ref in theirs):
        where = f"{path} at {ref}"
        if words:
            yield from differences(ours[ref]["memory"], theirs[ref]["memory"], where)
        else:
            yield from differences(ours[ref], theirs[ref], where)
    if not words and left.by_relevance:
        yield from _swapped(ours, [ref for ref in theirs if ref in ours], path)


def _by_ref(given: Ranking) -> dict[str, dict[str, Any]]:
    return {str(hit["memory"]["ref"]): hit for hit in given.hits}


def _excused(given: Ranking, hit: dict[str, Any] | None) -> bool:
    """Whether a hit is so near an edge of the answer that another store may leave it out."""
    if hit is None:
        return False
    relevance = hit["relevance"].number
    last = given.hits[-1]["relevance"].number
    cut = len(given.hits) == given.limit and relevance - last <= SWAP_TOLERANCE
    low = given.floor is not None and abs(relevance - given.floor) <= SWAP_TOLERANCE
    return cut or low


def _swapped(ours: dict[str, Any], order: Sequence[str], path: str) -> Iterator[Difference]:
    """Where the order of another store contradicts our relevances."""
    lowest, before = math.inf, ""
    for ref in order:
        relevance = ours[ref]["relevance"].number
        if relevance > lowest + SWAP_TOLERANCE:
            yield f"{path}, order", f"{ref} before {before}", f"{before} before {ref}"
        if relevance < lowest:
            lowest, before = relevance, ref
