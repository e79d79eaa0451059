"""Where memories are read from, line by line or whole, with the bytes counted."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import BinaryIO, Final, TypeAlias

Line: TypeAlias = tuple[int, bytes | None]
"""Its number, from 1 on, and its bytes; None when it is too long."""

LONGEST_LINE: Final = 64 * 2**20
"""Bytes; so that what is in memory at a time is bounded, whatever is given."""

_BOM: Final = b"\xef\xbb\xbf"
_CHUNK: Final = 2**20


class Source:
    """A stream of bytes; its first lines can be looked at before it is read."""

    def __init__(self, stream: BinaryIO) -> None:
        self.position = 0
        """How many bytes were read."""
        self._stream = stream
        self._number = 0
        self._seen: deque[Line] = deque()
        """Without the empty ones, of which there may be more than memory holds."""

    def first_lines(self, count: int) -> list[Line]:
        """The first lines that are not empty, which are read again by what is called next."""
        while len(self._seen) < count and (line := self._read_line()) is not None:
            if _filled(line):
                self._seen.append(line)
        return list(self._seen)[:count]

    def lines(self) -> Iterator[Line]:
        """All lines, read as they are asked for, but for empty ones before those looked at."""
        while self._seen:
            yield self._seen.popleft()
        while (line := self._read_line()) is not None:
            yield line

    def whole(self) -> bytes:
        """All at once.

        Raises:
            ValueError: A line that was looked at is too long to be kept.
        """
        if any(line is None for _, line in self._seen):
            raise ValueError(f"begins with a line of more than {LONGEST_LINE // 2**20} MiB")
        head, lines = b"", 0
        for number, line in self._seen:
            head += b"\n" * (number - lines - 1) + (line or b"")
            lines = number
        self._seen.clear()
        rest = self._stream.read()
        self.position += len(rest)
        return (head + rest).removeprefix(_BOM)

    def _read_line(self) -> Line | None:
        line = self._stream.readline(LONGEST_LINE + 1)
        if not line:
            return None
        self.position += len(line)
        self._number += 1
        if self._number == 1:
            line = line.removeprefix(_BOM)
        if len(line) <= LONGEST_LINE:
            return self._number, line
        while line and not line.endswith(b"\n"):
            line = self._stream.readline(_CHUNK)
            self.position += len(line)
        return self._number, None


def _filled(line: Line) -> bool:
    return line[1] is None or bool(line[1].strip())
