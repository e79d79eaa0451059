"""Trying out, for `memplane doctor`: a store and what it holds, an embedder with one text."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass

from memplane_adapters.contract import (
    Backend,
    Collection,
    Kind,
    Store,
    StoreError,
    StoreReason,
    VectorStore,
    reached_of,
)
from memplane_gateway.analysis import Analyzer
from memplane_gateway.config.adopted import AdoptedSettings
from memplane_gateway.config.models import Settings
from memplane_gateway.config.problems import without_passwords
from memplane_gateway.embedders import EmbedderError, EmbedderSettings, create

PATIENCE_SECONDS = 10.0
_TEXT = "memplane doctor"


@dataclass(frozen=True, slots=True)
class Probe:
    """What came of it: the round trip and the durability, or what is wrong."""

    error: str = ""
    ping_seconds: float = 0.0
    durability: str = ""


def probe(settings: Settings, name: str) -> Probe:
    """Opens a store as its routes do: what it holds must be made with what they are configured to.

    Opening the embedded one makes its file; in others nothing is made.
    """
    return asyncio.run(_probe(settings, name))


def probe_embedder(settings: EmbedderSettings) -> Probe:
    """Makes one embedding, where the embedder takes text."""
    return asyncio.run(_probe_embedder(settings))


async def _probe(settings: Settings, name: str) -> Probe:
    store = settings.stores[name]
    if isinstance(store, AdoptedSettings):
        return await _probe_adopted(store)
    backend = store.connect(settings.data_dir)
    collections = _collections(settings, name)
    lacking = _lacking(settings, name, backend, collections)
    if lacking:
        return Probe(error=lacking)
    opened: list[Store] = [each for each in (backend.vector, backend.key_value) if each is not None]
    durability, took = "", 0.0
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            for each in opened:
                await each.open()
                started = time.perf_counter()
                reached = reached_of(await each.ping())
                durability = reached.level.name.lower() + (
                    f" ({reached.why})" if reached.why else ""
                )
                took = time.perf_counter() - started
            for collection in collections:
                assert backend.vector is not None, "checked above"
                await _look_at(backend.vector, collection)
    except StoreError as error:
        stored, configured = (error.metadata.get(key) for key in ("stored", "configured"))
        what = f"; stored: {stored}; configured: {configured}" if stored else ""
        return Probe(error=f"{error}{what}")
    except TimeoutError:
        return Probe(error=f"no answer within {PATIENCE_SECONDS:.0f} seconds")
    finally:
        for each in opened:
            with contextlib.suppress(StoreError):
                await each.close()
    return Probe(ping_seconds=took, durability=durability)


async def _probe_adopted(store: AdoptedSettings) -> Probe:
    """Asks the collection how many rows it has."""
    from memplane_gateway.adopting import SourceError, opened

    most = store.settings.max_rows
    try:
        async with asyncio.timeout(PATIENCE_SECONDS), opened(store.adoption.source) as collection:
            started = time.perf_counter()
            rows = (await collection.facts()).rows
            took = time.perf_counter() - started
    except SourceError as error:
        return Probe(error=str(error))
    except TimeoutError:
        return Probe(error=f"no answer within {PATIENCE_SECONDS:.0f} seconds")
    if rows > most:
        return Probe(error=f"the collection has {rows} rows, and max_rows is {most}")
    return Probe(ping_seconds=took, durability="none (read-only)")


async def _look_at(store: VectorStore, collection: Collection) -> None:
    """Checks what a route keeps. What is not there yet, the gateway makes when it starts."""
    try:
        await store.ensure(collection)
    except StoreError as error:
        if error.reason is not StoreReason.COLLECTION_MISSING:
            raise


def _collections(settings: Settings, name: str) -> Sequence[Collection]:
    """What the routes keep in a store of vectors."""
    routes = settings.routes
    return [
        Collection(
            kind,
            create(settings.embedders[route.embedder]).identity,
            Analyzer(language=route.language, stop_words=route.stop_words).name,
            made=True,  # nothing is made here
        )
        for kind, route in ((Kind.SEMANTIC, routes.semantic), (Kind.EPISODIC, routes.episodic))
        if route.store == name
    ]


def _lacking(
    settings: Settings, name: str, backend: Backend, collections: Sequence[Collection]
) -> str:
    """What routes want of a store that it cannot do."""
    if backend.vector is None and backend.key_value is None:
        return "the adapter keeps neither vectors nor key-values"
    if collections and backend.vector is None:
        return f"it cannot keep vectors, but the {collections[0].kind.value} route leads to it"
    if settings.routes.procedural.store == name and backend.key_value is None:
        return "it cannot keep key-values, but the procedural route leads to it"
    if settings.control.store == name and backend.key_value is None:
        return "it cannot keep key-values, but the gateway is to keep its own state there"
    return ""


async def _probe_embedder(settings: EmbedderSettings) -> Probe:
    embedder = create(settings)
    if not embedder.accepts_text:
        return Probe()
    started = time.perf_counter()
    try:
        await embedder.embed([_TEXT])
    except EmbedderError as error:
        cause = str(error.__cause__ or "")
        return Probe(error=f"{error}{f': {without_passwords(cause)}' if cause else ''}")
    finally:
        await embedder.close()
    return Probe(ping_seconds=time.perf_counter() - started)
