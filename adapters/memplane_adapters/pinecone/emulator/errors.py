"""How the emulator refuses."""

from __future__ import annotations

from typing import Final

from memplane_adapters.pinecone.emulator.http import Reply

_CODES: Final = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "FORBIDDEN",
    404: "NOT_FOUND",
    409: "ALREADY_EXISTS",
    413: "PAYLOAD_TOO_LARGE",
    429: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
}


class RefusalError(Exception):
    """An answer that is no success."""

    def __init__(self, status: int, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.retry_after = retry_after

    @property
    def reply(self) -> Reply:
        """As the service writes it."""
        code = _CODES.get(self.status, "UNKNOWN")
        headers = {} if self.retry_after is None else {"Retry-After": f"{self.retry_after:g}"}
        error = {"code": code, "message": self.message}
        return Reply({"error": error, "status": self.status}, self.status, headers)


def bad(message: str) -> RefusalError:
    """What was sent is wrong."""
    return RefusalError(400, message)
