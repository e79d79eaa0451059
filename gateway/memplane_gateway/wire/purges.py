"""Purges: requests to domain values, receipts to replies."""

from __future__ import annotations

from memplane.v1 import purge_pb2 as pb
from memplane_adapters.contract import Durability
from memplane_gateway.memory.questions import Purge, Purged
from memplane_gateway.wire.queries import read_selection, write_report
from memplane_gateway.wire.questions import question_hash
from memplane_gateway.wire.replies import DURABILITY_NUMBERS
from memplane_gateway.wire.violations import Violations


def read_purge(message: pb.PurgeMemoriesRequest, violations: Violations) -> Purge:
    """What to delete; all of a tenant's memories of a kind only where that is confirmed."""
    selection = read_selection(message, "", violations)
    restricted = selection.namespace or selection.filter is not None
    if not (restricted or message.confirm_all or message.dry_run):
        violations.add(
            "confirm_all",
            f"without a namespace and a filter this deletes every {selection.kind.name} memory; "
            "set it if that is meant",
        )
    binding = question_hash("PurgeMemories", message, "page_token", "request_id", "min_durability")
    return Purge(selection, binding, message.page_token)


def write_purged(
    purged: Purged, message: pb.PurgeMemoriesResponse, durability: Durability | None
) -> None:
    """Set a reply to a receipt."""
    message.count = purged.count
    message.next_page_token = purged.next_page_token
    message.replayed = purged.replayed
    if durability is not None:
        message.durability = DURABILITY_NUMBERS[durability]
    write_report(purged.filter, message.filter)
