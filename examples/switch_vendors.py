"""Switches the vendor of a gateway that is in use: copies what is there, catches up, and asks both.

python examples/switch_vendors.py DIRECTORY [VECTOR]

VECTOR is what MEMPLANE_VECTOR would be: chroma+http://localhost:8000, qdrant+http://localhost:6333; without
it the engine inside Qdrant's client library, in the directory (pip install 'memplane-gateway[qdrant]').
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

import memplane
from memplane import Client, Kind

FACTS = {
    "tea": "Prefers green tea in the morning",
    "cake": "Bakes carrot cake on Sundays",
    "oslo": "Lives in Oslo near the harbour",
}
QUESTIONS = ("What tea in the morning?", "Which cake on Sundays?", "Where in Oslo?")


def copy(old: Client, new: Client, since: datetime | None = None) -> int:
    """Brings all memories over, or those that were written since; returns how many."""
    changed = None if since is None else {"@update_time": {"$gte": since}}
    count = 0
    for kind in Kind:
        # With their vectors nothing is embedded again: both gateways have the same embedder.
        memories = old.scan(kind, filter=changed, with_vectors=True)
        count += new.ingest(memories).answered  # each is read as the stream has room for it
    return count


def ask(client: Client) -> list[tuple[str, float]]:
    """What a client sees: the best memory for each question, and its score."""
    best = [
        client.search(question, mode="vector", exact=True, limit=1)[0] for question in QUESTIONS
    ]
    return [(hit.memory.text, round(hit.score or 0.0, 3)) for hit in best]


def run(place: Path, vector: str) -> None:
    """Two gateways here; where they are services of their own, two clients are all that it takes."""
    with memplane.local(place / "old") as old, memplane.local(place / "new", vector=vector) as new:
        for key, text in FACTS.items():
            old.remember(text, key=key)
        old.record("Asked for a refund", session_id="s-1")
        old.set("tone", {"style": "short"})

        begin = datetime.now(UTC)
        print(f"copied {copy(old, new)} memories")
        old.remember("Prefers black tea in the morning", key="tea")  # meanwhile somebody writes
        # Now let the writers pause, and bring over what was written since. (What was deleted since
        # is not: pause deletes before the first copy.)
        print(f"caught up with {copy(old, new, begin)}")

        for before, after in zip(ask(old), ask(new), strict=True):
            print(f"{before[1]:.3f} {after[1]:.3f}  {after[0]}")
            if before != after:
                sys.exit(f"differs: {before}")
        if old.value("tone") != new.value("tone"):
            sys.exit("differs: tone")
        stores = (client.status().routes[Kind.SEMANTIC].adapter for client in (old, new))
        print("the same answers from {} and {}".format(*stores))


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: python examples/switch_vendors.py DIRECTORY [VECTOR-STORE]")
    directory = Path(sys.argv[1]).resolve()
    run(directory, sys.argv[2] if len(sys.argv) > 2 else f"qdrant+{directory / 'qdrant'}")
