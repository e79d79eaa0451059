"""The enums of the contract as string enums, and their numbers on the wire.

Wherever a function takes one, the plain string does too: `kind="episodic"` is `Kind.EPISODIC`.
Those that only the gateway sends have a member UNKNOWN, for what a newer gateway may say.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, TypeVar

from memplane._errors import InvalidArgument
from memplane.v1 import (
    admin_service_pb2,
    capability_pb2,
    durability_pb2,
    filter_pb2,
    memory_pb2,
    memory_service_pb2,
    search_pb2,
    sweep_pb2,
)

if TYPE_CHECKING:
    from google.protobuf.internal.enum_type_wrapper import _EnumTypeWrapper


class Kind(StrEnum):
    """What sort of memory something is."""

    SEMANTIC = "semantic"
    """Facts, searched by meaning or words."""
    EPISODIC = "episodic"
    """Events in time: turns of a conversation, observations, actions."""
    PROCEDURAL = "procedural"
    """Key-values: instructions, settings, workflow state. Never searched by text or vector."""


class EpisodeType(StrEnum):
    """The sort of an event."""

    CONVERSATION = "conversation"
    OBSERVATION = "observation"
    ACTION = "action"
    CUSTOM = "custom"


class Mode(StrEnum):
    """How memories are found and ranked."""

    AUTO = "auto"
    """RECENT without a query, else what the route says. Never in a result."""
    VECTOR = "vector"
    """By the cosine of vectors."""
    KEYWORD = "keyword"
    """By words (BM25)."""
    HYBRID = "hybrid"
    """Both lists fused."""
    RECENT = "recent"
    """Newest first by event time, else by the last change. Takes no query."""
    UNKNOWN = "unknown"
    """Only in results: a mode that this version of the library does not know."""


class Order(StrEnum):
    """What a listing goes by; ties go by ref."""

    KEY = "key"
    """By namespace, label by label, then by key."""
    UPDATE_TIME = "update_time"
    EVENT_TIME = "event_time"
    """By event time, else by the last change."""


class Op(StrEnum):
    """An operator of a filter condition."""

    EQ = "eq"
    NE = "ne"
    GT = "gt"
    GTE = "gte"
    LT = "lt"
    LTE = "lte"
    IN = "in"
    NOT_IN = "not_in"
    CONTAINS = "contains"
    CONTAINS_ANY = "contains_any"
    CONTAINS_ALL = "contains_all"
    STARTS_WITH = "starts_with"
    EXISTS = "exists"
    IS_NULL = "is_null"


class Outcome(StrEnum):
    """What a write did to one memory."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    """It was there with the same content and expiry. Nothing was written."""
    DELETED = "deleted"
    MISSING = "missing"
    """It was not there to be deleted."""
    SPOOLED = "spooled"
    """The store is down and the write waits in the gateway's outbox: `get` by key shows it, a search
    or a listing does not yet."""
    UNKNOWN = "unknown"
    """The item has an error."""


class Durability(StrEnum):
    """What an acknowledged write survives, as reached and never as hoped for."""

    BUFFERED = "buffered"
    """Dies with the store's process."""
    PROCESS = "process"
    """Survives the death of the store's process, not a loss of power."""
    DISK = "disk"
    """Survives a loss of power of one node."""
    MANAGED = "managed"
    """Whatever the provider promises."""
    SPOOLED = "spooled"
    """Safe in the gateway's own outbox, not yet in the store."""
    UNKNOWN = "unknown"


class RouteState(StrEnum):
    """Whether a route serves."""

    SERVING = "serving"
    NOT_SERVING = "not_serving"
    UNKNOWN = "unknown"


class OutboxOperation(StrEnum):
    """What a write in the gateway's outbox does."""

    PUT = "put"
    """It writes a whole memory."""
    DELETE = "delete"
    UNKNOWN = "unknown"
    """Its entry is damaged."""


