"""The words of the command line."""

from __future__ import annotations

import contextlib
import itertools
import sys
from collections.abc import Sequence
from io import TextIOWrapper
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from memplane_gateway.cli import (
    adopt,
    certify,
    completion,
    config,
    consolidate,
    count,
    delete,
    demo,
    doctor,
    exits,
    forget,
    get,
    ingest,
    init,
    namespaces,
    outbox,
    purge,
    put,
    scan,
    search,
    serve,
    stats,
    status,
    sweep,
    version,
)
from memplane_gateway.cli import list as listing


class _Words(TyperGroup):
    """The words; where the output is to be JSON, wrong usage is told in JSON, too."""

    def main(self, args: Sequence[str] | None = None, *rest: Any, **named: Any) -> Any:
        given = list(sys.argv[1:] if args is None else args)
        if not _wants_json(given):
            return super().main(args, *rest, **named)
        try:
            code = super().main(args, *rest, **{**named, "standalone_mode": False})
        except Exception as error:
            said = getattr(error, "format_message", None)
            if said is None:
                raise
            exits.say_json("INVALID_ARGUMENT", said())
            code = getattr(error, "exit_code", exits.USAGE)
        sys.exit(code if isinstance(code, int) else exits.OK)


def _wants_json(arguments: Sequence[str]) -> bool:
    pairs = itertools.pairwise(arguments)
    return any(each in ("--output=json", "-ojson") for each in arguments) or any(
        option in ("-o", "--output") and value == "json" for option, value in pairs
    )


app = typer.Typer(
    name="memplane",
    cls=_Words,
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
app.command(rich_help_panel=GATEWAY)(init.init)
app.command(rich_help_panel=GATEWAY)(serve.serve)
app.command(rich_help_panel=GATEWAY)(demo.demo)
app.command(rich_help_panel=GATEWAY)(status.status)
app.command(rich_help_panel=GATEWAY)(doctor.doctor)
app.command(rich_help_panel=GATEWAY)(certify.certify)
app.add_typer(config.app, name="config", rich_help_panel=GATEWAY)
app.add_typer(outbox.app, name="outbox", rich_help_panel=GATEWAY)
app.command(rich_help_panel=GATEWAY)(sweep.sweep)
app.command(rich_help_panel=GATEWAY)(version.version)
app.command(rich_help_panel=GATEWAY)(completion.completion)
app.command(rich_help_panel=MEMORIES)(put.put)
app.command(rich_help_panel=MEMORIES)(get.get)
app.command(rich_help_panel=MEMORIES)(search.search)
app.command("list", rich_help_panel=MEMORIES)(listing.list_)
app.command(rich_help_panel=MEMORIES)(delete.delete)
app.command(rich_help_panel=MEMORIES)(count.count)
app.command(rich_help_panel=MEMORIES)(purge.purge)
app.command(rich_help_panel=MEMORIES)(forget.forget)
app.command(rich_help_panel=MEMORIES)(consolidate.consolidate)
app.command(rich_help_panel=MEMORIES)(ingest.ingest)
app.command(rich_help_panel=MEMORIES)(scan.scan)
app.command(rich_help_panel=MEMORIES)(adopt.adopt)
app.command(rich_help_panel=MEMORIES)(namespaces.namespaces)
app.command(rich_help_panel=MEMORIES)(stats.stats)


def run() -> None:
    """Runs the command line on the arguments of the process."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            with contextlib.suppress(
                OSError
            ):  # a character that the terminal lacks is no reason to end
                stream.reconfigure(errors="backslashreplace")
    completion.prepare()
    app()
