"""`memplane ingest`: bring the memories of a file in."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from memplane_gateway.cli import exits, options, output
from memplane_gateway.cli.bar import Bar
from memplane_gateway.cli.client import calling
from memplane_gateway.cli.interrupts import Interrupts

if TYPE_CHECKING:
    from memplane import IngestAck, IngestResult, Put
    from memplane_gateway.cli.importing import Import

_SHOWN = 20
_FIRST = 5
_OF_THE_COMMAND = ("INVALID_ARGUMENT", "OUT_OF_RANGE", "ALREADY_EXISTS")
"""What is refused because of the command itself: the same one is refused again."""


class FormatName(StrEnum):
    """How a file is to be read."""

    AUTO = "auto"
    JSONL = "jsonl"
    CHAT = "chat"
    LOCOMO = "locomo"


def ingest(
    file: Annotated[
        str,
        typer.Argument(metavar="FILE", help='The file; "-" reads stdin, which is not resumable.'),
    ],
    *,
    form_of_file: Annotated[
        FormatName,
        typer.Option(
            "--format",
            "-f",
            help="jsonl: one memory a line, as `memplane scan` writes them; chat: OpenAI's messages; "
            "locomo: the LoCoMo data set; auto: by what the file holds.",
        ),
    ] = FormatName.AUTO,
    kind: Annotated[
        options.KindName | None,
        typer.Option(
            "--kind", "-k", help="The kind where a line names none: semantic. Chats are episodic."
        ),
    ] = None,
    namespace: options.Namespace = None,
    batch_items: Annotated[
        int, typer.Option("--batch-items", min=1, max=1000, help="How many memories a batch has.")
    ] = 200,
    ingest_id: Annotated[
        str | None,
        typer.Option(
            "--ingest-id",
            help="Under this name it can be taken up again; else under one that is made of the "
            "file's bytes, the format, the kind and the namespace.",
        ),
    ] = None,
    with_vectors: Annotated[
        bool,
        typer.Option(
            "--with-vectors",
            help="Keep the vectors that an embedder made, as given by a client; else the route's "
            "embedder makes its own.",
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Read everything, write nothing; needs no gateway.")
    ] = False,
    target: options.Target = options.DEFAULT_TARGET,
    form: options.Output = options.OutputForm.TABLE,
) -> None:
    """Write the memories of a file: JSON Lines, chat transcripts, LoCoMo.

    Namespaces in the file lie below the given one. What is no memory is refused by its line.

    Cut off, the same command goes on where it was; done again, it changes nothing.
    """
    from memplane_gateway.cli.formats.entries import FormatError
    from memplane_gateway.cli.importing import Import

    try:
        with Import.of(
            file,
            form=None if form_of_file is FormatName.AUTO else form_of_file.value,
            kind=None if kind is None else kind.value,
            namespace=tuple(namespace or ()),
            ingest_id=ingest_id,
            batch_items=batch_items,
            with_vectors=with_vectors,
        ) as reading:
            if reading.format != FormatName.JSONL and kind not in (None, options.KindName.EPISODIC):
                raise typer.BadParameter(
                    f"what is read as {reading.format} is episodic", param_hint="--kind"
                )
            if dry_run:
                _look(reading, form)
            else:
                _write(reading, batch_items, target, form)
    except FormatError as error:
        exits.leave(exits.FAILED, f"{output.visible(file)} cannot be read: {error}")
    except KeyboardInterrupt:
        exits.leave(exits.INTERRUPTED, "interrupted")
    except BrokenPipeError:  # whoever read the output: that is not about the file
        raise
    except OSError as error:
        exits.leave(exits.IO, f"{output.visible(file)} cannot be read: {error.strerror or error}")


def _look(reading: Import, form: options.OutputForm) -> None:
    """Reads all, and says what it is."""
    counts: dict[str, int] = {}
    first: list[Put] = []
    for put in reading.puts():
        name = put.ref.kind.value
        counts[name] = counts.get(name, 0) + 1
        if len(first) < _FIRST:
            first.append(put)
    with exits.printing():
        _say_look(reading, counts, first, form)
    _leave_if_refused(reading)


def _say_look(
    reading: Import, counts: dict[str, int], first: list[Put], form: options.OutputForm
) -> None:
    from memplane_gateway.cli.formats.json_lines import document_of

    total = sum(counts.values())
    if form is options.OutputForm.JSON:
        output.print_json(
            {
                "format": reading.format,
                "dry_run": True,
                "ingest_id": reading.ingest_id,
                "memories": total,
                "by_kind": counts,
                "first": [document_of(put) for put in first],
                "refused": reading.refused,
                "problems": _problems(reading),
            }
        )
    else:
        kinds = ", ".join(f"{count} {name}" for name, count in counts.items())
        sys.stdout.write(f"{reading.format}: {total} memories{f' ({kinds})' if kinds else ''}\n")
        if first:
            rows = [
                (output.namespace(p.ref.namespace) or "-", p.ref.key or None, p.text, p.attributes)
                for p in first
            ]
            output.print_table(("NAMESPACE", "KEY", "TEXT", "ATTRIBUTES"), rows, shorten=True)
        _say_refused(reading)


def _write(reading: Import, batch_items: int, target: str, form: options.OutputForm) -> None:
    """Reads and writes."""
    from memplane import MemplaneError

    plain = form is options.OutputForm.TABLE
    if reading.unrepeatable:
        exits.say(
            "memplane: what comes through a pipe cannot be read again: cut off, this ingest begins anew "
            "(a file, or --ingest-id and the same bytes again, would go on)"
        )
    try:
        with calling(target, options.DEFAULT_TIMEOUT, form) as client:
            client.capabilities()  # without a gateway this fails at once, and a stream only in time
            try:
                with Bar(reading.total, lines=plain) as progress, Interrupts() as interrupts:

                    def puts() -> Iterator[Put]:
                        for put in reading.puts():
                            interrupts.look()
                            yield put

                    def answered(ack: IngestAck) -> None:
                        progress.at(reading.done, reading.answered(ack))
                        interrupts.look()

                    result = client.ingest(
                        puts(),
                        ingest_id=reading.ingest_id,
                        batch_items=batch_items,
                        on_ack=answered,
                    )
            except MemplaneError as error:
                if plain:
                    _say_how_to_go_on(reading, the_same=error.code not in _OF_THE_COMMAND)
                raise
    except KeyboardInterrupt:
        _say_how_to_go_on(reading)
        raise
    with exits.printing():
        _say_result(reading, result, form)
    _leave_if_refused(reading)


def _say_result(reading: Import, result: IngestResult, form: options.OutputForm) -> None:
    figures = {
        "created": result.created,
        "updated": result.updated,
        "unchanged": result.unchanged,
        "spooled": result.spooled,
        "replayed": result.replayed,
        "refused": reading.refused,
    }
    if form is options.OutputForm.JSON:
        named = {"format": reading.format, "ingest_id": result.ingest_id}
        output.print_json(named | figures | {"problems": _problems(reading)})
        return
    shown = ", ".join(
        f"{figures[name]:,} {name}"
        for name in ("created", "updated", "unchanged", "spooled", "refused")
        if figures[name] or name == "created"
    )
    if result.replayed:
        shown += f" ({result.replayed:,} of these by an earlier run)"
    sys.stdout.write(f"{shown}\n")
    sys.stdout.flush()
    if result.updated:
        exits.say(
            f"memplane: {result.updated:,} overwritten: their keys were there with other content"
        )
    _say_refused(reading)


def _say_refused(reading: Import) -> None:
    for problem in reading.problems[:_SHOWN]:
        exits.say(output.visible(f"refused: {problem.where}: {problem.reason}"))
    more = reading.refused - min(_SHOWN, len(reading.problems))
    if more:
        exits.say(f"... and {more:,} more")


def _say_how_to_go_on(reading: Import, *, the_same: bool = True) -> None:
    exits.say(f"memplane: {reading.written:,} memories were answered")
    if not the_same:
        return
    if reading.unrepeatable:
        exits.say("  the same input again would write them again")
    else:
        exits.say("  the same command goes on from there")


def _problems(reading: Import) -> list[dict[str, str]]:
    return [
        {"where": _printed(each.where), "reason": _printed(each.reason)}
        for each in reading.problems
    ]


def _printed(text: str) -> str:
    """A text with half characters escaped: they have no UTF-8."""
    return text.encode(errors="backslashreplace").decode()


def _leave_if_refused(reading: Import) -> None:
    if reading.refused:
        exits.leave(exits.FAILED)
