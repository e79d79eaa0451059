"""Collections: one for each kind and embedding identity, which stands in its description.

Weaviate's names are letters, digits and "_", and begin with a capital letter: "memplane-semantic-01"
is called Memplane_semantic_01.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote

from memplane_adapters.contract import Collection, FieldType, StoreError, StoreReason
from memplane_adapters.kit import collections as kit
from memplane_adapters.kit import typed
from memplane_adapters.kit.batches import parts
from memplane_adapters.kit.errors import CollectionExistsError
from memplane_adapters.weaviate import rows
from memplane_adapters.weaviate.client import Client
from memplane_adapters.weaviate.errors import NoTenantError
from memplane_adapters.weaviate.settings import WeaviateSettings
from memplane_adapters.weaviate.stubs import aggregate_pb2

_LAYOUT: Final = 1
_LAYOUT_KEY: Final = "memplane_layout"
"""What tells our collections from those of others."""
_TENANT: Final = re.compile(r"[a-z0-9_-]{1,64}")
_HASHED: Final = "hashed-"
_AT_ONCE: Final = 16
_EVERYWHERE: Final[Mapping[tuple[str, ...], FieldType]] = {
    ("@create_time",): FieldType.TIME,
    ("@update_time",): FieldType.TIME,
    ("@event_time",): FieldType.TIME,
    ("@importance",): FieldType.NUMBER,
}
"""What every row has a number or an instant of: these have a property of their own."""
_SORTS: Final = {FieldType.NUMBER: "number", FieldType.TIME: "instant"}
_IDENTIFIER: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")


@dataclass(frozen=True, slots=True)
class Place(kit.Place):
    """Where the rows of a kind are."""

    called: str
    """Weaviate's name for it."""
    exact: bool
    """Whether a search looks at every vector of what it is about."""
    ranges: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """The properties that hold the numbers and instants of one path, by sort and path name."""


class Collections(kit.Collections[Place]):
    """The collections of one prefix."""

    def __init__(self, client: Client, settings: WeaviateSettings) -> None:
        super().__init__(settings.prefix)
        self._client = client
        self._settings = settings

    async def _names(self) -> Iterable[str]:
        answer = await self._client.rest("GET", "/schema")
        classes = rows.read(lambda: [str(each["class"]) for each in answer["classes"] or ()])
        return [_our_name(name) for name in classes]

    async def _named(self, name: str) -> Place:
        answer = await self._client.rest("GET", f"/schema/{quote(_their_name(name))}")
        return rows.read(lambda: _place(answer))

    async def _holds_rows(self, place: Place) -> bool:
        for part in parts(await self._client.tenants(place.called), _AT_ONCE):
            numbers = await asyncio.gather(*(self._rows_of(place, tenant) for tenant in part))
            if any(numbers):
                return True
        return False

    async def number(self, place: Place) -> int:
        """The rows of all tenants."""
        total = 0
        for part in parts(await self._client.tenants(place.called), _AT_ONCE):
            total += sum(await asyncio.gather(*(self._rows_of(place, tenant) for tenant in part)))
        return total

    async def _rows_of(self, place: Place, tenant: str) -> int:
        request = aggregate_pb2.AggregateRequest(
            collection=place.called, tenant=tenant, objects_count=True
        )
        try:
            answer = await self._client.aggregate(request)
        except NoTenantError:  # it has been removed meanwhile
            return 0
        return int(answer.single_result.objects_count)

    async def of_prefix(self) -> list[str]:
        """The names of those of this prefix, of all kinds and identities."""
        return kit.names_of_prefix(self._settings.prefix, await self._names())

    async def drop(self, name: str) -> None:
        """Remove one with all of its rows."""
        await self._client.rest("DELETE", f"/schema/{quote(_their_name(name))}")

    async def _create(self, name: str, collection: Collection) -> Place:
        with contextlib.suppress(CollectionExistsError):
            await self._client.rest(
                "POST", "/schema", _schema(_their_name(name), collection, self._settings)
            )
        return await self._named(name)


def tenant_name(tenant: str) -> str:
    """Weaviate's name of a tenant: the same where it can be, otherwise a digest."""
    if _TENANT.fullmatch(tenant) and not tenant.startswith(_HASHED):
        return tenant
    return _HASHED + hashlib.blake2b(tenant.encode(), digest_size=20).hexdigest()


def _their_name(name: str) -> str:
    renamed = name.replace("-", "_")
    return renamed[:1].upper() + renamed[1:]


def _our_name(name: str) -> str:
    return (name[:1].lower() + name[1:]).replace("_", "-")


def _schema(name: str, collection: Collection, settings: WeaviateSettings) -> dict[str, object]:
    """What makes a collection."""
    index: dict[str, object] = {"distance": "dot"}  # of vectors of length 1: the cosine
    if settings.index == "hnsw":
        index["ef"] = settings.ef
    own = _own_properties(collection)
    description = {
        _LAYOUT_KEY: _LAYOUT,
        "identity": kit.identity(collection),
        "dimension": collection.embedding.dimension,
        "ranges": {called: list(what) for what, called in own.items()},
    }
    return {
        "class": name,
        "description": json.dumps(description, ensure_ascii=False),
        "multiTenancyConfig": {
            "enabled": True,
            "autoTenantCreation": True,
            "autoTenantActivation": True,
        },
        "vectorConfig": {
            rows.VECTOR: {
                "vectorizer": {"none": {}},
                "vectorIndexType": settings.index,
                "vectorIndexConfig": index,
            }
        },
        "invertedIndexConfig": {"stopwords": {"preset": "none"}, "bm25": {"k1": 1.2, "b": 0.75}},
        "properties": [*rows.PROPERTIES, *(rows.ranged(called) for called in own.values())],
    }


def _own_properties(collection: Collection) -> dict[tuple[str, str], str]:
    """The properties of single paths, by sort and path name.

    Only a new collection gets them: of a property that is added later the rows before have nothing.
    Strings and booleans are found by their tokens as fast as by a property of their own.
    """
    found: dict[tuple[str, str], str] = {}
    for path, kept in {**_EVERYWHERE, **collection.index}.items():
        if kept in _SORTS:
            sort, path_name = _SORTS[kept], typed.path_name(path)
            found[sort, path_name] = f"{sort}_{_identifier(path_name)}"
    return found


def _identifier(path_name: str) -> str:
    """A part of a property's name; no two paths share one."""
    if _IDENTIFIER.fullmatch(path_name) and not path_name.startswith("x_"):
        return path_name
    plain = re.sub(r"[^a-z0-9_]", "", path_name.lower())[:40]
    digest = hashlib.blake2b(path_name.encode(), digest_size=8).hexdigest()
    return f"x_{plain}_{digest}"


def _place(schema: Any) -> Place:
    """What Weaviate says of a collection."""
    called = str(schema["class"])
    try:
        said = json.loads(schema.get("description") or "{}")
    except ValueError:
        said = {}
    layout = said.get(_LAYOUT_KEY) if isinstance(said, dict) else None
    if layout != _LAYOUT:
        raise StoreError(
            StoreReason.MISCONFIGURED,
            f"Weaviate's collection {called} has the layout {layout}, not {_LAYOUT}: it was not "
            "made by this version",
        )
    ranges = {(str(sort), str(path)): str(own) for own, (sort, path) in said["ranges"].items()}
    return Place(
        name=_our_name(called),
        called=called,
        identity=str(said["identity"]),
        dimension=int(said["dimension"]),
        exact=schema["vectorConfig"][rows.VECTOR]["vectorIndexType"] == "flat",
        ranges=ranges,
    )
