"""Trying a store out, for `memplane doctor`: open it, ping it, close it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path

from memplane_adapters.contract import StoreError
from memplane_gateway.config.stores import StoreSettings

PATIENCE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Probe:
    """What came of it: the round trip and the durability, or what is wrong."""

    error: str = ""
    ping_seconds: float = 0.0
    durability: str = ""


def probe(store: StoreSettings, data_dir: Path) -> Probe:
    """Opens and pings a store. Opening the embedded one makes its file."""
    return asyncio.run(_probe(store, data_dir))


async def _probe(store: StoreSettings, data_dir: Path) -> Probe:
    backend = store.connect(data_dir)
    promise = backend.vector or backend.key_value
    if promise is None:
        return Probe(error="the adapter keeps neither vectors nor key-values")
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await promise.open()
            started = time.perf_counter()
            durability = await promise.ping()
            took = time.perf_counter() - started
    except StoreError as error:
        return Probe(error=str(error))
    except TimeoutError:
        return Probe(error=f"no answer within {PATIENCE_SECONDS:.0f} seconds")
    finally:
        await promise.close()
    return Probe(ping_seconds=took, durability=durability.name.lower())
