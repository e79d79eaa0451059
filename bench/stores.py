"""The stores that are measured: which are at hand, where they come from, and how long they stay."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.process import BenchError

from memplane_adapters.conformance.servers import (
    NotAtHandError,
    NotStartedError,
    given,
    launcher_for,
    running,
)
from memplane_adapters.contract import Adapter, LocalStore
from memplane_gateway.config import installed
from memplane_gateway.config.stores import EMBEDDED, AdapterError, find_adapter

__all__ = ["EMBEDDED", "NotAtHandError", "Place", "at_hand", "known", "place"]

GIVEN: Final = "a server that ran already"
OWN: Final = "a server of our own"
IN_PROCESS: Final = "the engine inside the gateway's process"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a store is for the time of a measurement."""

    adapter: str
    directory: Path
    """What is kept on this machine is below it."""
    keys: Mapping[str, object]
    """Its settings."""
    how: str
    """What it is, as a sentence's part."""
    prefix: str = ""
    """What the names of all that it makes on the server begin with; empty in process."""

    @property
    def settings(self) -> dict[str, Any]:
        """Its section of a configuration."""
        return {"adapter": self.adapter, **self.keys}


def known() -> tuple[str, ...]:
    """The adapters that are installed, by name; nothing is loaded."""
    return tuple(sorted(installed(), key=lambda name: (name != EMBEDDED, name)))


def at_hand(names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Those of the stores that can be measured here, and a sentence on each of the others."""
    there: list[str] = []
    absent: list[str] = []
    for name in names:
        try:
            _choose(find_adapter(name))
        except (AdapterError, NotAtHandError) as error:
            absent.append(f"{name}: {error}")
        else:
            there.append(name)
    return there, absent


@contextlib.contextmanager
def place(name: str, directory: Path) -> Iterator[Place]:
    """A store of an adapter, empty at first.

    A server is taken before an engine in process: one that the environment names, else one of our
    own, which ends with the `with`.

    Raises:
        BenchError: There is none here, or it does not start.
    """
    try:
        adapter = find_adapter(name)
        store, why = _choose(adapter)
        with contextlib.ExitStack() as stack:
            if not store.program:
                url, how = store.at(directory).url, f"{IN_PROCESS}{why}"
            elif given(store):
                url, how = given(store), GIVEN
            else:
                server = stack.enter_context(running(store, directory / "server"))
                url, how = server.url, OWN
            keys = dict(adapter.from_url(url))
            prefix = ""
            if store.program and store.prefix:
                prefix = f"bench-{uuid.uuid4().hex[:16]}"
                keys[store.prefix] = prefix
            yield Place(name, directory, keys, how, prefix)
    except (AdapterError, NotAtHandError, NotStartedError) as error:
        raise BenchError(f"{name}: {error}") from error


def _choose(adapter: Adapter) -> tuple[LocalStore, str]:
    """The best store of an adapter that can be had here, and why it is no server."""
    reasons: list[str] = []
    for store in sorted(adapter.local, key=_worth):
        if store.program and not given(store):
            try:
                launcher_for(store)
            except NotAtHandError as error:
                reasons.append(str(error))
                continue
        return store, "".join(f" ({reason})" for reason in reasons)
    raise NotAtHandError("; ".join(reasons) or "its adapter names no store for one machine")


def _worth(store: LocalStore) -> tuple[bool, bool]:
    """Sorts servers first, then what keeps its data."""
    return not store.program, "{directory}" not in store.url
