"""Writes the configurations beside deploy/compose.yaml, a profile each, as `memplane init` does."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from memplane_gateway.config import first_file, vendor
from memplane_gateway.config.environment import short_form
from memplane_gateway.config.stores import installed

DEPLOY: Final = Path(__file__).resolve().parent.parent / "deploy"
REDIS: Final = "redis://:env@redis:6379/0"
PROFILES: Final[Mapping[str, tuple[str, ...]]] = {
    "qdrant": ("qdrant+http://qdrant:6333?api_key=env", REDIS),
    "chroma": ("chroma+http://chroma:8000", REDIS),
    "weaviate": ("weaviate+http://weaviate:8080?api_key=env", REDIS),
    "pgvector": ("postgres://memplane:env@postgres:5432/memplane",),
    "pinecone": ("pinecone", REDIS),
    "embedded": ("embedded",),
}
"""The stores of each, by their names in compose.yaml. A secret in an address becomes a reference."""


def file_of(stores: tuple[str, ...]) -> str:
    """The configuration for these stores."""
    return first_file([vendor(store) for store in stores], None, "hash").text


def is_there(stores: tuple[str, ...]) -> bool:
    """Whether we have the adapters of all of them."""
    return {(short_form(store) or (store,))[0] for store in stores} <= installed().keys()


def main() -> int:
    """Writes the files."""
    for profile, stores in PROFILES.items():
        file = DEPLOY / f"{profile}.yaml"
        made = file_of(stores) if is_there(stores) else None
        if made is None:
            file.unlink(missing_ok=True)
        elif not file.exists() or file.read_text(encoding="utf-8") != made:
            file.write_text(made, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
