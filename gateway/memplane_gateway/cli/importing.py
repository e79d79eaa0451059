"""An import under way: what is read, what is refused, and under which name it can be taken up again."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import sys
import uuid
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Self

from memplane import IngestAck, Kind, Put, Ref
from memplane_gateway.cli.formats import reading
from memplane_gateway.cli.formats.entries import Found, Into, Problem
from memplane_gateway.cli.formats.reading import Format
from memplane_gateway.cli.formats.source import Source

STDIN: Final = "-"
MAX_PROBLEMS: Final = 1000
_BATCHES_AHEAD: Final = 6
"""More than the client has under way: four, and the one that it fills."""

_AT: Final = re.compile(r"\bputs\[\d+\]\.(?:memory\.)?")
"""What a gateway says of places in a batch, which nobody sees here."""


class Import:
    """A file whose memories are read one after the other, once."""

    def __init__(
        self,
        source: Source,
        read: reading.Reading,
        *,
        size: int | None = None,
        ingest_id: str | None = None,
        keys: str = "",
        batch_items: int = 1,
        files: ExitStack | None = None,
    ) -> None:
        """Takes what was opened.

        Args:
            source: Where it is read from.
            read: Its entries.
            size: How many bytes there are. None means that nobody knows.
            ingest_id: The name of the ingest. None means that it gets one that nobody can give again.
            keys: What the keys of memories that have none are derived from. Empty means that the
                gateway derives them.
            batch_items: How many memories a batch has.
            files: What is to be closed at the end.
        """
        self.format = read.format.value
        self.ingest_id = ingest_id
        self.problems: list[Problem] = []
        """What was refused, the first 1,000."""
        self.refused = 0
        self.written = 0
        """How many memories were answered, but for the refused ones."""
        self.total = size
        """How much there is, in the unit of `done`."""
        self._entries = read.entries
        self._source = source if read.by_line else None
        if not read.by_line:
            self._entries, self.total = _counted(read.entries)
        self._keys = keys
        self._read = 0
        self._given = 0
        self._places: deque[tuple[int, str]] = deque(maxlen=_BATCHES_AHEAD * batch_items)
        self._files = files or ExitStack()

    @classmethod
    def of(
        cls,
        file: str,
        *,
        form: str | None,
        kind: str | None,
        namespace: tuple[str, ...],
        ingest_id: str | None,
        batch_items: int,
        with_vectors: bool = False,
    ) -> Self:
        """Opens a file, or stdin.

        Raises:
            OSError: It cannot be read.
            FormatError: It is not in the format.
        """
        with ExitStack() as files:
            path = Path(file)
            stream: BinaryIO = (
                sys.stdin.buffer if file == STDIN else files.enter_context(path.open("rb"))
            )
            size, time = _regular(stream)
            into = Into(
                Kind(kind or Kind.SEMANTIC),
                namespace,
                "stdin" if file == STDIN else path.stem,
                time or datetime.now(UTC),
                with_vectors,
            )
            digest = "" if size is None or ingest_id is not None else _digest(stream)
            source = Source(stream)
            read = reading.read(source, None if form is None else Format(form), into)
            keys = ingest_id or ""
            if digest:
                keys = _name(digest, read.format, into)
                # What changes batches, and not which memories there are, is no part of keys.
                derived = f"-{into.time.timestamp():.6f}" if read.format is Format.CHAT else ""
                ingest_id = f"{keys}-{batch_items}{derived}{'-vectors' if with_vectors else ''}"
            return cls(
                source,
                read,
                size=size,
                ingest_id=ingest_id,
                keys=keys,
                batch_items=batch_items,
                files=files.pop_all(),
            )

    @property
    def unrepeatable(self) -> bool:
        """Whether another run could not go on where this one was cut."""
        return self.ingest_id is None

    @property
    def done(self) -> int:
        """How much of `total` was read: bytes, or entries of a file that was read whole."""
        return self._read if self._source is None else self._source.position

    def puts(self) -> Iterator[Put]:
        """The memories, each with a key where there can be one; what is none is noted."""
        for entry in self._entries:
            self._read += 1
            if isinstance(entry, Problem):
                self._refuse(entry)
                continue
            self._places.append((self._given, entry.where))
            self._given += 1
            yield self._keyed(entry.put)

    def answered(self, ack: IngestAck) -> int:
        """Notes an answer; returns how many memories were answered so far."""
        failed = {
            index: result.error
            for index, result in enumerate(ack.results, ack.start)
            if result.error is not None
        }
        self.written += len(ack.results) - len(failed)
        if failed:
            where = dict(self._places)
            for index, error in failed.items():
                place = where.get(index, f"memory {index + 1}")
                self._refuse(Problem(place, _AT.sub("", error.message)))
        return self.written

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._files.close()

    def _refuse(self, problem: Problem) -> None:
        self.refused += 1
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(problem)

    def _keyed(self, put: Put) -> Put:
        if put.ref.key or not self._keys:
            return put
        seed = hashlib.sha256(f"{self._keys}/{self._given}".encode()).digest()
        key = str(uuid.UUID(bytes=seed[:16], version=5))
        return replace(put, ref=Ref(put.ref.kind, put.ref.namespace, key))


def _counted(entries: Iterator[Found | Problem]) -> tuple[Iterator[Found | Problem], int]:
    listed = list(entries)
    return iter(listed), len(listed)


def _regular(stream: BinaryIO) -> tuple[int | None, datetime | None]:
    """The size of a file and the time of its last change; None for what can be read but once."""
    try:
        status = os.fstat(stream.fileno())
    except OSError:  # it is no file of the system's
        return None, None
    if not stat.S_ISREG(status.st_mode) or stream is sys.stdin.buffer:
        return None, None
    return status.st_size, datetime.fromtimestamp(status.st_mtime_ns // 1000 / 1e6, UTC)


def _digest(stream: BinaryIO) -> str:
    """What a file's bytes come to; it is at its beginning again then."""
    digest = hashlib.file_digest(stream, "sha256").hexdigest()  # type: ignore[arg-type]
    stream.seek(0)
    return digest


def _name(digest: str, form: Format, into: Into) -> str:
    parts = (digest, form.value, into.kind.value, *into.namespace)
    told_apart = "".join(f"{len(part)}:{part}" for part in parts)
    return hashlib.sha256(told_apart.encode()).hexdigest()[:32]
