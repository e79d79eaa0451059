"""What goes wrong on purpose: answers of 429, 503 or another status to the next requests."""

from __future__ import annotations

from dataclasses import dataclass, field

from memplane_adapters.pinecone.emulator.errors import RefusalError, bad


@dataclass(slots=True)
class Faults:
    """The statuses of the next requests whose path holds `path`, one each; 0 lets one pass."""

    statuses: list[int] = field(default_factory=list)
    path: str = ""
    retry_after: float | None = None

    def set(self, given: object) -> None:
        """As JSON says: {"statuses": [429, 0, 503], "path": "/query", "retry_after": 0.5}."""
        if not isinstance(given, dict) or not isinstance(given.get("statuses"), list):
            raise bad('faults are like {"statuses": [429, 0, 503], "path": "/query"}')
        self.statuses = given["statuses"]
        self.path = str(given.get("path", ""))
        self.retry_after = given.get("retry_after")

    def strike(self, path: str) -> None:
        """Refuse the request, if its turn has come."""
        if not self.statuses or self.path not in path:
            return
        status = self.statuses.pop(0)
        if status:
            raise RefusalError(status, "as it was told", retry_after=self.retry_after)
