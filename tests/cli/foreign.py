"""Collections as others lay them out, made by the vendors' own libraries."""

from __future__ import annotations

import hashlib
import json
import math
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import chromadb
from chromadb.config import Settings
from qdrant_client import QdrantClient, models

FIRST = 1_700_000_000
"""When the first turn was said, in seconds since 1970."""
BAD = 13
"""Which row has no text."""


def vectors(number: int, dimension: int) -> list[list[float]]:
    """Directions, always the same ones."""
    chance = random.Random(number)
    made = [[chance.gauss(0, 1) for _ in range(dimension)] for _ in range(number)]
    return [[one / math.hypot(*vector) for one in vector] for vector in made]


def text(row: int) -> str:
    """What the text of a row is."""
    return f"turn {row} was about tea"


class Foreign(Protocol):
    """A vendor."""

    def fill(self, collection: str, rows: int, dimension: int = 4) -> None:
        """Makes a collection as LangChain lays it out; the row `BAD` has no text."""
        ...

    def digest(self, collection: str) -> str:
        """What all that is in a collection comes to."""
        ...

    def source(self, collection: str) -> dict[str, Any]:
        """The source of a mapping."""
        ...


class Chroma:
    """A server."""

    def __init__(self, url: str) -> None:
        address = urlsplit(url)
        self._url = url
        self.client = chromadb.HttpClient(
            str(address.hostname),
            address.port or 0,
            settings=Settings(anonymized_telemetry=False),
        )

    def fill(self, collection: str, rows: int, dimension: int = 4) -> None:
        made = self.client.create_collection(collection, embedding_function=None)
        made.add(
            ids=[f"row-{row}" for row in range(rows)],
            embeddings=vectors(rows, dimension),  # type: ignore[arg-type]
            documents=[text(row) if row != BAD else "" for row in range(rows)],
            metadatas=[
                {"user_id": f"u{row % 2}", "n": row, "score": row / rows, "page": 2.5, "ok": True}
                for row in range(rows)
            ],
        )

    def digest(self, collection: str) -> str:
        found = self.client.get_collection(collection, embedding_function=None)
        every = found.get(include=["documents", "metadatas", "embeddings"])
        return _digest([found.metadata, {name: _plain(part) for name, part in every.items()}])

    def source(self, collection: str) -> dict[str, Any]:
        return {"adapter": "chroma", "url": self._url, "collection": collection}


class Qdrant:
    """The engine inside the client library, on a directory that one client at a time has open."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def fill(self, collection: str, rows: int, dimension: int = 4) -> None:
        payloads = [
            {
                "page_content": text(row),
                "metadata": {
                    "user_id": row % 2,
                    "at": FIRST + row,
                    "session": f"s-{row % 3}",
                    "topic": "drinks",
                    "source": {"name": f"page {row}"},
                },
            }
            for row in range(rows)
        ]
        if rows > BAD:
            del payloads[BAD]["page_content"]
        self.put(collection, payloads, dimension)

    def put(self, collection: str, payloads: Sequence[dict[str, Any]], dimension: int = 4) -> None:
        """Makes a collection of these payloads; ids are their numbers."""
        params = models.VectorParams(size=dimension, distance=models.Distance.COSINE)
        points = [
            models.PointStruct(id=row, vector=vector, payload=payload)
            for row, (payload, vector) in enumerate(
                zip(payloads, vectors(len(payloads), dimension), strict=True)
            )
        ]
        client = QdrantClient(path=str(self._directory))
        client.create_collection(collection, vectors_config=params)
        client.upload_points(collection, points)
        client.close()

    def digest(self, collection: str) -> str:
        client = QdrantClient(path=str(self._directory))
        records, rest = client.scroll(collection, limit=10_000, with_vectors=True)
        config = client.get_collection(collection).config.model_dump(mode="json")
        client.close()
        assert rest is None
        return _digest([config, [record.model_dump(mode="json") for record in records]])

    def source(self, collection: str) -> dict[str, Any]:
        return {"adapter": "qdrant", "path": str(self._directory), "collection": collection}


def _plain(part: Any) -> Any:
    return part.tolist() if hasattr(part, "tolist") else part


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
