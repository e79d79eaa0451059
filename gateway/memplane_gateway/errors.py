"""How calls fail: a canonical code, a stable reason, a sentence that says what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from types import MappingProxyType

from memplane_adapters.contract import StoreError, StoreReason


class Code(IntEnum):
    """The canonical gRPC codes that the gateway uses."""

    CANCELLED = 1
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


class Reason(StrEnum):
    """The names of memplane.v1.ErrorReason, without its prefix."""

    INVALID_REQUEST = "INVALID_REQUEST"
    MALFORMED_MESSAGE = "MALFORMED_MESSAGE"
    PAGE_TOKEN_INVALID = "PAGE_TOKEN_INVALID"  # noqa: S105 (a name, no secret)
    DIMENSION_MISMATCH = "DIMENSION_MISMATCH"
    ITEM_TOO_LARGE = "ITEM_TOO_LARGE"
    MEMORY_NOT_FOUND = "MEMORY_NOT_FOUND"
    MEMORY_EXISTS = "MEMORY_EXISTS"
    ETAG_MISMATCH = "ETAG_MISMATCH"
    ETAG_ON_MISSING = "ETAG_ON_MISSING"
    WRITE_CONTENTION = "WRITE_CONTENTION"
    CAPABILITY_MISSING = "CAPABILITY_MISSING"
    EMBEDDER_MISSING = "EMBEDDER_MISSING"
    EMBEDDER_UNAVAILABLE = "EMBEDDER_UNAVAILABLE"
    IDENTITY_MISMATCH = "IDENTITY_MISMATCH"
    BACKEND_UNAVAILABLE = "BACKEND_UNAVAILABLE"
    BACKEND_PROTOCOL = "BACKEND_PROTOCOL"
    BACKEND_MISCONFIGURED = "BACKEND_MISCONFIGURED"
    BACKEND_EXHAUSTED = "BACKEND_EXHAUSTED"
    DATA_DAMAGED = "DATA_DAMAGED"
    DEADLINE_PASSED = "DEADLINE_PASSED"
    DURABILITY_UNAVAILABLE = "DURABILITY_UNAVAILABLE"
    SHUTTING_DOWN = "SHUTTING_DOWN"
    CANCELLED = "CANCELLED"
    GATEWAY_BUG = "GATEWAY_BUG"
    REPLY_TOO_LARGE = "REPLY_TOO_LARGE"
    REQUEST_ID_REUSED = "REQUEST_ID_REUSED"
    REQUEST_RUNNING = "REQUEST_RUNNING"
    ATOMIC_REFUSED = "ATOMIC_REFUSED"
    OUTBOX_FULL = "OUTBOX_FULL"
    SUPERSEDED = "SUPERSEDED"
    VECTOR_MISSING = "VECTOR_MISSING"


AMBIGUOUS: Mapping[str, str] = MappingProxyType({"ambiguous": "true"})
"""Metadata of a write that may have taken effect all the same."""

UNKNOWN_OUTCOME = frozenset({StoreReason.TIMEOUT, StoreReason.INTERRUPTED, StoreReason.PROTOCOL})
"""How a store fails when nobody knows whether it has written."""


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken rule of a request: the path of the field, and a sentence."""

    field: str
    description: str


