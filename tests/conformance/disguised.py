"""The embedded store in disguise, as the cases about what other stores lack have it."""

from __future__ import annotations

from memplane_adapters.conformance.memories.fixtures import Arrange
from memplane_adapters.contract import Backend
from memplane_adapters.embedded.key_value_store import EmbeddedKeyValueStore
from memplane_adapters.embedded.vector_store import EmbeddedVectorStore
from memplane_gateway.config import Settings, StoreSettings


def embedded_parts(backend: Backend) -> tuple[EmbeddedVectorStore, EmbeddedKeyValueStore]:
    """Both promises of an embedded store."""
    assert isinstance(backend.vector, EmbeddedVectorStore)
    assert isinstance(backend.key_value, EmbeddedKeyValueStore)
    return backend.vector, backend.key_value


def beside_the_embedded_one(name: str, sort: type[StoreSettings]) -> Arrange:
    """Every kind on another file of that sort; the gateway's own state stays on the embedded store."""

    def arranged(given: Settings) -> Settings:
        made = given.stores["embedded"]
        settings = type(made.settings)(path=f"{name}.db")
        stores = {**given.stores, name: sort(adapter=made.adapter, settings=settings)}
        routes = given.routes
        there = {
            kind: getattr(routes, kind).model_copy(update={"store": name})
            for kind in type(routes).model_fields
        }
        return given.model_copy(
            update={"stores": stores, "routes": routes.model_copy(update=there)}
        )

    return arranged
