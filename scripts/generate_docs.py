"""Writes the parts of the docs that are made from code: what stores can do, and all limits."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import Final

from memplane_adapters.contract import Adapter, Capabilities, Op, Pushdown
from memplane_gateway import limits
from memplane_gateway.memory.write.leases import coordinated

ROOT: Final = Path(__file__).resolve().parent.parent
README: Final = ROOT / "README.md"
CONTRACT: Final = ROOT / "docs" / "contract.md"

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
LIMITS: Final = {
    "most bytes of a memory": "max_item_bytes",
    "most bytes of a memory beside its vectors": "max_metadata_bytes",
    "most dimensions of a vector": "max_dimension",
    "items in a call, the gateway splits": "max_batch_items",
    "bytes in a call, the gateway splits": "max_batch_bytes",
}
UNITS: Final = {
    "items": "items",
    "labels": "labels",
    "bytes": "bytes (text as UTF-8)",
    "depth": "levels",
    "dimensions": "numbers",
    "conditions": "conditions",
    "operands": "values",
}
"""By the last word of a limit's name."""


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
    for title, name in LIMITS.items():
        rows.append([title, *(_most(getattr(c, name)) for c in stores.values())])
    return markdown(rows)


def _most(limit: int) -> str:
    """A limit as people write it; 0 is none."""
    mib, rest = divmod(limit, 2**20)
    return "-" if limit == 0 else f"{limit:,}" if rest else f"{mib} MiB"


def contract_limits() -> str:
    """The limits of the contract as Markdown."""
    rows = [["limit", "at most", "of"], ["---", "---", "---"]]
    for name, most in limits.SHOWN.items():
        rows.append([f"`{name}`", f"{most:,}", UNITS[name.rpartition("_")[2]]])
    return markdown(rows)


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """A table."""
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def publish(page: Path, name: str, made: str) -> None:
    """Writes a part of a page between its marks."""
    begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->\n"
    text = page.read_text(encoding="utf-8")
    before, has_begin, rest = text.partition(begin)
    _, has_end, after = rest.partition(end)
    if not has_begin or not has_end:
        sys.exit(f"{page.name} has lost its marks {begin.strip()} and {end.strip()}")
    whole = f"{before}{begin}\n{made}\n{end}{after}"
    if whole != text:
        page.write_text(whole, encoding="utf-8")


def main() -> int:
    """Writes the parts."""
    publish(README, "capabilities", table())
    publish(CONTRACT, "limits", contract_limits())
    return 0


if __name__ == "__main__":
    sys.exit(main())
