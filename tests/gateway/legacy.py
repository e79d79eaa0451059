"""A configuration with a store "legacy" that somebody else keeps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

FOUR = {"provider": "none", "dimension": 4}


def write(
    directory: Path,
    mapping: dict[str, Any],
    *,
    embedder: str = "four",
    route: dict[str, Any] | None = None,
    more: dict[str, Any] | None = None,
    **store: Any,
) -> Path:
    """A configuration, with its mapping beside it."""
    directory.mkdir(exist_ok=True)
    (directory / "mapping.yaml").write_text(yaml.safe_dump(mapping))
    kind = mapping.get("kind", "semantic")
    configured = {
        "data_dir": "data",
        "routes": {kind: {"store": "legacy", "embedder": embedder, **(route or {})}},
        "stores": {"legacy": {"adopt": "mapping.yaml", **store}},
        "embedders": {"four": FOUR},
        **(more or {}),
    }
    file = directory / "memplane.yaml"
    file.write_text(yaml.safe_dump(configured))
    return file
