"""What cases say about themselves while they run: which capability they need, and what they compared.

Nobody listens in an ordinary run; a certification does (see `certifying`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

VECTORS: Final = "vectors"
KEY_VALUES: Final = "key-values"


@dataclass
class Notes:
    """What was said by one case."""

    needs: list[tuple[str, str]] = field(default_factory=list)
    """Capabilities without which the case has nothing to ask, each with its promise: VECTORS,
    KEY_VALUES, or "" for the one that the case is about."""
    deviation: float = 0.0
    """The largest difference between a score and the cosine in float64."""
    compared: int = 0
    """How many scores were compared."""


_current = Notes()


def begin() -> Notes:
    """Notes of a case that begins."""
    global _current  # noqa: PLW0603 (one case runs at a time)
    _current = Notes()
    return _current


_listeners: list[Callable[[str], None]] = []


def listen(listener: Callable[[str], None]) -> None:
    """Have somebody told of each prefix under which something will be made."""
    _listeners.append(listener)


def keeps(prefix: str) -> None:
    """Something will be made under this prefix."""
    for listener in _listeners:
        listener(prefix)


def needed(capability: str, promise: str = "") -> None:
    """The case goes on only where the store declares this capability."""
    _current.needs.append((capability, promise))


def compared(scores: Iterable[float | None], cosines: Iterable[float]) -> None:
    """These scores came for hits that have these cosines, reckoned in float64."""
    for score, cosine in zip(scores, cosines, strict=True):
        assert score is not None, "a hit of a vector search has a score"
        _current.compared += 1
        _current.deviation = max(_current.deviation, abs(score - float(cosine)))


class Why(StrEnum):
    """Why a skip says nothing against a store."""

    ABSENT = "declared absent"
    """The store says that it lacks what the case is about, and other cases hold it to that."""
    PRESENT = "declared"
    """The case is for stores that lack what this one has."""
    ELSEWHERE = "asked elsewhere"
    """The case runs with another promise, door or embedder."""


_WORDS: Final = {
    "KEYWORD search": "keyword",
    "HYBRID search": "hybrid",
    "VECTOR search": "vector",
    "vector search": "vector",
    "vectors": "vector",
    "exact search": "exact_search",
    "exact vector search": "exact_search",
    "exact search by itself": "exact_search",
    "keyword search": "keyword",
    "hybrid search": "hybrid",
    "atomic batches": "atomic",
    "room for memories without a vector": "vectorless",
    "room for the largest memories": "max_item_bytes",
    "room for so many values in attributes": "max_item_bytes",
    "memory of its own over a restart": "durability",
}
"""What the memory-level cases call a capability."""

_REASONS: Final = (
    (r"the (?:store|adapter) does not declare (?P<name>[\w, ]+)", Why.ABSENT),
    (r"the store declares (?P<name>\w+)(?: only: .*)?", Why.PRESENT),
    (r"the store declares a lower (?P<name>\w+)", Why.PRESENT),
    (r"the store keeps nothing over a restart", Why.ABSENT),
    (r"the store does not know how many rows it has", Why.ABSENT),
    (r"the store drops expired rows by itself", Why.PRESENT),
    (r"the store has every mode", Why.PRESENT),
    (r"the store has no limit .*", Why.PRESENT),
    (r"the store does not limit what is beside vectors", Why.PRESENT),
    (r"the store has no room for \w+ bytes beside a vector", Why.ABSENT),
    (r"the store has no (?:lack of atomic batches|rows that outlive their expiry)", Why.PRESENT),
    (r"the store keeps no (?P<name>points|key-values)", Why.ELSEWHERE),
    (r"the store makes one promise only", Why.ELSEWHERE),
    (r"the store has no (?:route without an embedder|embedder .*|need to wait; .*)", Why.ELSEWHERE),
    (r"one door will do", Why.ELSEWHERE),
    (r"health is a service of the gRPC server", Why.ELSEWHERE),
    (r"the gRPC server finds the method", Why.ELSEWHERE),
    (r"the cap is gRPC's", Why.ELSEWHERE),
    (r"the handlers belong to the gateway's own event loop", Why.ELSEWHERE),
)


def explained(reason: str) -> tuple[str, str] | None:
    """Why a case was skipped, and the capability that it is about, if one is; None for no good reason."""
    reason = reason.removeprefix("Skipped: ").strip()
    lacks = re.fullmatch(r"the store has no (.*)", reason)
    if lacks is not None and lacks[1] in _WORDS:
        return Why.ABSENT.value, _WORDS[lacks[1]]
    for pattern, why in _REASONS:
        found = re.fullmatch(pattern, reason)
        if found is not None:
            return why.value, found.groupdict().get("name") or ""
    return None


def capability_of(words: str) -> str:
    """The capability that the memory-level cases call so; "" for something else."""
    return _WORDS.get(words, "")
