"""Consolidations: requests to domain values, receipts to replies."""

from __future__ import annotations

from memplane.v1 import consolidate_pb2 as pb
from memplane_adapters.contract import Address, Durability, Kind
from memplane_gateway.memory.questions import Consolidate, Consolidated
from memplane_gateway.wire.memories import write_ref
from memplane_gateway.wire.queries import read_selection
from memplane_gateway.wire.questions import question_hash
from memplane_gateway.wire.replies import DURABILITY_NUMBERS
from memplane_gateway.wire.violations import Violations

DEFAULT_SIMILARITY = 0.95
LEAST_SIMILARITY = 0.5


def read_consolidate(message: pb.ConsolidateMemoriesRequest, violations: Violations) -> Consolidate:
    """What to merge."""
    similarity = DEFAULT_SIMILARITY
    if message.HasField("min_similarity"):
        similarity = message.min_similarity
        if not LEAST_SIMILARITY <= similarity <= 1.0:
            violations.add("min_similarity", "is not between 0.5 and 1")
    binding = question_hash(
        "ConsolidateMemories", message, "page_token", "request_id", "min_durability"
    )
    selection = read_selection(message, "", violations)
    return Consolidate(selection, binding, similarity, message.page_token)


def write_consolidated(
    done: Consolidated,
    kind: Kind,
    message: pb.ConsolidateMemoriesResponse,
    durability: Durability | None,
) -> None:
    """Set a reply to a receipt."""
    for group in done.groups:
        item = message.groups.add(merged_count=group.merged_count)
        write_ref(Address("", kind, group.namespace, group.kept), item.kept)
        for key, similarity in group.merged:
            merged = item.merged.add(similarity=similarity)
            write_ref(Address("", kind, group.namespace, key), merged.ref)
    message.merged_count = done.merged_count
    message.conflicts = done.conflicts
    message.compared = done.compared
    message.next_page_token = done.next_page_token
    message.replayed = done.replayed
    if durability is not None:
        message.durability = DURABILITY_NUMBERS[durability]
