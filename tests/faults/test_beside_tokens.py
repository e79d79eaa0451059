"""Two gateways over a store whose reads lag: the token of a write at one, for a read at the other."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from tests.faults.beside import NAMES, environ_for_shared, usual_servers
from tests.faults.days import NO_RETRIES, environ_for, wait_until_served
from tests.faults.process import Gateway

from memplane import Client, InvalidArgument, Kind
from memplane_adapters.conformance.local_stores import Choice, Servers, at_hand
from memplane_adapters.conformance.servers import running

LAGGING = [each for each in at_hand() if each.name == "pinecone"]


@pytest.mark.parametrize("shared", usual_servers(), ids=str)
@pytest.mark.parametrize("lagging", LAGGING, ids=str)
def test_a_token_is_heeded_by_another_gateway(
    lagging: Choice, shared: Choice, servers: Servers, place: Path
) -> None:
    assert lagging.store is not None
    slow = dataclasses.replace(lagging.store, arguments=(*lagging.store.arguments, "--lag", "1000"))
    adapter, keys = shared.keys(servers, place)
    with running(slow, place / "slow") as server:
        environ = {
            **environ_for(lagging.adapter_name, server.url),
            **environ_for_shared(adapter.name, keys),
        }
        for name in NAMES:
            (place / name).mkdir()
        first, second = (Gateway(place / name, environ=environ) for name in NAMES)
        with (
            first,
            second,
            Client(first.address, options=NO_RETRIES) as one,
            Client(second.address, options=NO_RETRIES) as other,
        ):
            for client in (one, other):
                wait_until_served(client)
            assert other.count(Kind.SEMANTIC) == 0
            for key in ("a", "b", "c"):
                written = one.put(Kind.SEMANTIC, key, text="green tea")
                token = written.consistency_token
                assert token
                assert not written.visible
                assert one.get(Kind.SEMANTIC, key) is not None, "its own gateway needs no token"
                written = one.put(Kind.SEMANTIC, key, text="black tea")
                token = written.consistency_token
                memory = other.get(Kind.SEMANTIC, key, consistency_token=token)
                assert memory is not None
                assert memory.text == "black tea"
                deleted = one.delete(Kind.SEMANTIC, key)
                seen = other.count(Kind.SEMANTIC, consistency_token=deleted.consistency_token)
                assert seen == 0
            for wrong in ("x", "bm90aGluZw", "é"):
                with pytest.raises(InvalidArgument) as caught:
                    other.get(Kind.SEMANTIC, "a", consistency_token=wrong)
                assert {each.field for each in caught.value.violations} == {"consistency_token"}
