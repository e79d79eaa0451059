"""What the exit status of `memplane` means; the numbers beyond 2 are those of sysexits.h."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from typing import NoReturn

import typer

OK = 0
FAILED = 1  # not found, an item was refused, a route does not serve, a check failed
USAGE = 2  # the command line or the request is wrong
UNAVAILABLE = 69  # no gateway, or a store that is down
IO = 74  # the deadline passed, or reading or writing failed
CONFIG = 78  # the configuration is wrong
INTERRUPTED = 130  # as shells say it: Ctrl-C

TEXT = (
    "Exit status: 0 done; 1 not found or refused; 2 wrong usage; 69 no gateway answers, or its store "
    "is down; 74 the time was up, or input or output failed; 78 wrong configuration; "
    "130 interrupted."
)


def say(message: str) -> None:
    """Tells people something, on stderr: stdout is for results."""
    sys.stderr.write(f"{message}\n")
    sys.stderr.flush()


def say_json(code: str, message: str) -> None:
    """Tells programs what went wrong, in the form that errors of the gateway have."""
    error = {"code": code, "reason": "", "message": message, "metadata": {}}
    say(json.dumps({"error": error}, ensure_ascii=False))


@contextlib.contextmanager
def printing() -> Iterator[None]:
    """Ends the program when what is written to stdout meanwhile cannot be written."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read it has enough
        raise
    except OSError as error:
        with contextlib.suppress(OSError):
            sys.stdout.close()  # what it still holds cannot be written either
        leave(IO, f"the output is not whole: {error.strerror}")


def leave(code: int, message: str = "") -> NoReturn:
    """Ends the program."""
    if message:
        say(f"memplane: {message}")
    raise typer.Exit(code)
