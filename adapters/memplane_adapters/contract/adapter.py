"""How an adapter makes itself known: one `Adapter` behind an entry point of `memplane.adapters`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memplane_adapters.contract.foreign import ForeignCollection
from memplane_adapters.contract.local import LocalStore
from memplane_adapters.contract.stores import KeyValueStore, VectorStore


@dataclass(frozen=True, slots=True)
class Backend:
    """The promises that one configured store keeps; None for one that it does not make."""

    vector: VectorStore | None = None
    key_value: KeyValueStore | None = None


@dataclass(frozen=True, slots=True)
class Adapter:
    """One vendor.

    `settings` is a frozen dataclass whose fields are the keys of the store's section in the
    configuration (annotations are checked, unknown keys refused); `connect` makes the backend from
    one of these without any I/O; `from_url` turns what stands behind "name+" or "name:" in a
    one-variable configuration into such keys. Relative paths are below `data_dir`. `local` says how
    to have such a store on this machine; the suite runs on each. `place` names the settings that say
    where things are kept, and not how the store is used: stores that are alike in these are the same
    place. Without it all settings but secrets do. `foreign` makes the reader of a collection that
    others made in such a store, from settings, directory, the collection's name and that of the
    vector to keep (empty: the one without a name), without any I/O; None where none can be read.

    `prefix` names the setting that keeps one user of a server apart from the next: a name, or the
    first part of names, of letters, digits and "-". `path` names the setting that is the file or the
    directory where such a store is kept on this machine, for one that can be; left empty, or a word
    that begins with ":" like ":memory:", it is not kept in one. Stores of another prefix, or of
    another path, see nothing of each other. `remove` removes for good, with every connection closed,
    all that is kept under these settings: its prefix's collections, its schema, its file; nothing
    outside of it, and nothing where there is nothing. None where nothing can be removed so. `server`
    asks what serves the store, for people: its name and version, "Redis 8.2.1"; an emulator of ours
    has that word in it. None where it cannot be told.

    `needs` names the modules of the SDK, so that what is missing is said while the settings can be
    described all the same. `start` names the settings that `memplane init` writes out: without it the
    first one and those without a default; secrets become references, all others are comments there,
    told by the docstrings of the fields. `aliases` are other names that people know the vendor by.
    """

    name: str
    settings: type
    connect: Callable[[Any, Path], Backend]
    from_url: Callable[[str], Mapping[str, object]]
    local: tuple[LocalStore, ...] = ()
    place: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    start: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    foreign: Callable[[Any, Path, str, str], ForeignCollection] | None = None
    prefix: str = ""
    path: str = ""
    remove: Callable[[Any, Path], Awaitable[None]] | None = None
    server: Callable[[Any, Path], Awaitable[str]] | None = None
