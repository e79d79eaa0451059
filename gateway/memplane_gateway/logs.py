"""Structured logs on stderr: one line an event, JSON or text."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def configure(level: str, form: str) -> None:
    """Send the logs of this process to stderr; `form` is "json" or "text"."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(_caller_is_there)
    handler.setFormatter(_Json() if form == "json" else _Text())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("memplane").setLevel(level.upper())
    logging.getLogger("memplane_gateway").setLevel(level.upper())
    logging.getLogger("memplane_adapters").setLevel(level.upper())


def _caller_is_there(record: logging.LogRecord) -> bool:
    """Drops what grpc logs, with a trace, when a caller leaves before his answer is sent."""
    left = record.exc_info and record.exc_info[0] and record.exc_info[0].__name__
    return not (record.name == "grpc._cython.cygrpc" and left == "ExecuteBatchError")


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        """One JSON object; all that is odd in strings is escaped."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_facts(record),
        }
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        """Time, level, message and name=value pairs, with everything odd escaped."""
        time = datetime.fromtimestamp(record.created, UTC).strftime("%H:%M:%S.%f")[:-3]
        facts = "".join(
            f" {name}={json.dumps(value, default=str)}" for name, value in _facts(record).items()
        )
        trace = f"\n{self.formatException(record.exc_info)}" if record.exc_info else ""
        message = json.dumps(record.getMessage(), ensure_ascii=False)[1:-1]
        return f"{time} {record.levelname.lower():7} {message}{facts}{trace}"


def _facts(record: logging.LogRecord) -> dict[str, object]:
    return {name: value for name, value in vars(record).items() if name not in _STANDARD}
