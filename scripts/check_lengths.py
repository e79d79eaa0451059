"""Refuses hand-written files over 500 lines: in a longer one there are two rooms to be found."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
LIMIT: Final = 500
GENERATED: Final = ("_pb2.py", "_pb2_grpc.py")


def main() -> int:
    """Looks at every .py and .proto file that git knows or would add."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    patterns = ["--", "*.py", "*.proto"]
    output = subprocess.run(
        listing + patterns, cwd=ROOT, capture_output=True, check=True, text=True
    ).stdout
    too_long = 0
    for name in sorted(set(filter(None, output.split("\0")))):
        path = ROOT / name
        if name.endswith(GENERATED) or not path.is_file():
            continue
        lines = len(path.read_text(encoding="utf-8").splitlines())
        if lines > LIMIT:
            too_long += 1
            print(f"{name}: {lines} lines, {LIMIT} at most")
    return 1 if too_long else 0


if __name__ == "__main__":
    sys.exit(main())
