"""The memory-level cases on stores that evaluate filters badly or not at all: answers stay the same.

Each is the embedded store with another declaration: one evaluates no filter (and has neither KEYWORD
nor exact search), one evaluates some operators loosely and indeed answers too much.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from tests.conformance.disguised import embedded_parts

from memplane_adapters.conformance.memories.doors import IN_PROCESS
from memplane_adapters.conformance.memories.fixtures import (
    Arrange,
    abilities,
    another,
    client,
    door,
    sample,
    space,
)
from memplane_adapters.contract import (
    All,
    AnyOf,
    Backend,
    Condition,
    Count,
    Filter,
    Negation,
    Op,
    Page,
    Pushdown,
    Query,
    QueryResult,
    Scan,
    Scope,
    conditions,
)
from memplane_adapters.embedded.key_value_store import CAPABILITIES as KEY_VALUE
from memplane_adapters.embedded.key_value_store import EmbeddedKeyValueStore
from memplane_adapters.embedded.vector_store import CAPABILITIES as VECTOR
from memplane_adapters.embedded.vector_store import EmbeddedVectorStore
from memplane_gateway.config import Settings, StoreSettings

__all__ = ["abilities", "another", "client", "door", "sample", "space"]

LOOSE: Mapping[Op, Pushdown] = {
    **dict.fromkeys((Op.IN, Op.CONTAINS_ANY, Op.EXISTS, Op.IS_NULL), Pushdown.EXACT),
    **dict.fromkeys((Op.EQ, Op.GT, Op.GTE, Op.LT, Op.LTE), Pushdown.SUPERSET),
    **dict.fromkeys((Op.CONTAINS, Op.STARTS_WITH), Pushdown.SUPERSET),
}
"""NE, NOT_IN and CONTAINS_ALL are not evaluated at all."""

loosened: list[Filter] = []
"""The filters that a loose store was given and answered too much for."""


class NoFiltersVectorStore(EmbeddedVectorStore):
    """Evaluates no filter, and only what every vector store can."""

    capabilities = replace(VECTOR, filters={}, keyword=False, exact_search=False)


class NoFiltersKeyValueStore(EmbeddedKeyValueStore):
    """Evaluates no filter."""

    capabilities = replace(KEY_VALUE, filters={})


class LooseVectorStore(EmbeddedVectorStore):
    """Answers too much."""

    capabilities = replace(VECTOR, filters=LOOSE)

    async def scan(self, scan: Scan) -> Page:
        return await super().scan(replace(scan, filter=_loose(scan.filter)))

    async def query(self, query: Query) -> QueryResult:
        return await super().query(replace(query, filter=_loose(query.filter)))

    async def count(self, scope: Scope, filter: Filter | None = None) -> Count:
        return await super().count(scope, _loose(filter))


class LooseKeyValueStore(EmbeddedKeyValueStore):
    """Answers too much."""

    capabilities = replace(KEY_VALUE, filters=LOOSE)

    async def scan(self, scan: Scan) -> Page:
        return await super().scan(replace(scan, filter=_loose(scan.filter)))

    async def count(self, scope: Scope, filter: Filter | None = None) -> Count:
        return await super().count(scope, _loose(filter))


def _loose(tree: Filter | None) -> Filter | None:
    """The tree, met by everything that has the attribute where an operator is SUPERSET."""
    if tree is None:
        return None
    for condition in conditions(tree):
        assert condition.op in LOOSE, f"{condition.op} is not declared"
    made = _loosened(tree)
    if made != tree:
        loosened.append(tree)
    return made


def _loosened(tree: Filter) -> Filter:
    if isinstance(tree, Condition):
        if LOOSE[tree.op] is Pushdown.EXACT:
            return tree
        return AnyOf((tree, Condition(tree.path[:1], Op.EXISTS, True)))
    if isinstance(tree, Negation):
        for condition in conditions(tree.part):
            assert LOOSE[condition.op] is Pushdown.EXACT, "this negation would lose rows"
        return tree
    parts = tuple(_loosened(part) for part in tree.parts)
    return All(parts) if isinstance(tree, All) else AnyOf(parts)


class NoFilters(StoreSettings):
    """The embedded store that evaluates no filter."""

    def connect(self, data_dir: Path) -> Backend:
        vector, key_value = embedded_parts(super().connect(data_dir))
        return Backend(
            NoFiltersVectorStore(vector._database), NoFiltersKeyValueStore(key_value._database)
        )


class Loose(StoreSettings):
    """The embedded store that answers too much."""

    def connect(self, data_dir: Path) -> Backend:
        vector, key_value = embedded_parts(super().connect(data_dir))
        return Backend(LooseVectorStore(vector._database), LooseKeyValueStore(key_value._database))


def arrangement(store: type[StoreSettings], **settings: object) -> Arrange:
    """Settings with another sort of store in place of the embedded one."""

    def arranged(given: Settings) -> Settings:
        if {each.adapter for each in given.stores.values()} != {"embedded"}:
            pytest.skip("another store is configured; these cases change the embedded one")
        stores = {
            name: store(adapter=each.adapter, settings=each.settings)
            for name, each in given.stores.items()
        }
        return given.model_copy(update={"stores": stores, **settings})

    return arranged


@pytest.fixture(scope="session", params=[NoFilters, Loose], ids=["no-pushdown", "superset"])
def arrange(request: pytest.FixtureRequest) -> Callable[[Settings], Settings]:
    """What stores are put in place of the embedded one."""
    return arrangement(request.param)


@pytest.fixture(scope="session")
def no_filters() -> Arrange:
    """No filter is pushed down, and the gateway looks at 100 rows at most."""
    return arrangement(NoFilters, scan_budget=100)


@pytest.fixture(scope="session")
def door_name() -> str:
    """One door is enough: the residual is behind both."""
    return IN_PROCESS
