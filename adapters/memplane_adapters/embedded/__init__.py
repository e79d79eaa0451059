"""The embedded store: one SQLite file that keeps both promises; no server, no key, no download."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from memplane_adapters.contract import Adapter, Backend, LocalStore
from memplane_adapters.embedded.database import Database
from memplane_adapters.embedded.key_value_store import EmbeddedKeyValueStore
from memplane_adapters.embedded.vector_store import EmbeddedVectorStore

__all__ = ["ADAPTER", "EmbeddedSettings"]


@dataclass(frozen=True, slots=True)
class EmbeddedSettings:
    """Where the file is."""

    path: str = "memplane.db"


def connect(settings: EmbeddedSettings, data_dir: Path) -> Backend:
    """Both promises over one file, which is opened with the first and closed with the last."""
    database = Database(data_dir / Path(settings.path).expanduser())
    return Backend(
        vector=EmbeddedVectorStore(database),
        key_value=EmbeddedKeyValueStore(database),
    )


def from_url(url: str) -> Mapping[str, object]:
    """A path, also behind "//" or "file://"; nothing is the default."""
    path = url.removeprefix("file:").removeprefix("//")
    return {"path": path} if path else {}


ADAPTER = Adapter(
    name="embedded",
    settings=EmbeddedSettings,
    connect=connect,
    from_url=from_url,
    local=(LocalStore(name="embedded", url="{directory}/memplane.db", key_values=True),),
)
