"""What became of writes, errors and capabilities: domain values to messages."""

from __future__ import annotations

from memplane.v1 import (
    capability_pb2,
    durability_pb2,
    error_reason_pb2,
)
from memplane.v1 import (
    memory_service_pb2 as svc,
)
from memplane_adapters.contract import (
    Capabilities,
    ConditionalWrite,
    Durability,
    Op,
    Pushdown,
)
from memplane_gateway.errors import MemplaneError, Reason
from memplane_gateway.memory.model import Outcome, Trace, Written
from memplane_gateway.wire.filters import OPS
from memplane_gateway.wire.memories import write_ref
from memplane_gateway.wire.values import write_time

OUTCOMES: dict[Outcome, svc.WriteOutcome.ValueType] = {
    Outcome.CREATED: svc.WRITE_OUTCOME_CREATED,
    Outcome.UPDATED: svc.WRITE_OUTCOME_UPDATED,
    Outcome.UNCHANGED: svc.WRITE_OUTCOME_UNCHANGED,
    Outcome.DELETED: svc.WRITE_OUTCOME_DELETED,
    Outcome.MISSING: svc.WRITE_OUTCOME_MISSING,
    Outcome.SPOOLED: svc.WRITE_OUTCOME_SPOOLED,
}
DURABILITY_NUMBERS: dict[Durability, durability_pb2.Durability.ValueType] = {
    level: durability_pb2.Durability.Value(f"DURABILITY_{level.name}") for level in Durability
}
_OP_NUMBERS = {op: number for number, op in OPS.items()}


def reason_number(reason: Reason) -> error_reason_pb2.ErrorReason.ValueType:
    """The enum number of a reason."""
    return error_reason_pb2.ErrorReason.Value(f"ERROR_REASON_{reason.value}")


def write_written(
    written: Written, message: svc.WriteResult, durability: Durability | None, *, visible: bool
) -> None:
    """Set a result to what became of one item."""
    write_ref(written.address, message.ref)
    if written.error is not None:
        write_item_error(written.error, message.error)
        return
    assert written.outcome is not None
    message.outcome = OUTCOMES[written.outcome]
    spooled = written.spooled or written.outcome is Outcome.SPOOLED
    message.visible = visible and not spooled
    if spooled:
        durability = Durability.SPOOLED
    if durability is not None:
        message.durability = DURABILITY_NUMBERS[durability]
    message.replicas_acked = written.replicas
    message.replayed = written.replayed
    if written.trace is not None:
        _write_trace(written.trace, message)
    memory = written.memory
    if memory is None:
        return
    message.etag = memory.etag
    message.revision = memory.record.revision
    write_time(memory.record.create_time, message.create_time)
    write_time(memory.record.update_time, message.update_time)
    if memory.record.expire_time is not None:
        write_time(memory.record.expire_time, message.expire_time)
    message.searchable = memory.searchable


def _write_trace(trace: Trace, message: svc.WriteResult) -> None:
    message.etag = trace.etag
    message.revision = trace.revision
    if trace.create_time is not None:
        write_time(trace.create_time, message.create_time)
    message.searchable = trace.searchable


def write_item_error(error: MemplaneError, message: svc.ItemError) -> None:
    """Set an item's error."""
    message.code = int(error.code)
    message.reason = reason_number(error.reason)
    message.message = error.message
    message.metadata.update(error.metadata)


def write_capabilities(capabilities: Capabilities, message: capability_pb2.Capabilities) -> None:
    """Set a message to what a store can do."""
    for op in Op:
        message.filters.add(
            op=_OP_NUMBERS[op],
            pushdown=_PUSHDOWNS[capabilities.pushdown(op)],
        )
    message.conditional_write = _CONDITIONAL_WRITES[capabilities.conditional_write]
    for name in (
        "ordered_scan", "vector", "keyword", "hybrid", "exact_search", "approximate", "expiry",
        "exact_count", "read_your_writes", "vectorless", "atomic", "isolation",
        "max_batch_items", "max_batch_bytes", "max_item_bytes", "max_dimension",
        "max_metadata_bytes",
    ):  # fmt: skip
        setattr(message, name, getattr(capabilities, name))
    message.durability.extend(DURABILITY_NUMBERS[level] for level in capabilities.durability)


_PUSHDOWNS = {
    Pushdown.EXACT: capability_pb2.PUSHDOWN_EXACT,
    Pushdown.SUPERSET: capability_pb2.PUSHDOWN_SUPERSET,
    Pushdown.NONE: capability_pb2.PUSHDOWN_NONE,
}
_CONDITIONAL_WRITES = {
    ConditionalWrite.NATIVE: capability_pb2.CONDITIONAL_WRITE_NATIVE,
    ConditionalWrite.COORDINATED: capability_pb2.CONDITIONAL_WRITE_COORDINATED,
    ConditionalWrite.NONE: capability_pb2.CONDITIONAL_WRITE_NONE,
}
