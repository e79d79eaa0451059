"""Every store that can be had on this machine: what adapters declare as `local`, made ready to use."""

from __future__ import annotations

import contextlib
import functools
import os
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn

import pytest

from memplane_adapters.conformance.servers import (
    NotAtHandError,
    Server,
    given,
    launcher_for,
    must_be_at_hand,
    without_vectors,
)
from memplane_adapters.conformance.stores.fixtures import Configured
from memplane_adapters.contract import Adapter, Backend, Kind, LocalStore
from memplane_gateway.config import Settings, installed
from memplane_gateway.config.stores import EMBEDDED, AdapterError, find_adapter, make_store


@dataclass
class Servers:
    """The servers of a test session: of each sort one, which all share, started for the first."""

    root: Path
    run: uuid.UUID = field(default_factory=uuid.uuid4)
    """Keeps this session apart from others on a server that is older."""
    _shared: dict[str, Server] = field(default_factory=dict)

    def url(self, store: LocalStore, directory: Path) -> str:
        """Where a store is: in process below the directory, otherwise the session's server.

        Skips the case when there is no such server here; fails when CI should have installed it.
        """
        if not store.program:
            return store.at(directory).url
        if given(store):
            return given(store)
        if store.name not in self._shared:
            self._shared[store.name] = self.own(store, self.root / store.name).start()
        return self._shared[store.name].url

    def own(self, store: LocalStore, root: Path) -> Server:
        """A server of the case's own, not started, to be closed by the case. Skips as `url`."""
        try:
            launcher = launcher_for(store)
        except NotAtHandError as error:
            absent(str(error), fails=must_be_at_hand(store))
        return Server(store, root, launcher)

    def keys(self, adapter: Adapter, store: LocalStore, directory: Path) -> Mapping[str, object]:
        """The settings of a store that is empty at first, and the same for the same directory."""
        keys = dict(adapter.from_url(self.url(store, directory)))
        if adapter.prefix:
            name = uuid.uuid5(self.run, str(directory)).hex
            keys[adapter.prefix] = f"suite-{name[:15]}"
        return keys

    def close(self) -> None:
        """Stop them all."""
        for server in self._shared.values():
            server.close()


@dataclass(frozen=True, slots=True)
class Choice:
    """One local store of an installed adapter, or an adapter that cannot be used, and why."""

    name: str
    adapter: Adapter | None = None
    store: LocalStore | None = None
    problem: str = ""
    """Why it cannot be had here; empty if it can."""
    missed: bool = False
    """Whether it should be here: this is CI, which installs what it needs."""

    def __str__(self) -> str:
        return self.name

    @property
    def adapter_name(self) -> str:
        """The name of the adapter, also of one that cannot be used."""
        return self.name if self.adapter is None else self.adapter.name

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """What it can keep."""
        store = self.store
        found = (Kind.SEMANTIC, Kind.EPISODIC) if store is not None and store.vectors else ()
        return (*found, Kind.PROCEDURAL) if store is not None and store.key_values else found

    def keys(self, servers: Servers, directory: Path) -> tuple[Adapter, Mapping[str, object]]:
        """The adapter, and the settings for that directory. Skips the case, or fails it."""
        if self.adapter is None or self.store is None:
            absent(self.problem, fails=self.missed)
        return self.adapter, servers.keys(self.adapter, self.store, directory)

    def backend_factory(self, servers: Servers, directory: Path) -> Configured:
        """Makes backends over one store that is empty at first, for the store-level suite."""
        adapter, keys = self.keys(servers, directory)
        if Kind.SEMANTIC not in self.kinds:
            adapter = _without_vectors(adapter)
        return Configured(adapter, make_store(adapter.name, keys).settings, directory)

    def arranged(self, settings: Settings, servers: Servers) -> Settings:
        """These settings, with the kinds that it keeps on this store."""
        adapter, keys = self.keys(servers, settings.data_dir)
        routes, here = settings.routes, {"store": self.name}
        return settings.model_copy(
            update={
                "stores": {**settings.stores, self.name: make_store(adapter.name, keys)},
                "routes": routes.model_copy(
                    update={
                        kind.value: getattr(routes, kind.value).model_copy(update=here)
                        for kind in self.kinds
                    }
                ),
            }
        )


@functools.cache
def choices() -> tuple[Choice, ...]:
    """Every local store of every installed adapter, the embedded one first; nothing is started."""
    found: list[Choice] = []
    for name in sorted(installed(), key=lambda name: (name != EMBEDDED, name)):
        try:
            adapter = find_adapter(name)
        except AdapterError as error:
            missed = bool(os.environ.get("CI"))
            found.append(Choice(name, problem=f"{error}. {error.suggestion}", missed=missed))
        else:
            if adapter.name == name:  # and not another name for it
                found += [_choice(adapter, store) for store in adapter.local]
    return tuple(found)


def at_hand(adapter: str = "", *, vectors: bool = False) -> list[Choice]:
    """The local stores that can be had here: of one adapter or of all; those alone that keep vectors."""
    usable = [choice for choice in choices() if not choice.problem]
    return [
        each
        for each in usable
        if adapter in ("", each.adapter_name) and (Kind.SEMANTIC in each.kinds or not vectors)
    ]


def _without_vectors(adapter: Adapter) -> Adapter:
    """An adapter of which the one promise is not to be tried here."""

    def connect(settings: Any, directory: Path) -> Backend:
        return replace(adapter.connect(settings, directory), vector=None)

    return replace(adapter, connect=connect)


def _choice(adapter: Adapter, store: LocalStore) -> Choice:
    problem = ""
    if store.program and not given(store):
        try:
            launcher_for(store)
        except NotAtHandError as error:
            problem = str(error)
            with contextlib.suppress(NotAtHandError):
                return Choice(store.name, adapter, without_vectors(store))
    missed = bool(problem) and must_be_at_hand(store)
    return Choice(store.name, adapter, store, problem, missed)


def absent(reason: str, *, fails: bool) -> NoReturn:
    """Skips the case, or fails it."""
    if fails:
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """The servers that the cases of this process share."""
    made = Servers(tmp_path_factory.mktemp("servers"))
    try:
        yield made
    finally:
        made.close()
