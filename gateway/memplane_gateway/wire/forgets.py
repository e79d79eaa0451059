"""Forgets: requests to domain values, receipts to replies."""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration

from memplane.v1 import forget_pb2 as pb
from memplane_adapters.contract import Address, Durability, Kind
from memplane_gateway.memory.questions import Forget, Forgotten
from memplane_gateway.wire.memories import write_ref
from memplane_gateway.wire.queries import read_selection, write_report
from memplane_gateway.wire.questions import question_hash
from memplane_gateway.wire.replies import DURABILITY_NUMBERS
from memplane_gateway.wire.violations import Violations

_LONGEST = 1000 * 366 * 86_400 * 1_000_000


def read_forget(message: pb.ForgetMemoriesRequest, violations: Violations) -> Forget:
    """What to forget: by one condition at least."""
    given = [
        name
        for name in ("older_than", "inactive_for", "importance_below")
        if message.HasField(name)
    ]
    if not given:
        violations.add(
            "older_than",
            "without older_than, inactive_for and importance_below nothing says what to forget; to "
            "delete by namespace and filter alone, purge",
        )
    below = message.importance_below if message.HasField("importance_below") else None
    if below is not None and not 0.0 < below <= 1.0:
        violations.add("importance_below", "is not above 0 and at most 1")
    if below is None and message.HasField("half_life"):
        violations.add("half_life", "needs importance_below")
    return Forget(
        read_selection(message, "", violations),
        question_hash("ForgetMemories", message, "page_token", "request_id", "min_durability"),
        _read_period(message, "older_than", violations),
        _read_period(message, "inactive_for", violations),
        below,
        _read_period(message, "half_life", violations),
        message.page_token,
    )


def write_forgotten(
    forgotten: Forgotten,
    kind: Kind,
    message: pb.ForgetMemoriesResponse,
    durability: Durability | None,
) -> None:
    """Set a reply to a receipt."""
    message.count = forgotten.count
    for each in forgotten.memories:
        item = message.memories.add()
        write_ref(Address("", kind, each.namespace, each.key), item.ref)
        if each.age is not None:
            item.age.FromMicroseconds(each.age)
        if each.inactive_for is not None:
            item.inactive_for.FromMicroseconds(each.inactive_for)
        if each.importance is not None:
            item.importance = each.importance
    message.next_page_token = forgotten.next_page_token
    message.replayed = forgotten.replayed
    if durability is not None:
        message.durability = DURABILITY_NUMBERS[durability]
    write_report(forgotten.filter, message.filter)


def _read_period(
    message: pb.ForgetMemoriesRequest, name: str, violations: Violations
) -> int | None:
    """Microseconds; None where it is absent."""
    if not message.HasField(name):  # type: ignore[arg-type]
        return None
    given: Duration = getattr(message, name)
    period = given.seconds * 1_000_000 + -(-given.nanos // 1000)
    if given.seconds < 0 or not 0 <= given.nanos < 10**9 or not 0 < period <= _LONGEST:
        violations.add(name, "is not above 0, longer than 1000 years, or malformed")
        return 1
    return period
