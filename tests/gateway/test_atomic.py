"""An atomic call to a store that is not: refused before anything is written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from memplane import Kind, Put, Unimplemented
from memplane_adapters.conformance.memories.doors import IN_PROCESS
from memplane_adapters.conformance.memories.fixtures import opened, settings_in
from memplane_adapters.contract import Backend
from memplane_adapters.embedded.key_value_store import CAPABILITIES, EmbeddedKeyValueStore
from memplane_gateway.config import StoreSettings


class OneByOneStore(EmbeddedKeyValueStore):
    """The embedded store, declaring that it writes items one by one."""

    capabilities = replace(CAPABILITIES, atomic=False)


class OneByOne(StoreSettings):
    """That store."""

    def connect(self, data_dir: Path) -> Backend:
        backend = super().connect(data_dir)
        assert isinstance(backend.key_value, EmbeddedKeyValueStore)
        return Backend(backend.vector, OneByOneStore(backend.key_value._database))


async def test_a_store_that_is_not_atomic_refuses_atomic_calls(tmp_path: Path) -> None:
    given = settings_in(tmp_path)
    made = given.stores["embedded"]
    stores = {"embedded": OneByOne(adapter=made.adapter, settings=made.settings)}
    async with opened(IN_PROCESS, given.model_copy(update={"stores": stores})) as door:
        client = door.client
        await client.put(Kind.PROCEDURAL, "a", value=1)
        batch = [Put(client.ref(Kind.PROCEDURAL, name), value=2) for name in "ab"]
        for request_id in ("", "request"):
            with pytest.raises(Unimplemented) as caught:
                await client.put_many(batch, atomic=True, request_id=request_id)
            assert caught.value.metadata == {"capability": "atomic", "route": "procedural"}
            with pytest.raises(Unimplemented):
                await client.delete_many(
                    [put.ref for put in batch], atomic=True, request_id=request_id
                )
        found = [memory.value async for memory in client.list(Kind.PROCEDURAL)]
        assert found == [1]
        assert not (await client.put_many(batch)).failed
