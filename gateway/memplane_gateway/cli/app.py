"""The words of the command line."""

from __future__ import annotations

import contextlib
import sys
from io import TextIOWrapper
from typing import Annotated

import typer

from memplane_gateway.cli import (
    config,
    count,
    delete,
    demo,
    doctor,
    exits,
    get,
    put,
    search,
    serve,
    status,
    version,
)
from memplane_gateway.cli import list as listing

app = typer.Typer(
    name="memplane",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Memory for AI agents: one gateway, whatever store is behind it.",
    epilog=exits.TEXT,
)


def _version(asked: bool) -> None:
    if asked:
        version.version()
        raise typer.Exit


@app.callback()
def options(
    asked: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    del asked


GATEWAY = "The gateway"
MEMORIES = "Memories"
app.command(rich_help_panel=GATEWAY)(serve.serve)
app.command(rich_help_panel=GATEWAY)(demo.demo)
app.command(rich_help_panel=GATEWAY)(status.status)
app.command(rich_help_panel=GATEWAY)(doctor.doctor)
app.add_typer(config.app, name="config", rich_help_panel=GATEWAY)
app.command(rich_help_panel=GATEWAY)(version.version)
app.command(rich_help_panel=MEMORIES)(put.put)
app.command(rich_help_panel=MEMORIES)(get.get)
app.command(rich_help_panel=MEMORIES)(search.search)
app.command("list", rich_help_panel=MEMORIES)(listing.list_)
app.command(rich_help_panel=MEMORIES)(delete.delete)
app.command(rich_help_panel=MEMORIES)(count.count)


def run() -> None:
    """Runs the command line on the arguments of the process."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            with contextlib.suppress(
                OSError
            ):  # a character that the terminal lacks is no reason to end
                stream.reconfigure(errors="backslashreplace")
    app()
