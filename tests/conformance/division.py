"""Which of the memory-level cases a run leaves out, since they would only come again.

A thorough run (MEMPLANE_TEST_THOROUGH=1) has every case on every store that keeps its kind.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping

from tests.thorough import THOROUGH

from memplane import Kind
from memplane_adapters.conformance.local_stores import Choice, at_hand
from memplane_adapters.conformance.memories.doors import GRPC

STORES = [choice for choice in at_hand() if choice.store is not None and choice.store.kept]


KEY_VALUES = [store for store in STORES if Kind.SEMANTIC not in map(str, store.kinds)]
_SEARCHES = (
    "test_consolidating.py",
    "test_hybrid.py",
    "test_indexed_texts.py",
    "test_likeness.py",
    "test_text_search.py",
    "test_vector_search.py",
    "test_weights.py",
)
_MIDDLE = (
    "test_forgetting.py",
    "test_ingesting.py",
    "test_namespace_lists.py",
    "test_purging.py",
    "test_scanning.py",
    "test_renewals.py",
    "test_search_pages.py",
    "test_statistics.py",
    "test_sweeps.py",
)
"""What the middle makes of a store's answers: as in _SEARCHES, a door adds little."""


def comes_again(file: str, case: str, parameters: str, params: Mapping[str, object]) -> bool:
    """A thorough run has every case through both doors on every store, others have one door a case."""
    store = params.get("arrange")
    kind, over_grpc = params.get("kind"), params.get("door_name") == GRPC
    if not isinstance(store, Choice) or store is STORES[0]:
        if file == "test_filters.py" and over_grpc and not THOROUGH:
            return kind is not Kind.SEMANTIC  # what splits and checks filters is behind both doors
        if file in (*_SEARCHES, *_MIDDLE) and "door_name" in params and not THOROUGH:
            return over_grpc is bool(_number(case) % 2) and kind is not Kind.PROCEDURAL
        # The two kinds that are searched differ in little.
        return kind is Kind.EPISODIC and not over_grpc and not THOROUGH
    kept = {str(each) for each in store.kinds}
    if isinstance(kind, Kind) and kind not in kept:  # which stays on the first store
        return True
    if Kind.SEMANTIC not in kept and file in _SEARCHES:
        return True
    # Through both doors, with a kind each; the first store has every pair.
    if kind is (Kind.SEMANTIC if over_grpc else Kind.EPISODIC):
        return True
    if THOROUGH or "door_name" not in params:
        return False
    if file == "test_input.py":  # nothing of it gets to a store
        return True
    if file == "test_filters.py":  # as above
        return over_grpc or (store in KEY_VALUES and store is not KEY_VALUES[0])
    if case.startswith("test_field_37_2500_rows"):  # some of the six orders a store
        return zlib.crc32(f"{case}[{parameters}]".encode()) % 3 > 0
    name = _number(case)
    # Stores of key-values alone differ behind what their adapters are held to: they share the cases.
    elsewhere = store in KEY_VALUES and KEY_VALUES[name // 2 % len(KEY_VALUES)] is not store
    return elsewhere or over_grpc is bool(name % 2)


def _number(case: str) -> int:
    """A number that stays a case's own."""
    return zlib.crc32(case.encode())
