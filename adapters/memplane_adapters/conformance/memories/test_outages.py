"""When the store fails: its failure is said, and is never taken for an empty answer or an empty store.

A fault is put between the gateway and its vector store, which is otherwise the one that is
configured.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from memplane import (
    AsyncScope,
    DataLoss,
    DeadlineExceeded,
    FailedPrecondition,
    Kind,
    MemplaneError,
    Mode,
    Outcome,
    ResourceExhausted,
    RouteState,
    Unavailable,
)
from memplane_adapters.conformance.memories.doors import IN_PROCESS, Door
from memplane_adapters.conformance.memories.fixtures import (
    Arrange,
    fresh_label,
    opened,
    settings_in,
)
from memplane_adapters.conformance.memories.helpers import (
    ON_THE_SESSION_LOOP,
    axis,
    dimension_of,
    keys_listed,
    until,
)
from memplane_adapters.contract import Backend, StoreError, StoreReason, VectorStore
from memplane_gateway.config import Settings, StoreSettings

pytestmark = ON_THE_SESSION_LOOP

SAID: Mapping[StoreReason, tuple[type[MemplaneError], str]] = {
    StoreReason.UNAVAILABLE: (Unavailable, "BACKEND_UNAVAILABLE"),
    StoreReason.INTERRUPTED: (Unavailable, "BACKEND_UNAVAILABLE"),
    StoreReason.CLOSED: (Unavailable, "BACKEND_UNAVAILABLE"),
    StoreReason.TIMEOUT: (DeadlineExceeded, "DEADLINE_PASSED"),
    StoreReason.PROTOCOL: (Unavailable, "BACKEND_PROTOCOL"),
    StoreReason.MISCONFIGURED: (FailedPrecondition, "BACKEND_MISCONFIGURED"),
    StoreReason.COLLECTION_MISSING: (FailedPrecondition, "BACKEND_MISCONFIGURED"),
    StoreReason.IDENTITY_MISMATCH: (FailedPrecondition, "IDENTITY_MISMATCH"),
    StoreReason.EXHAUSTED: (ResourceExhausted, "BACKEND_EXHAUSTED"),
    StoreReason.DAMAGED: (DataLoss, "DATA_DAMAGED"),
}
"""What a caller hears when a store cannot go on; the other reasons are about one item or request."""


@dataclass
class Fault:
    """What goes wrong now, and in which calls; none of them is all."""

    error: StoreError | None = None
    calls: frozenset[str] = field(default_factory=frozenset)

    def raised_by(self, call: str) -> StoreError | None:
        """The error of a call, if it has one."""
        return self.error if not self.calls or call in self.calls else None


class FaultyStore:
    """The store behind it, and sometimes a fault instead."""

    def __init__(self, store: VectorStore, fault: Fault) -> None:
        self._store = store
        self._fault = fault

    def __getattr__(self, name: str) -> Any:
        behind = getattr(self._store, name)
        if name in ("capabilities", "close", "token", "reach"):
            return behind

        async def call(*arguments: Any, **options: Any) -> Any:
            error = self._fault.raised_by(name)
            if error is not None:
                raise error
            return await behind(*arguments, **options)

        return call


class FaultySettings(StoreSettings):
    """A store with a fault in front."""

    fault: Any

    def connect(self, data_dir: Path) -> Backend:
        """The backend of the adapter; its key-values, the gateway's own state too, stay whole."""
        backend = super().connect(data_dir)
        if backend.vector is None:
            return backend
        store = cast("VectorStore", FaultyStore(backend.vector, self.fault))
        return Backend(vector=store, key_value=backend.key_value)


def with_fault(settings: Settings, fault: Fault) -> Settings:
    """The same settings, with the fault in front of each store."""
    stores = {
        name: FaultySettings(adapter=each.adapter, settings=each.settings, fault=fault)
        for name, each in settings.stores.items()
    }
    return settings.model_copy(update={"stores": stores})


@asynccontextmanager
async def faulty(arrange: Arrange, directory: Path, fault: Fault) -> AsyncIterator[Door]:
    """A gateway with a fault; one door will do, since the other adds the wire alone."""
    settings = with_fault(arrange(settings_in(directory)), fault)
    async with opened(IN_PROCESS, settings) as door:
        yield door


