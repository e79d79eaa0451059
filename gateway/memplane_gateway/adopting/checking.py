"""What a gateway would refuse of a mapped memory, by the gateway's own rules and before any is asked."""

from __future__ import annotations

from memplane.v1 import memory_service_pb2 as pb
from memplane_adapters.contract import Address, Kind
from memplane_gateway.adopting.rows import Mapped, RowProblem
from memplane_gateway.memory.model import Absent, Caller, Put
from memplane_gateway.wire.memories import read_put, write_episode, write_ref
from memplane_gateway.wire.values import write_value
from memplane_gateway.wire.violations import Violations

_TENANT = Caller().tenant
_AT = "row.memory."


def check(mapped: Mapped, kind: Kind) -> RowProblem | None:
    """The first rule that a memory breaks; None when a gateway would take it."""
    read = read_mapped(mapped, kind)
    return read if isinstance(read, RowProblem) else None


def read_mapped(mapped: Mapped, kind: Kind) -> Put | RowProblem:
    """The put that a gateway would take it as, or the first rule that it breaks."""
    try:
        message = _message(mapped, kind)
    except ValueError:  # half of a surrogate pair is no Unicode
        return RowProblem(mapped.row, "", "a string is no Unicode text")
    violations = Violations()
    put = read_put(message, _TENANT, "row", violations, minted="", replayable=False, now=0, index=0)
    if not violations.noted:
        return put
    first = violations.noted[0]
    setting = first.field.removeprefix(_AT).removeprefix("ref.").removeprefix("episode.")
    return RowProblem(mapped.row, setting, first.description)


def _message(mapped: Mapped, kind: Kind) -> pb.MemoryPut:
    message = pb.MemoryPut()
    memory = message.memory
    write_ref(Address(_TENANT, kind, mapped.namespace, mapped.key), memory.ref)
    memory.text = mapped.text
    for name, value in mapped.attributes.items():
        write_value(value, memory.attributes[name])
    if not isinstance(mapped.value, Absent):
        write_value(mapped.value, memory.value)
    if mapped.importance is not None:
        memory.importance = mapped.importance
    if mapped.episode is not None:
        write_episode(mapped.episode, memory.episode)
    if mapped.vector is not None:
        memory.vector = mapped.vector.astype("<f4", copy=False).tobytes()
    return message
