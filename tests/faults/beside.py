"""Two gateways in processes of their own over one store, which is their control store, too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.faults.days import NO_RETRIES, PATIENCE
from tests.faults.process import Gateway, until
from tests.thorough import THOROUGH

from memplane import Client, Kind, MemplaneError
from memplane_adapters.conformance.local_stores import Choice, at_hand

NAMES = ("one", "other")


def servers_of_key_values() -> list[Choice]:
    """The stores at hand that gateways can share for key-values and for their own state."""
    return [
        each
        for each in at_hand()
        if each.store is not None and each.store.program and each.store.key_values
    ]


def usual_servers() -> list[Choice]:
    """Those of a usual run: Redis alone; a thorough one has all."""
    return [each for each in servers_of_key_values() if THOROUGH or each.name == "redis"]


def environ_for_shared(adapter: str, keys: Mapping[str, object]) -> dict[str, str]:
    """The variables that make a store the gateways' control store."""
    settings = {f"MEMPLANE_STORES__SHARED__{key}".upper(): str(keys[key]) for key in keys}
    return {
        "MEMPLANE_STORES__SHARED__ADAPTER": adapter,
        "MEMPLANE_CONTROL__STORE": "shared",
        **settings,
    }


@contextmanager
def pair(
    place: Path, adapter: str, keys: Mapping[str, object]
) -> Iterator[tuple[Gateway, Gateway]]:
    """Two gateways that serve key-values from one store."""
    environ = {
        **environ_for_shared(adapter, keys),
        "MEMPLANE_ROUTES__PROCEDURAL__STORE": "shared",
    }
    for name in NAMES:
        (place / name).mkdir()
    one, other = (Gateway(place / name, environ=environ) for name in NAMES)
    try:
        one.launch()
        other.launch()
        for gateway in (one, other):
            wait_until_served(gateway.wait())
        yield one, other
        assert "bug in" not in one.log + other.log
    finally:
        one.kill()
        other.kill()


def wait_until_served(gateway: Gateway) -> None:
    """Return once a gateway serves key-values."""
    with Client(gateway.address, options=NO_RETRIES) as client:
        until(lambda: serves(client, Kind.PROCEDURAL), PATIENCE, "serving")


def serves(client: Client, kind: Kind) -> bool:
    """Whether the gateway is there and a route of it serves."""
    try:
        return client.status()[kind].serving
    except MemplaneError:
        return False
