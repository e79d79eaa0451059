"""The stores that are measured: which are at hand, where they come from, and how long they stay."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from bench import report
from bench.process import READY_SECONDS, BenchError

from memplane import AsyncClient
from memplane_adapters.conformance.servers import (
    NotAtHandError,
    NotStartedError,
    given,
    launcher_for,
    running,
)
from memplane_adapters.contract import Adapter, LocalStore
from memplane_gateway.config import installed
from memplane_gateway.config.stores import EMBEDDED, AdapterError, find_adapter, own_name

__all__ = [
    "ALL",
    "EMBEDDED",
    "NotAtHandError",
    "Place",
    "at_hand",
    "chosen",
    "known",
    "place",
    "serving",
]

ALL: Final = "all"
"""In place of names: those that are at hand."""

GIVEN: Final = "a server that ran already"
OWN: Final = "a server of our own"
EMULATED: Final = "an emulator of our own, which tells of the adapter and not of the vendor"
IN_PROCESS: Final = "the engine inside the gateway's process"

_PAUSE: Final = 0.05

Keeps: TypeAlias = Literal["vectors", "key_values"]
"""What a store is measured with, as `LocalStore` names it."""
_NOT: Final[Mapping[Keeps, str]] = {
    "vectors": "it keeps no vectors",
    "key_values": "it keeps no key-values",
}


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
    """The adapters that are installed, by name; each once."""
    names = set(map(own_name, installed()))
    return tuple(sorted(names, key=lambda name: (name != EMBEDDED, name)))


def at_hand(names: Sequence[str], keeps: Keeps = "vectors") -> tuple[list[str], list[str]]:
    """Those of the stores that can be measured here, and a sentence on each of the others."""
    there: list[str] = []
    absent: list[str] = []
    for name in names:
        try:
            adapter = find_adapter(name)
            _choose(adapter, keeps)
        except (AdapterError, NotAtHandError) as error:
            absent.append(f"{name}: {error}")
        else:
            there.append(adapter.name)  # some have several
    return list(dict.fromkeys(there)), absent


def chosen(text: str, keeps: Keeps = "vectors") -> list[str]:
    """The stores of a command line that keep this: names with commas between, or those at hand.

    Raises:
        ArgumentTypeError: One is not known.
    """
    names = list(dict.fromkeys(name.strip() for name in text.split(",")))
    if names == [ALL]:
        names, absent = at_hand(known(), keeps)
        report.say(*(f"not measured: {reason}" for reason in absent))
    if unknown := sorted(set(names) - set(known())):
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: known are {', '.join(known())}")
    fitting = [name for name in names if _may_keep(name, keeps)]
    report.say(*(f"not measured: {name}: {_NOT[keeps]}" for name in names if name not in fitting))
    return fitting


async def serving(client: AsyncClient) -> None:
    """Waits until every route serves: a gateway listens before its stores have answered.

    Raises:
        BenchError: One does not.
    """
    end = time.monotonic() + READY_SECONDS
    while not (status := await client.status()).serving:
        if time.monotonic() > end:
            problems = {route.message for route in status.routes.values() if route.message}
            raise BenchError(f"a route does not serve: {'; '.join(sorted(problems))}")
        await asyncio.sleep(_PAUSE)


@contextlib.contextmanager
def place(name: str, directory: Path, keeps: Keeps = "vectors") -> Iterator[Place]:
    """A store of an adapter, empty at first.

    A server is taken before an engine in process: one that the environment names, else one of our
    own, which ends with the `with`.

    Raises:
        BenchError: There is none here, or it does not start.
    """
    try:
        adapter = find_adapter(name)
        store, why = _choose(adapter, keeps)
        with contextlib.ExitStack() as stack:
            if not store.program:
                url, how = store.at(directory).url, f"{IN_PROCESS}{why}"
            elif given(store):
                url, how = given(store), GIVEN
            else:
                server = stack.enter_context(running(store, directory / "server"))
                url, how = server.url, EMULATED if store.emulator else OWN
            keys = dict(adapter.from_url(url))
            prefix = ""
            if store.program and adapter.prefix:
                prefix = f"bench-{uuid.uuid4().hex[:12]}"
                keys[adapter.prefix] = prefix
            yield Place(adapter.name, directory, keys, how, prefix)
    except (AdapterError, NotAtHandError, NotStartedError) as error:
        raise BenchError(f"{name}: {error}") from error


def _may_keep(name: str, keeps: Keeps) -> bool:
    """Whether a store is to be tried; what cannot be loaded says so itself."""
    try:
        local = find_adapter(name).local
    except AdapterError:
        return True
    return not local or any(getattr(store, keeps) for store in local)


def _choose(adapter: Adapter, keeps: Keeps) -> tuple[LocalStore, str]:
    """The best store of an adapter that can be had here, and why it is no server."""
    reasons: list[str] = []
    fitting = [store for store in adapter.local if getattr(store, keeps)]
    if adapter.local and not fitting:
        raise NotAtHandError(_NOT[keeps])
    for store in sorted(fitting, key=_worth):
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
