"""The embedded store with a planted fault: it counts one row too few, and says that its counts are exact."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from memplane_adapters.contract import Backend, Count, Filter, Scope
from memplane_adapters.embedded import ADAPTER as EMBEDDED
from memplane_adapters.embedded.key_value_store import EmbeddedKeyValueStore


class MiscountingStore(EmbeddedKeyValueStore):
    """Counts one row too few."""

    async def count(self, scope: Scope, filter: Filter | None = None) -> Count:
        right = await super().count(scope, filter)
        return replace(right, count=max(0, right.count - 1))


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the file is."""

    path: str = "miscounting.db"


def connect(settings: Settings, data_dir: Path) -> Backend:
    """Key-values only."""
    store = EMBEDDED.connect(EMBEDDED.settings(settings.path), data_dir).key_value
    assert isinstance(store, EmbeddedKeyValueStore)
    return Backend(key_value=MiscountingStore(store._database))


ADAPTER = replace(EMBEDDED, name="miscounting", settings=Settings, connect=connect, remove=None)
