"""`memplane init`: write a first configuration for chosen vendors."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from memplane_gateway.cli import exits

_ASKED = "Which store keeps SEMANTIC and EPISODIC memories"
_ASKED_TOO = "Which store keeps PROCEDURAL ones"


def init(
    vendors: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="VENDOR",
            help="Stores: qdrant, chroma, redis, ..., or with an address: qdrant+http://host:6333.",
            show_default=False,
        ),
    ] = None,
    procedural: Annotated[
        str | None,
        typer.Option("--procedural", help="The store of PROCEDURAL memories, if not as given."),
    ] = None,
    embedder: Annotated[
        str, typer.Option("--embedder", help="What makes vectors: hash, openai, fastembed, none.")
    ] = "hash",
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The file to write; - is standard output.")
    ] = Path("memplane.yaml"),
    force: Annotated[
        bool, typer.Option("--force", help="Overwrite the file if it is there.")
    ] = False,
) -> None:
    """Write a commented configuration for the stores named; without any it asks, or takes the embedded one.

    The first store that keeps vectors gets SEMANTIC and EPISODIC, the first of key-values PROCEDURAL.

    What none of them keeps stays in the embedded store, and further ones stand ready.
    """
    from memplane_gateway.config import ChoiceError, first_file, vendor

    if output != Path("-") and output.exists() and not force:
        exits.leave(exits.FAILED, f"{output} is there already; --force overwrites it, -o - prints")
    if not vendors and sys.stdin.isatty() and sys.stdout.isatty():
        vendors, procedural = _ask(procedural)
    try:
        chosen = [vendor(text) for text in vendors or ()]
        keeper = vendor(procedural) if procedural else None
        made = first_file(chosen, keeper, embedder)
    except ChoiceError as error:
        exits.leave(exits.USAGE, str(error))
    if output == Path("-"):
        with exits.printing():
            sys.stdout.write(made.text)
    else:
        try:
            _write(output, made.text, force=force)
        except FileExistsError:
            exits.leave(exits.FAILED, f"{output} is there already")
        except OSError as error:
            exits.leave(exits.IO, f"{output} cannot be written: {error.strerror or error}")
        exits.say(f"wrote {output}: {made.title}")
    file = "" if output == Path("memplane.yaml") else f" --config {shlex.quote(str(output))}"
    steps = [
        *(f"pip install '{each}'" for each in made.install),
        *(f"export {name}=...    # or in .env" for name in made.unset()),
    ]
    if output != Path("-"):
        steps += [f"memplane doctor{file}    # does it work here?", f"memplane serve{file}"]
    if steps:
        exits.say("next:\n" + "\n".join(f"  {step}" for step in steps))


def _write(output: Path, text: str, *, force: bool) -> None:
    """Whole or not at all: an empty file would mean the embedded store."""
    if force and output.exists() and not output.is_file():  # a pipe, a device
        output.write_text(text, encoding="utf-8")
        return
    if not force:
        output.open("x").close()
    beside = output.with_name(f".{output.name}.new")
    try:
        beside.write_text(text, encoding="utf-8")
        beside.replace(output.resolve())
    except OSError:
        beside.unlink(missing_ok=True)
        if not force:
            output.unlink(missing_ok=True)
        raise


def _ask(procedural: str | None) -> tuple[list[str], str]:
    """Asks for the two stores; offered is what is there and keeps such memories."""
    from memplane_gateway.config import keepers

    vectors, key_values = keepers()
    searched = _answer(f"{_ASKED} ({', '.join(vectors)})?")
    return [searched], procedural or _answer(f"{_ASKED_TOO} ({', '.join(key_values)})?")


def _answer(question: str) -> str:
    said: str = typer.prompt(question, default="embedded", err=True)
    return said
