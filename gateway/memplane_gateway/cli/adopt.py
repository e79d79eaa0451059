"""`memplane adopt`: take over a collection that others made."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NoReturn, TypeVar

import typer

from memplane_gateway.cli import exits, options, output

if TYPE_CHECKING:
    from memplane_gateway.adopting import Adoption, SourceError
    from memplane_gateway.cli.adoptions import Report

_TRIED: Final = 10
_SHOWN: Final = 20
"""Rows that are named on stderr; --output json has the first 1,000."""
_COLUMNS: Final = ("KEY", "NAMESPACE", "TEXT", "TIME", "ATTRIBUTES")
T = TypeVar("T")


def adopt(
    mapping: Annotated[Path, typer.Argument(help="The YAML file: which collection, and how.")],
    *,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Only show what rows would become. Needs no gateway."),
    ] = False,
    rows: Annotated[
        int | None,
        typer.Option("--rows", min=0, help="How many rows a dry run reads, else 10; 0 is all."),
    ] = None,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Write over memories that are there under the same key."),
    ] = False,
    batch_items: Annotated[
        int, typer.Option("--batch-items", min=1, max=1000, help="Memories a batch has at most.")
    ] = 200,
    target: options.Target = options.DEFAULT_TARGET,
    timeout: options.Timeout = options.DEFAULT_TIMEOUT,
    form: options.Output = options.OutputForm.TABLE,
) -> None:
    """Take over a collection of Chroma or Qdrant that others made. It is read and never written.

    memplane adopt mapping.yaml --dry-run
    """
    if rows is not None and not dry_run:
        raise typer.BadParameter("only with --dry-run", param_hint="--rows")
    adoption = _read(mapping, form)
    from memplane_gateway.cli import adoptions

    lines = form is not options.OutputForm.JSON
    if dry_run:
        tried = _TRIED if rows is None else rows or None
        work = adoptions.rehearse(adoption, tried, lines=lines)
    else:
        writing = adoptions.Writing(overwrite=overwrite, batch_items=batch_items, lines=lines)
        work = adoptions.carry_out(adoption, writing, target, timeout)
    report = _run(work, adoption, target, form)
    _show(report, adoption, form)
    if report.reading.refused or report.changed:
        exits.leave(exits.FAILED)


def _read(file: Path, form: options.OutputForm) -> Adoption:
    from memplane_gateway.adopting import read_adoption
    from memplane_gateway.config import ConfigError

    try:
        return read_adoption(file)
    except ConfigError as error:
        if form is options.OutputForm.JSON:
            exits.say_json("INVALID_ARGUMENT", "\n".join(map(str, error.problems)))
        else:
            exits.say("memplane: the mapping is wrong:")
            for problem in error.problems:
                exits.say(f"  {problem}")
        exits.leave(exits.CONFIG)


def _run(
    work: Coroutine[Any, Any, T], adoption: Adoption, target: str, form: options.OutputForm
) -> T:
    from memplane import MemplaneError
    from memplane_gateway.adopting import SourceError
    from memplane_gateway.cli.client import report

    try:
        return asyncio.run(work)
    except SourceError as error:
        _leave_for_the_source(error, adoption, form)
    except MemplaneError as error:
        code = report(error, target, form)
        _say_how_to_go_on(form)
        exits.leave(code)
    except KeyboardInterrupt:
        exits.say("memplane: interrupted")
        _say_how_to_go_on(form)
        exits.leave(exits.INTERRUPTED)


def _leave_for_the_source(
    error: SourceError, adoption: Adoption, form: options.OutputForm
) -> NoReturn:
    code = exits.UNAVAILABLE if error.may_pass else exits.CONFIG
    message = output.visible(str(error))
    if form is options.OutputForm.JSON:
        exits.say_json("UNAVAILABLE" if error.may_pass else "FAILED_PRECONDITION", message)
        exits.leave(code)
    source = adoption.source
    exits.say(f"memplane: {source.adapter}, collection {source.collection}: {message}")
    if error.may_pass:
        _say_how_to_go_on(form)
    exits.leave(code)


def _say_how_to_go_on(form: options.OutputForm) -> None:
    if form is not options.OutputForm.JSON:
        exits.say("  the same command goes on: what is there already is not written again")


def _show(report: Report, adoption: Adoption, form: options.OutputForm) -> None:
    if form is options.OutputForm.JSON:
        output.print_json(_document(report, adoption))
        return
    reading = report.reading
    if report.dry_run:
        columns = _COLUMNS if adoption.mapping.time else [*_COLUMNS[:3], *_COLUMNS[4:]]
        table = [_row(each) for each in report.shown]
        output.print_table(columns, table, shorten=True)
        sys.stdout.write("\n")
    output.print_pairs(_figures(report))
    for reason, number in reading.reasons.most_common():
        sys.stdout.write(f"{number:>5} rows  {output.visible(reason)}\n")
    for problem in reading.problems[:_SHOWN]:
        exits.say(f"row {output.visible(problem.row)}: {output.visible(str(problem))}")
    if reading.refused > _SHOWN:
        exits.say(f"... and {reading.refused - _SHOWN:,} more")
    if report.changed:
        exits.say(
            "memplane: the collection was written to meanwhile, and rows may be missing: once more"
        )


def _row(put: Any) -> tuple[Any, ...]:
    time = () if put.episode is None else (output.rfc3339(put.episode.event_time),)
    namespace = output.namespace(put.ref.namespace) or "-"
    return (put.ref.key, namespace, put.text, *time, dict(put.attributes) or None)


def _figures(report: Report) -> list[tuple[str, Any]]:
    reading, facts = report.reading, report.facts
    vectors = None if facts.dimension is None else f"{facts.dimension} ({facts.metric})"
    figures: list[tuple[str, Any]] = [
        ("rows", facts.rows),
        ("dimension", vectors),
        ("read", reading.read),
        ("do not map", reading.refused),
    ]
    if report.dry_run:
        return [*figures, ("map", reading.read - reading.refused), ("written", "none (dry run)")]
    return [
        *figures,
        *((name.replace("_", " "), number) for name, number in report.outcomes.items()),
    ]


def _document(report: Report, adoption: Adoption) -> dict[str, Any]:
    reading, facts, source = report.reading, report.facts, adoption.source
    document: dict[str, Any] = {
        "dry_run": report.dry_run,
        "source": {
            "adapter": source.adapter,
            "collection": source.collection,
            "rows": facts.rows,
            "dimension": facts.dimension,
            "metric": facts.metric or None,
        },
        "read": reading.read,
        "refused": reading.refused,
        "reasons": dict(reading.reasons.most_common()),
        "problems": [
            {"row": each.row, "setting": each.setting, "reason": each.reason}
            for each in reading.problems
        ],
    }
    if report.dry_run:
        return document | {"memories": [_shown(put) for put in report.shown]}
    return document | report.outcomes | {"changed": report.changed}


def _shown(put: Any) -> dict[str, Any]:
    """A memory that would be written, with the names that `get` gives one; no vector."""
    fields: dict[str, Any] = {
        "kind": put.ref.kind.value,
        "namespace": list(put.ref.namespace),
        "key": put.ref.key,
        "text": put.text,
        "attributes": output.plain(put.attributes),
        "importance": put.importance,
        "episode": output.plain(put.episode),
    }
    from memplane import UNSET

    return fields if put.value is UNSET else fields | {"value": output.plain(put.value)}
