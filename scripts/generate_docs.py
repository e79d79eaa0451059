"""Writes the parts of the docs that are made from code: the capability table in the README."""

from __future__ import annotations

import sys
import tempfile
from importlib.metadata import entry_points
from pathlib import Path
from typing import Final

from memplane_adapters.contract import Adapter, Capabilities, Op, Pushdown
from memplane_gateway.memory.write.leases import coordinated

ROOT: Final = Path(__file__).resolve().parent.parent
README: Final = ROOT / "README.md"
BEGIN: Final = "<!-- capabilities: begin -->\n"
END: Final = "<!-- capabilities: end -->\n"

FACTS: Final = {
    "VECTOR search": "vector",
    "KEYWORD search": "keyword",
    "HYBRID search": "hybrid",
    "`exact` search": "exact_search",
    "may miss hits unless `exact`": "approximate",
    "memories without a vector": "vectorless",
    "order by time": "ordered_scan",
    "exact counts": "exact_count",
    "reads see writes at once": "read_your_writes",
    "atomic batches": "atomic",
}


def columns() -> dict[str, Capabilities]:
    """What each installed adapter of ours declares, by adapter and promise; the default one first."""
    found: dict[str, Capabilities] = {}
    entries = entry_points(group="memplane.adapters")
    with tempfile.TemporaryDirectory() as directory:
        for entry in sorted(entries, key=lambda each: (each.name != "embedded", each.name)):
            if not entry.value.startswith("memplane_adapters."):
                continue
            adapter = entry.load()
            assert isinstance(adapter, Adapter)
            backend = adapter.connect(adapter.settings(), Path(directory))
            if backend.vector is not None:
                found[f"{adapter.name}, vectors"] = backend.vector.capabilities
            if backend.key_value is not None:
                found[f"{adapter.name}, key-values"] = backend.key_value.capabilities
    return found


def filters(capabilities: Capabilities) -> str:
    """How filters are pushed down, in a few words."""
    by_level = dict.fromkeys(Pushdown, 0)
    for op in Op:
        by_level[capabilities.pushdown(op)] += 1
    return ", ".join(
        f"{number if number < len(Op) else 'all'} {level.value}"
        for level, number in by_level.items()
        if number
    )


def table() -> str:
    """The capability table as Markdown."""
    stores = columns()
    rows = [["", *stores], ["---"] * (len(stores) + 1)]
    for title, name in FACTS.items():
        rows.append([title, *("yes" if getattr(c, name) else "no" for c in stores.values())])
    rows.append(["filter operators pushed down", *map(filters, stores.values())])
    rows.append(
        [
            "preconditions kept by",
            *(coordinated(c).conditional_write.value for c in stores.values()),
        ]
    )
    rows.append(["tenants kept apart by", *(c.isolation for c in stores.values())])
    rows.append(
        [
            "durability",
            *(", ".join(level.name for level in c.durability) for c in stores.values()),
        ]
    )
    rows.append(
        [
            "most of a memory beside its vectors",
            *(
                f"{c.max_metadata_bytes:,} bytes" if c.max_metadata_bytes else ""
                for c in stores.values()
            ),
        ]
    )
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def main() -> int:
    """Writes the table between its marks."""
    text = README.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        print(f"README.md has lost its marks {BEGIN.strip()} and {END.strip()}", file=sys.stderr)
        return 1
    made = f"{before}{begin}\n{table()}\n{end}{after}"
    if made != text:
        README.write_text(made, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
