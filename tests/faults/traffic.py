"""Callers that go on and on, and note what they were told."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Self

from tests.faults.process import until

from memplane import Client, DeadlineExceeded, Kind, MemplaneError, Unavailable

WRITERS = 4
READERS = 2
CALL_SECONDS = 5.0
PATIENCE = 90.0


class Traffic:
    """Writers, each of his own keys, and readers of what was acknowledged."""

    def __init__(self, address: str) -> None:
        self.acknowledged: dict[str, str] = {}
        """Text by key."""
        self.doubtful: set[str] = set()
        """Keys whose write failed, and may have taken effect."""
        self.wrong: list[str] = []
        """Answers that must not be."""
        self.errors = 0
        self._address = address
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._write, args=(number,)) for number in range(WRITERS)
        ] + [threading.Thread(target=self._read) for _ in range(READERS)]

    def wait_for_acknowledged(self, number: int) -> None:
        """Return after so many more acknowledged writes."""
        before = len(self.acknowledged)
        until(lambda: len(self.acknowledged) >= before + number, PATIENCE, "acknowledged writes")

    def wait_for_errors(self, number: int) -> None:
        """Return after so many more failed calls."""
        before = self.errors
        until(lambda: self.errors >= before + number, PATIENCE, "failed calls")

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _write(self, writer: int) -> None:
        number = 0
        with Client(self._address, options=[("grpc.enable_retries", 0)]) as client:
            while not self._over.is_set():
                number += 1
                key, text = f"{writer}-{number:05}", f"fact {number} of writer {writer}"
                try:
                    client.put(Kind.SEMANTIC, key, text=text, timeout=CALL_SECONDS)
                except (Unavailable, DeadlineExceeded):
                    self.doubtful.add(key)
                    self.errors += 1
                except MemplaneError as error:
                    self.wrong.append(f"put: {error}")
                else:
                    self.acknowledged[key] = text

    def _read(self) -> None:
        with Client(self._address, options=[("grpc.enable_retries", 0)]) as client:
            while not self._over.is_set():
                known = list(self.acknowledged)
                if not known:
                    self._over.wait(0.01)
                    continue
                try:
                    got = client.get(Kind.SEMANTIC, known[-1], timeout=CALL_SECONDS)
                    counted = client.count(Kind.SEMANTIC, timeout=CALL_SECONDS)
                    recent = client.search(limit=5, timeout=CALL_SECONDS)
                except (Unavailable, DeadlineExceeded):
                    self.errors += 1
                except MemplaneError as error:
                    self.wrong.append(f"read: {error}")
                else:
                    if got is None or counted < len(known) or not recent:
                        self.wrong.append(f"{got}, {counted} of {len(known)}, {recent}")