class MemplaneError(Exception):
    """A call, or one item of it, failed. The message is for the caller and holds no secrets."""

    def __init__(
        self,
        code: Code,
        reason: Reason,
        message: str,
        *,
        metadata: Mapping[str, str] | None = None,
        violations: Sequence[Violation] = (),
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.metadata = dict(metadata or {})
        self.violations = tuple(violations)
        self.retry_after = retry_after


def invalid(
    violations: Sequence[Violation], reason: Reason = Reason.INVALID_REQUEST
) -> MemplaneError:
    """INVALID_ARGUMENT that names every violation at once."""
    shown = "; ".join(f"{v.field}: {v.description}" for v in violations[:3])
    more = f" (and {len(violations) - 3} more)" if len(violations) > 3 else ""
    return MemplaneError(
        Code.INVALID_ARGUMENT,
        reason,
        f"{shown}{more}",
        metadata={"violations": str(len(violations))},
        violations=violations,
    )


def unimplemented(capability: str, route: str, hint: str) -> MemplaneError:
    """UNIMPLEMENTED: the route's store lacks a capability."""
    return MemplaneError(
        Code.UNIMPLEMENTED,
        Reason.CAPABILITY_MISSING,
        f"the {route} route cannot do this ({capability}); {hint}",
        metadata={"capability": capability, "route": route},
    )


_BY_STORE_REASON: Mapping[StoreReason, tuple[Code, Reason, str]] = {
    StoreReason.UNAVAILABLE: (
        Code.UNAVAILABLE,
        Reason.BACKEND_UNAVAILABLE,
        "the store cannot be reached; nothing was written; try again later",
    ),
    StoreReason.INTERRUPTED: (
        Code.UNAVAILABLE,
        Reason.BACKEND_UNAVAILABLE,
        "the connection to the store broke before it answered",
    ),
    StoreReason.CLOSED: (
        Code.UNAVAILABLE,
        Reason.BACKEND_UNAVAILABLE,
        "the store is not open; try again later",
    ),
    StoreReason.TIMEOUT: (
        Code.DEADLINE_EXCEEDED,
        Reason.DEADLINE_PASSED,
        "the store did not answer in time",
    ),
    StoreReason.PROTOCOL: (
        Code.UNAVAILABLE,
        Reason.BACKEND_PROTOCOL,
        "the store gave an answer that cannot be right; the gateway's log says which",
    ),
    StoreReason.MISCONFIGURED: (
        Code.FAILED_PRECONDITION,
        Reason.BACKEND_MISCONFIGURED,
        "the store refuses the gateway or is set up wrongly; its operator must act",
    ),
    StoreReason.COLLECTION_MISSING: (
        Code.FAILED_PRECONDITION,
        Reason.BACKEND_MISCONFIGURED,
        "the store's collection has vanished; restore it, or point the route at another place",
    ),
    StoreReason.EXHAUSTED: (
        Code.RESOURCE_EXHAUSTED,
        Reason.BACKEND_EXHAUSTED,
        "the store has no room or quota left",
    ),
    StoreReason.DAMAGED: (
        Code.DATA_LOSS,
        Reason.DATA_DAMAGED,
        "what is stored cannot be read; restore a backup",
    ),
    StoreReason.IDENTITY_MISMATCH: (
        Code.FAILED_PRECONDITION,
        Reason.IDENTITY_MISMATCH,
        (
            "the store holds what another embedder or text analysis made; configure that one, "
            "or point the route at an empty store"
        ),
    ),
    StoreReason.ITEM_TOO_LARGE: (
        Code.INVALID_ARGUMENT,
        Reason.ITEM_TOO_LARGE,
        "the memory is larger than its store takes",
    ),
    StoreReason.UNSUPPORTED: (
        Code.UNIMPLEMENTED,
        Reason.CAPABILITY_MISSING,
        "the store cannot do this",
    ),
}


def is_ambiguous(error: StoreError | MemplaneError) -> bool:
    """Whether a write that failed so may have taken effect all the same."""
    return AMBIGUOUS.items() <= error.metadata.items()


_OUTAGES = frozenset(
    {StoreReason.UNAVAILABLE, StoreReason.INTERRUPTED, StoreReason.TIMEOUT, StoreReason.CLOSED}
)


def is_outage(error: StoreError | MemplaneError | None) -> bool:
    """Whether a store fails because it is down, and not because of what was asked of it."""
    if isinstance(error, StoreError):
        return error.reason in _OUTAGES
    return error is not None and error.reason in (
        Reason.BACKEND_UNAVAILABLE,
        Reason.DEADLINE_PASSED,
    )


def from_store(error: StoreError, route: str) -> MemplaneError:
    """What a caller hears of a store's failure. The vendor's own text stays in the log."""
    code, reason, message = _BY_STORE_REASON[error.reason]
    if why := error.metadata.get("why"):
        message = f"{message}: {why}"
    if is_ambiguous(error):
        message = f"{message}; the write may have taken effect"
    return MemplaneError(
        code,
        reason,
        f"{route}: {message}",
        metadata={"route": route, **error.metadata},
        retry_after=error.retry_after if error.retryable else None,
    )
