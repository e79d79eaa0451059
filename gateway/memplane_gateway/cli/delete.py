"""`memplane delete`: delete memories by key."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from memplane_gateway.cli import exits, options, output
from memplane_gateway.cli.client import calling, report


def delete(
    keys: Annotated[list[str], typer.Argument(help="The names of the memories.", metavar="KEY...")],
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be deleted.")
    ] = False,
    kind: options.Kind = options.KindName.SEMANTIC,
    namespace: options.Namespace = None,
    target: options.Target = options.DEFAULT_TARGET,
    timeout: options.Timeout = options.DEFAULT_TIMEOUT,
    form: options.Output = options.OutputForm.TABLE,
) -> None:
    """Delete memories by key. One that is missing is no error; one that is refused is (status 1)."""
    from memplane import Kind, Ref

    code = exits.OK
    with calling(target, timeout, form) as client:
        refs = [Ref(Kind(kind.value), tuple(namespace or ()), key) for key in dict.fromkeys(keys)]
        results: list[dict[str, Any]] = []
        if dry_run:
            for ref, memory in zip(refs, client.get_many(refs), strict=True):
                results.append(_row(ref, "missing" if memory is None else "would be deleted"))
        else:
            for result in client.delete_many(refs):
                row = _row(result.ref, result.outcome.value)
                if result.error is not None:
                    row["error"] = output.error(result.error)
                    code = max(code, exits.FAILED, report(result.error, target, form))
                results.append(row)
    if form is options.OutputForm.JSON:
        output.print_json({"dry_run": dry_run, "results": results})
    else:
        rows = [(result["key"], result["outcome"]) for result in results]
        output.print_table(("KEY", "OUTCOME"), rows)
    raise typer.Exit(code)


def _row(ref: Any, outcome: str) -> dict[str, Any]:
    return {
        "kind": ref.kind.value,
        "namespace": list(ref.namespace),
        "key": ref.key,
        "outcome": outcome,
        "error": None,
    }
