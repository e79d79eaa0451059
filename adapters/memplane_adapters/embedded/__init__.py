"""The embedded store: one SQLite file that keeps both promises; no server, no key, no download."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from memplane_adapters.contract import Adapter, Backend, LocalStore
from memplane_adapters.embedded.database import Database, remove_file
from memplane_adapters.embedded.key_value_store import EmbeddedKeyValueStore
from memplane_adapters.embedded.vector_store import EmbeddedVectorStore

__all__ = ["ADAPTER", "EmbeddedSettings"]


@dataclass(frozen=True, slots=True)
class EmbeddedSettings:
    """Where the file is."""

    path: str = "memplane.db"


def connect(settings: EmbeddedSettings, data_dir: Path) -> Backend:
    """Both promises over one file, which is opened with the first and closed with the last."""
    database = Database(_file(settings, data_dir))
    return Backend(
        vector=EmbeddedVectorStore(database),
        key_value=EmbeddedKeyValueStore(database),
    )


def from_url(url: str) -> Mapping[str, object]:
    """A path, also behind "//" or "file://"; nothing is the default."""
    path = url.removeprefix("file:").removeprefix("//")
    return {"path": path} if path else {}


def _file(settings: EmbeddedSettings, data_dir: Path) -> Path:
    return data_dir / Path(settings.path).expanduser()


async def remove(settings: EmbeddedSettings, data_dir: Path) -> None:
    """The file, and what stands beside it. Raises MISCONFIGURED when a process has it open."""
    await asyncio.to_thread(remove_file, _file(settings, data_dir))


async def server(settings: EmbeddedSettings, data_dir: Path) -> str:  # noqa: ARG001 (every adapter's)
    """There is none; the library in this process."""
    return f"SQLite {sqlite3.sqlite_version}"


ADAPTER = Adapter(
    name="embedded",
    settings=EmbeddedSettings,
    connect=connect,
    from_url=from_url,
    path="path",
    remove=remove,
    server=server,
    local=(LocalStore(name="embedded", url="{directory}/memplane.db", key_values=True),),
)
