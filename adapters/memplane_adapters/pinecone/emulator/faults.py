"""What goes wrong on purpose: answers of 429 or 503 for a number of requests."""

from __future__ import annotations

from dataclasses import dataclass

from memplane_adapters.pinecone.emulator.errors import RefusalError, bad


@dataclass(slots=True)
class Faults:
    """The next `count` requests whose path holds `path` are answered with `status`."""

    status: int = 503
    count: int = 0
    path: str = ""
    retry_after: float | None = None

    def set(self, given: object) -> None:
        """As JSON says: {"status": 429, "count": 3, "path": "/query", "retry_after": 0.5}."""
        if not isinstance(given, dict) or not isinstance(given.get("count"), int):
            raise bad('faults are like {"status": 429, "count": 3, "path": "/query"}')
        self.status = int(given.get("status", 503))
        self.count = given["count"]
        self.path = str(given.get("path", ""))
        self.retry_after = given.get("retry_after")

    def strike(self, path: str) -> None:
        """Refuse the request, if its turn has come."""
        if self.count > 0 and self.path in path:
            self.count -= 1
            words = {429: "Too many requests", 503: "The service is unavailable"}
            raise RefusalError(
                self.status,
                words.get(self.status, "An internal error"),
                retry_after=self.retry_after,
            )
