"""All measurements, one after the other: what `make bench` runs.

python bench/run.py [--quick] [--data DIR] [--stores all] [--json FILE]

With a directory of conversations (--data, or MEMPLANE_BENCH_DATA) recall is measured too, and that
every store at hand gives the same answers; key-values are measured on those that keep them, and vector
stores beside their vendors' libraries. Each part runs in a process of its own, so that none is
measured with another's leftovers.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

HERE: Final = Path(__file__).resolve().parent
DATA: Final = "MEMPLANE_BENCH_DATA"


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer memories, calls and repeats")
    parser.add_argument("--data", type=Path, help=f"conversations for recall; else ${DATA}")
    parser.add_argument("--stores", default="all", help="names with commas; all are those at hand")
    parser.add_argument("--json", type=Path, help="where to write all figures")
    parser.add_argument("--memplane", type=Path, help="the program, if not this environment's")
    given = parser.parse_args(arguments)
    shared = [] if given.memplane is None else ["--memplane", str(given.memplane)]
    effort = ["--quick"] if given.quick else []
    parts = dict.fromkeys(("echo", "startup", "embedding", "ingest"), effort)
    for name in ("kv", "vendors"):
        parts[name] = [*effort, "--stores", given.stores]
    data = given.data or (Path(os.environ[DATA]) if os.environ.get(DATA) else None)
    if data is not None:
        parts["locomo"] = [*effort, "--data", str(data), "--stores", given.stores]
    else:
        print(f"no conversations: recall is not measured (--data DIR, or {DATA})")
    figures: dict[str, Any] = {}
    failed: list[str] = []
    with tempfile.TemporaryDirectory(prefix="memplane-bench-") as directory:
        for name, options in parts.items():
            file = Path(directory) / f"{name}.json"
            print(f"== {name}", flush=True)
            command = [sys.executable, str(HERE / f"{name}.py"), "--json", str(file)]
            done = subprocess.run([*command, *options, *shared], check=False)
            if done.returncode:
                failed.append(name)
            if file.exists():  # also where it judged what it measured
                figures |= json.loads(file.read_text(encoding="utf-8"))
    if given.json is not None:
        given.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
