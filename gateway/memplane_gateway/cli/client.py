"""Calling the gateway, and what its errors mean for the exit status."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import typer

from memplane_gateway.cli import exits, output, periods
from memplane_gateway.cli.options import OutputForm

if TYPE_CHECKING:
    from memplane import Client, MemplaneError

HIGHEST_PORT = 65_535
_CODES = {
    "INVALID_ARGUMENT": exits.USAGE,
    "OUT_OF_RANGE": exits.USAGE,
    "UNAVAILABLE": exits.UNAVAILABLE,
    "DEADLINE_EXCEEDED": exits.IO,
}


@contextlib.contextmanager
def calling(target: str, timeout: float, form: OutputForm) -> Iterator[Client]:
    """A client; what a call raises ends the program with a sentence and its exit status."""
    from memplane import Client, MemplaneError

    port = target.rpartition(":")[2]
    if not target.startswith("unix:") and port.isdecimal() and int(port) > HIGHEST_PORT:
        raise typer.BadParameter(
            f"a port is a number up to {HIGHEST_PORT}, not {port}", param_hint="--target"
        )
    try:
        with Client(target, timeout=timeout) as client:
            yield client
    except MemplaneError as error:
        exits.leave(report(error, target, form))


def report(error: MemplaneError, target: str, form: OutputForm) -> int:
    """Says what went wrong on stderr, and returns the exit status."""
    if form is OutputForm.JSON:
        exits.say(json.dumps({"error": output.error(error)}, ensure_ascii=False))
    else:
        exits.say(f"memplane: {output.visible(str(error))}")
        for violation in error.violations:
            if violation.description not in error.message:
                exits.say(f"  {violation.field}: {output.visible(violation.description)}")
        if error.code == "UNAVAILABLE" and not error.reason.startswith(("BACKEND", "EMBEDDER")):
            exits.say(f"  no gateway answers at {target}; start one: memplane serve")
    return _CODES.get(str(error.code), exits.FAILED)


def scoped(client: Client, namespace: Sequence[str] | None) -> Any:
    """The client with the namespace of the command line bound."""
    return client.scope(*(namespace or ()))


def read_json(text: str, option: str) -> Any:
    """Reads JSON from the command line."""
    try:
        return json.loads(text, parse_constant=_no_constant)
    except ValueError as error:
        raise typer.BadParameter(f"is not JSON: {error}", param_hint=option) from None


def read_filter(text: str | None) -> dict[str, Any] | None:
    """Reads a filter in the dictionary form."""
    if text is None:
        return None
    given = read_json(text, "--filter")
    if not isinstance(given, dict):
        raise typer.BadParameter("takes a JSON object", param_hint="--filter")
    return given


def read_period(text: str, option: str) -> float:
    """Reads a period, in seconds."""
    try:
        return periods.seconds(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None


def read_text(text: str | None) -> str | None:
    """The text of the command line; "-" reads it from stdin."""
    if text != "-":
        return text
    try:
        return sys.stdin.read().rstrip("\n")
    except (OSError, UnicodeDecodeError) as error:
        exits.leave(exits.IO, f"stdin cannot be read: {error}")


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")