def calls(space: AsyncScope, length: int) -> Mapping[str, Callable[[], Awaitable[object]]]:
    """Every sort of call."""
    return {
        "get": lambda: space.get(Kind.SEMANTIC, "k"),
        "list": lambda: space.list(Kind.SEMANTIC).page(),
        "filtered list": lambda: space.list(Kind.SEMANTIC, filter={"n": 1}).page(),
        "count": lambda: space.count(Kind.SEMANTIC),
        "filtered count": lambda: space.count(Kind.SEMANTIC, filter={"n": {"$gte": 1}}),
        "search": lambda: space.search(vector=axis(length, 1.0), mode=Mode.VECTOR),
        "recent": lambda: space.search(mode=Mode.RECENT),
        "put": lambda: space.put(Kind.SEMANTIC, "new", vector=axis(length, 1.0)),
        "update": lambda: space.update(Kind.SEMANTIC, "k", attributes={"n": 2}),
        "delete": lambda: space.delete(Kind.SEMANTIC, "k"),
    }


@pytest.mark.parametrize("reason", SAID)
async def test_field_46_a_failure_is_said_and_is_no_empty_answer(
    reason: StoreReason, arrange: Arrange, door_name: str, tmp_path: Path
) -> None:
    """A backend error became status 200 with no results."""
    if door_name != IN_PROCESS:
        pytest.skip("one door will do")
    fault = Fault()
    async with faulty(arrange, tmp_path, fault) as door:
        space = door.client.scope(fresh_label())
        length = dimension_of(await door.client.capabilities(), Kind.SEMANTIC)
        vector = axis(length, 1.0)
        await space.put(Kind.SEMANTIC, "k", vector=vector, attributes={"n": 1})
        kind, said = SAID[reason]
        for name, call in calls(space, length).items():
            fault.error = StoreError(reason, "made up")
            with pytest.raises(MemplaneError) as caught:
                await call()
            fault.error = None
            assert (type(caught.value), caught.value.reason) == (kind, said), name
            assert "made up" not in str(caught.value), "the vendor's text is for the log"
        assert await keys_listed(space, Kind.SEMANTIC) == ["k"], "nothing was done meanwhile"
        assert [hit.memory.key for hit in await space.search(vector=vector)] == ["k"]


@pytest.mark.parametrize(
    "reason",
    [
        StoreReason.UNAVAILABLE,
        StoreReason.PROTOCOL,
        StoreReason.TIMEOUT,
        StoreReason.COLLECTION_MISSING,
        StoreReason.IDENTITY_MISMATCH,
    ],
)
async def test_field_29_an_error_while_looking_is_not_absence(
    reason: StoreReason, arrange: Arrange, door_name: str, tmp_path: Path
) -> None:
    """A 500 from the existence check was taken for "absent", and the collection made anew."""
    if door_name != IN_PROCESS:
        pytest.skip("one door will do")
    label, fault = fresh_label(), Fault()
    async with faulty(arrange, tmp_path, fault) as door:
        status = await door.client.status()
        if not status.routes[Kind.SEMANTIC].persistent:
            pytest.skip("the store keeps nothing over a restart")
        length = dimension_of(await door.client.capabilities(), Kind.SEMANTIC)
        await door.client.scope(label).put(Kind.SEMANTIC, "k", vector=axis(length, 1.0))
    fault.error, fault.calls = StoreError(reason, "made up"), frozenset({"ensure"})
    async with faulty(arrange, tmp_path, fault) as door:
        space, (kind, said) = door.client.scope(label), SAID[reason]
        status = await door.client.status()
        assert status.routes[Kind.SEMANTIC].state is RouteState.NOT_SERVING
        for name, call in calls(space, length).items():
            with pytest.raises(MemplaneError) as caught:
                await call()
            assert (type(caught.value), caught.value.reason) == (kind, said), name
        fault.error = None

        async def serves() -> bool:
            return (await door.client.status()).routes[Kind.SEMANTIC].state is RouteState.SERVING

        await until(serves)
        assert await keys_listed(space, Kind.SEMANTIC) == ["k"]
        written = await space.put(Kind.SEMANTIC, "k", vector=axis(length, 0.0, 1.0))
        assert written.outcome is Outcome.UPDATED