class SweepCause(StrEnum):
    """Why a sweep deletes a memory."""

    EXPIRED = "expired"
    MAX_AGE = "max_age"
    MAX_IDLE = "max_idle"
    MAX_ITEMS = "max_items"
    LEFTOVERS = "leftovers"
    """No memory: a point of a further text that a write left which was killed."""
    UNKNOWN = "unknown"
    """A cause of a newer gateway."""


class Pushdown(StrEnum):
    """How well a store evaluates an operator. Whatever it is, answers are exact."""

    EXACT = "exact"
    SUPERSET = "superset"
    NONE = "none"
    UNKNOWN = "unknown"


class ConditionalWrite(StrEnum):
    """How preconditions are kept under concurrency."""

    NATIVE = "native"
    COORDINATED = "coordinated"
    NONE = "none"
    UNKNOWN = "unknown"


class Health(StrEnum):
    """What the standard health service says of the gateway or of one of its services."""

    SERVING = "serving"
    NOT_SERVING = "not_serving"
    UNKNOWN = "unknown"


_WIRE: Final[dict[type[StrEnum], tuple[_EnumTypeWrapper[Any], str]]] = {
    Kind: (memory_pb2.Kind, "KIND_"),
    EpisodeType: (memory_pb2.EpisodeType, "EPISODE_TYPE_"),
    Mode: (search_pb2.SearchMode, "SEARCH_MODE_"),
    Order: (memory_service_pb2.ListOrder, "LIST_ORDER_"),
    Op: (filter_pb2.Op, "OP_"),
    Outcome: (memory_service_pb2.WriteOutcome, "WRITE_OUTCOME_"),
    Durability: (durability_pb2.Durability, "DURABILITY_"),
    RouteState: (admin_service_pb2.RouteState, "ROUTE_STATE_"),
    OutboxOperation: (admin_service_pb2.OutboxOperation, "OUTBOX_OPERATION_"),
    SweepCause: (sweep_pb2.SweepCause, "SWEEP_CAUSE_"),
    Pushdown: (capability_pb2.Pushdown, "PUSHDOWN_"),
    ConditionalWrite: (capability_pb2.ConditionalWrite, "CONDITIONAL_WRITE_"),
}

# By enum too: members of different enums are equal where their values are.
_NUMBERS: Final[dict[tuple[type[StrEnum], StrEnum], int]] = {
    (enum, member): wire.Value(prefix + member.name)
    for enum, (wire, prefix) in _WIRE.items()
    for member in enum
    if member.name != "UNKNOWN"
}

_MEMBERS: Final[dict[tuple[type[StrEnum], int], StrEnum]] = {
    (enum, number): member for (enum, member), number in _NUMBERS.items()
}

AnyEnum = TypeVar("AnyEnum", bound=StrEnum)


def coerce(enum: type[AnyEnum], given: AnyEnum | str, field: str) -> AnyEnum:
    """The member that a caller means by itself or by its value, in small letters or in capitals.

    Raises:
        InvalidArgument: It is none, or UNKNOWN, which only the gateway says.
    """
    try:
        member = given if isinstance(given, enum) else enum(given.lower())
    except (ValueError, AttributeError):
        member = None
    if member is None or member.name == "UNKNOWN":
        known = ", ".join(each.value for each in enum if each.name != "UNKNOWN")
        raise InvalidArgument.at(field, f"must be one of {known}, not {given!r}")
    return member


def to_wire(enum: type[AnyEnum], given: AnyEnum | str, field: str) -> Any:
    """The number of what a caller means. `Any`, because each generated enum is a type of its own."""
    return _NUMBERS[enum, coerce(enum, given, field)]


def from_wire(enum: type[AnyEnum], number: int) -> AnyEnum | None:
    """The member of a number, or None where this version of the library knows none."""
    member = _MEMBERS.get((enum, number))
    return member if isinstance(member, enum) else None
