"""An empty directory to stand in, and four adapters, one of which lacks its SDK."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from memplane_adapters.contract import Adapter, Backend
from memplane_gateway.config import ConfigError, load
from memplane_gateway.config import stores as stores_module


@dataclass(frozen=True, slots=True)
class Embedded:
    path: str = "memplane.db"


@dataclass(frozen=True, slots=True)
class Pool:
    size: int = 4


@dataclass(frozen=True, slots=True)
class Qdrant:
    url: str
    api_key: str | None = field(default=None, repr=False)
    timeout_seconds: float = 5.0
    headers: Mapping[str, str] | None = None
    hosts: tuple[str, ...] = ()
    pool: Pool = Pool()

    def __post_init__(self) -> None:
        if self.url.startswith("ftp"):
            raise ValueError(f"{self.url} is no address (key {self.api_key})")


def qdrant_url(rest: str) -> Mapping[str, object]:
    if not rest.startswith("http"):
        raise ValueError("expected http:// or https://")
    return {"url": rest}


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty directory to stand in, and three adapters: one of them lacks its SDK."""
    module: Any = types.ModuleType("fake_adapters")
    module.EMBEDDED = Adapter(
        "embedded", Embedded, lambda s, d: Backend(), lambda rest: {"path": rest}
    )
    module.QDRANT = Adapter("qdrant", Qdrant, lambda s, d: Backend(), qdrant_url)
    module.REDIS = Adapter(
        "redis", Qdrant, lambda s, d: Backend(), lambda rest: {"url": "redis:" + rest}
    )
    monkeypatch.setitem(sys.modules, "fake_adapters", module)
    entries = {
        "embedded": "fake_adapters:EMBEDDED",
        "qdrant": "fake_adapters:QDRANT",
        "redis": "fake_adapters:REDIS",
        "pinecone": "no_such_sdk:ADAPTER",
    }
    monkeypatch.setattr(
        stores_module,
        "entry_points",
        lambda group: [EntryPoint(name, value, group) for name, value in entries.items()],
    )
    stores_module.installed.cache_clear()
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    stores_module.installed.cache_clear()


@pytest.fixture
def qdrant() -> type[Qdrant]:
    """The settings of the adapters "qdrant" and "redis"."""
    return Qdrant


@pytest.fixture
def problems() -> Callable[..., list[str]]:
    """Loads a file with environment and overrides, and returns what is wrong with them."""

    def said(
        text: str = "", environ: Mapping[str, str] | None = None, **overrides: object
    ) -> list[str]:
        if text:
            Path("memplane.yaml").write_text(text)
        with pytest.raises(ConfigError) as caught:
            load(None, overrides, environ or {})
        return [str(problem) for problem in caught.value.problems]

    return said
