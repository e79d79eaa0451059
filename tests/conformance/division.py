"""Which of the memory-level cases runs where, within `make test`.

- What depends on the store runs on every store: filters, order, values, preconditions, paging, races,
  reach, limits, searches, and whatever stands in docs/reliability.md by a number of the field.
- What the gateway makes of a store's answers (_MIDDLE) runs on the first store, which is in process,
  and on one store for each sort of kind that is behind a server (_SECOND).
- What gets to no store (_BEFORE_STORES, _REFUSED_BEFORE) runs on the first.
- The first store has the cases that are about the wire (_BOTH_DOORS) through both doors. All others go
  through one, over gRPC those in _OVER_GRPC, so that every store is asked through each.
- SEMANTIC and EPISODIC differ in little: in process it is the one, over gRPC the other, where a case
  takes both.

- Walks in an order go in both directions on the first store and in one on the others, which their
  own suites send in both.

A thorough run (MEMPLANE_TEST_THOROUGH=1), like `memplane certify`, has every case on every store, for
every kind that it keeps and through both doors.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet

from tests.thorough import THOROUGH

from memplane import Kind, Order
from memplane_adapters.conformance.local_stores import Choice, at_hand
from memplane_adapters.conformance.memories.doors import GRPC

STORES = [choice for choice in at_hand() if choice.store is not None and choice.store.kept]

_SECOND = ("postgres", "qdrant", "chroma")
"""The first of these that keeps a kind stands for all stores behind a server."""

_BEFORE_STORES = {"test_input.py"}

_REFUSED_BEFORE = {
    "test_a_bad_attribute_name_is_refused",
    "test_a_bad_expiry_is_refused",
    "test_a_bad_filter_is_refused_by_every_read",
    "test_a_bad_name_is_refused_as_label_and_as_key",
    "test_a_precondition_that_says_nothing_is_refused",
    "test_an_empty_question_is_refused",
    "test_an_importance_is_between_0_and_1",
    "test_bytes_that_are_no_numbers_are_refused",
    "test_garbage_is_no_token",
    "test_what_is_no_value_is_refused_everywhere",
}
"""Cases in files that come to every store."""

_MIDDLE = {
    "test_admin.py",
    "test_batches.py",
    "test_consolidating.py",
    "test_forgetting.py",
    "test_hybrid.py",
    "test_ingesting.py",
    "test_likeness.py",
    "test_namespace_lists.py",
    "test_outages.py",
    "test_renewals.py",
    "test_request_ids.py",
    "test_scanning.py",
    "test_search_pages.py",
    "test_statistics.py",
    "test_sweeps.py",
    "test_weights.py",
}

_SEARCHED = {
    "test_consolidating.py",
    "test_hybrid.py",
    "test_indexed_texts.py",
    "test_likeness.py",
    "test_limits.py",
    "test_text_search.py",
    "test_vector_search.py",
    "test_weights.py",
}
"""About SEMANTIC, EPISODIC or both: not for stores of key-values alone."""

_BOTH_DOORS = {
    "test_admin.py",
    "test_atomic.py",
    "test_batches.py",
    "test_expiry.py",
    "test_ingesting.py",
    "test_input.py",
    "test_keys.py",
    "test_limits.py",
    "test_namespaces.py",
    "test_outages.py",
    "test_paging.py",
    "test_preconditions.py",
    "test_races.py",
    "test_request_ids.py",
    "test_scanning.py",
    "test_sizes.py",
    "test_updates.py",
    "test_values.py",
    "test_writes.py",
}

_OVER_GRPC = {
    "test_atomic.py",
    "test_batches.py",
    "test_consolidating.py",
    "test_expiry.py",
    "test_filter_truth.py",
    "test_forgetting.py",
    "test_indexed_texts.py",
    "test_ingesting.py",
    "test_listing.py",
    "test_namespace_lists.py",
    "test_purging.py",
    "test_races.py",
    "test_reach.py",
    "test_renewals.py",
    "test_scanning.py",
    "test_statistics.py",
    "test_sweeps.py",
    "test_text_search.py",
    "test_values.py",
    "test_weights.py",
    "test_writes.py",
}


def comes_again(
    file: str, case: str, params: Mapping[str, object], kinds: AbstractSet[Kind]
) -> bool:
    """Whether a case is left out with these parameters, `kinds` being all that it takes."""
    store, kind = params.get("arrange"), params.get("kind")
    if not isinstance(store, Choice):  # one of the stores that are the embedded one, made worse
        return not THOROUGH and _is_like_another(kind, kinds, over_grpc=False)
    if store is not STORES[0] and not _is_for(store, file, kind):
        return True
    if THOROUGH:
        return False
    if store is not STORES[0] and not _is_asked(store, file, case, params):
        return True
    door = params.get("door_name")
    if door is None:
        return _is_like_another(kind, kinds, over_grpc=False)
    both = store is STORES[0] and file in _BOTH_DOORS
    over_grpc = door == GRPC
    if not both and over_grpc is not (file in _OVER_GRPC):
        return True
    return _is_like_another(kind, kinds, over_grpc=over_grpc)


def _is_for(store: Choice, file: str, kind: object) -> bool:
    """Whether the case comes to a store that is not the first: its kind may stay on the first."""
    kept = set(map(str, store.kinds))
    if Kind.SEMANTIC not in kept and file in _SEARCHED:
        return False
    return not isinstance(kind, Kind) or str(kind) in kept


def _is_asked(store: Choice, file: str, case: str, params: Mapping[str, object]) -> bool:
    kind, order = params.get("kind"), params.get("order")
    if file in _BEFORE_STORES or case in _REFUSED_BEFORE:
        return False
    if order is not None and params.get("descending") is not _descends(order, kind):
        return False
    if file not in _MIDDLE or case.startswith("test_field_"):
        return True
    sorts = {kind} if isinstance(kind, Kind) else set(Kind)
    return any(_second(each) is store for each in sorts)


def _descends(order: object, kind: object) -> bool:
    """In which direction stores beside the first are walked, in each order."""
    return (order is Order.KEY) is (kind is Kind.PROCEDURAL)


def _second(kind: Kind) -> Choice | None:
    keeping = {each.name: each for each in STORES[1:] if str(kind) in map(str, each.kinds)}
    return next((keeping[name] for name in _SECOND if name in keeping), None)


def _is_like_another(kind: object, kinds: AbstractSet[Kind], *, over_grpc: bool) -> bool:
    if not {Kind.SEMANTIC, Kind.EPISODIC} <= kinds:
        return False
    return kind is (Kind.SEMANTIC if over_grpc else Kind.EPISODIC)
