"""`memplane outbox`: the writes that wait for a store that is down, and the dead letters."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from memplane_gateway.cli import exits, options, output
from memplane_gateway.cli.client import calling, report

app = typer.Typer(
    name="outbox",
    help="Writes that wait for a store that is down, and dead letters.",
    no_args_is_help=True,
)

Ids = Annotated[list[str] | None, typer.Argument(help="Ids, as `memplane outbox list` shows them.")]
AllDead = Annotated[bool, typer.Option("--all", help="All dead letters.")]
OfKind = Annotated[options.KindName | None, typer.Option("--kind", "-k", help="Only this kind.")]


@app.command("list")
def list_(
    *,
    kind: OfKind = None,
    dead: Annotated[bool, typer.Option("--dead", help="Only dead letters.")] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many at most.")] = 1000,
    target: options.Target = options.DEFAULT_TARGET,
    timeout: options.Timeout = options.DEFAULT_TIMEOUT,
    form: options.Output = options.OutputForm.TABLE,
) -> None:
    """List what waits, oldest first, and what the store refused when it was back."""
    with calling(target, timeout, form) as client:
        found = client.list_outbox(kind and kind.value, dead=dead, limit=limit)
    if form is options.OutputForm.JSON:
        output.print_json([_entry(entry) for entry in found])
        return
    output.print_table(
        ("ID", "DOES", "TENANT", "NAMESPACE", "KEY", "WRITTEN", "STATE"),
        (_row(entry) for entry in found),
    )


@app.command()
def retry(
    ids: Ids = None,
    *,
    every: AllDead = False,
    target: options.Target = options.DEFAULT_TARGET,
    timeout: options.Timeout = options.DEFAULT_TIMEOUT,
    form: options.Output = options.OutputForm.TABLE,
) -> None:
    """Have dead letters wait again: they are carried out as if they were written now."""
    with calling(target, timeout, form) as client:
        wanted = _wanted(client, ids, every=every)
        results = [each for part in _parts(wanted) for each in client.retry_outbox(part)]
        _tell(results, "waits again", target, form, dry_run=False)


@app.command()
def drop(
    ids: Ids = None,
    *,
    every: AllDead = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be dropped.")
    ] = False,
    target: options.Target = options.DEFAULT_TARGET,
    timeout: options.Timeout = options.DEFAULT_TIMEOUT,
    form: options.Output = options.OutputForm.TABLE,
) -> None:
    """Forget dead letters; their writes are lost then."""
    from memplane import NotFound, OutboxResult

    with calling(target, timeout, form) as client:
        wanted = _wanted(client, ids, every=every)
        if dry_run:
            there = {entry.id for entry in client.list_outbox(dead=True)}
            absent = NotFound("no such dead letter in the outbox")
            results = [OutboxResult(each, None if each in there else absent) for each in wanted]
            _tell(results, "would be dropped", target, form, dry_run=True)
        else:
            results = [each for part in _parts(wanted) for each in client.drop_outbox(part)]
            _tell(results, "dropped", target, form, dry_run=False)


def _wanted(client: Any, ids: list[str] | None, *, every: bool) -> list[str]:
    if bool(ids) == every:
        raise typer.BadParameter("name ids, or say --all", param_hint="ID...")
    if every:
        return [entry.id for entry in client.list_outbox(dead=True)]
    return list(dict.fromkeys(ids or ()))


def _parts(ids: list[str]) -> list[list[str]]:
    return [ids[begin : begin + 1000] for begin in range(0, len(ids), 1000)]


def _tell(
    results: list[Any], done: str, target: str, form: options.OutputForm, *, dry_run: bool
) -> None:
    code = exits.OK
    shown = []
    for result in results:
        row = {"id": result.id, "outcome": done if result.ok else "refused", "error": None}
        if result.error is not None:
            row["error"] = output.error(result.error)
            code = max(code, exits.FAILED, report(result.error, target, form))
        shown.append(row)
    if form is options.OutputForm.JSON:
        output.print_json({"dry_run": dry_run, "results": shown})
    else:
        output.print_table(("ID", "OUTCOME"), ((row["id"], row["outcome"]) for row in shown))
    raise typer.Exit(code)


def _entry(entry: Any) -> dict[str, Any]:
    shown: dict[str, Any] = output.plain(entry)
    shown["dead"] = entry.dead
    return shown


def _row(entry: Any) -> tuple[Any, ...]:
    ref = entry.ref
    state = "waits" if entry.error is None else f"dead: {output.visible(entry.error.message)}"
    return (
        entry.id,
        entry.operation.value,
        entry.tenant,
        "-" if ref is None else output.namespace(ref.namespace) or "-",
        "-" if ref is None else ref.key,
        output.row_time(entry.spool_time),
        state,
    )
