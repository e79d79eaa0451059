"""What is certified: the adapter, its library, and what the server says that it is."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from importlib.metadata import packages_distributions, version
from typing import Final

from memplane_adapters.contract import Adapter, Nature
from memplane_gateway.certifying.apart import HALVES, Apart
from memplane_gateway.config.stores import OURS, installed

_ASKING_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class Subject:
    """A store, by what it is made of."""

    adapter: str
    nature: Nature
    library: str
    """The vendor's client library and its version; the adapter's own package for one from outside."""
    server: str
    """What the server says that it is; empty where the adapter does not ask."""
    address: str
    """Where it is, without credentials; empty for one in this process."""


def describe(apart: Apart, nature: Nature | None = None) -> Subject:
    """Says what is certified, and asks the server. Raises StoreError where that is down."""
    server = asyncio.run(_server(apart))
    if nature is None:
        nature = Nature.ENGINE if apart.in_process else Nature.SERVER
        if Nature.EMULATOR in server.casefold():
            nature = Nature.EMULATOR
    return Subject(
        adapter=apart.adapter.name,
        nature=nature,
        library=_library(apart.adapter),
        server=server,
        address="" if apart.in_process else _address(apart),
    )


async def _server(apart: Apart) -> str:
    """Asks whether it is there, and what it is."""
    settings = apart.settings[HALVES[0]]
    backend = apart.adapter.connect(settings, apart.directory)
    async with asyncio.timeout(_ASKING_SECONDS):
        for store in (backend.vector, backend.key_value):
            if store is not None:
                await store.open()
                try:
                    await store.ping()
                finally:
                    await store.close()
        if apart.adapter.server is None:
            return ""
        return await apart.adapter.server(settings, apart.directory)


def _library(adapter: Adapter) -> str:
    """The distribution of the SDK's first module; of an adapter from outside its own, too."""
    owner = installed()[adapter.name].dist
    names = [] if owner is None or owner.name == OURS else [owner.name]
    if adapter.needs:
        names += packages_distributions().get(adapter.needs[0], [])[:1]
    return ", ".join(f"{name} {version(name)}" for name in names)


def _address(apart: Apart) -> str:
    settings, shown = apart.settings[HALVES[0]], []
    for name in apart.adapter.place:
        value = getattr(settings, name)
        if name not in (apart.adapter.prefix, apart.adapter.path) and value:
            # Settings refuse credentials in an address; those of a third party may not.
            plain = re.sub(r"//[^/@]*@", "//", str(value)).partition("?")[0]
            shown.append(plain if name == "url" else f"{name} {plain}")
    return ", ".join(shown)
