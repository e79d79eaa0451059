"""`memplane sweep`: delete now what has expired and what retention policies do not keep."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from memplane_gateway.cli import exits, options, output
from memplane_gateway.cli.client import calling, report


def sweep(
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be deleted.")
    ] = False,
    target: options.Target = options.DEFAULT_TARGET,
    timeout: options.Timeout = options.DEFAULT_TIMEOUT,
    form: options.Output = options.OutputForm.TABLE,
) -> None:
    """Delete now what has expired, and what the gateway's retention policies do not keep.

    Exit status 1 or more where a store failed, and its kind was left out.
    """
    progress = _Progress()
    with calling(target, timeout, form) as client:
        try:
            done = client.sweep(dry_run=dry_run, on_progress=progress.show)
        finally:
            progress.end()
    if form is options.OutputForm.JSON:
        output.print_json(
            {
                "dry_run": dry_run,
                "count": done.count,
                "rules": rules(done.counts),
                "examples": [
                    {**_rule(each.rule), "ref": output.plain(each.ref)} for each in done.examples
                ],
                "failures": failures(done.failures),
            }
        )
    else:
        verb = "would be deleted" if dry_run else "deleted"
        output.print_table(
            ("KIND", "WHY", "NAMESPACE", "MEMORIES"),
            (_row(rule, count) for rule, count in done.counts.items()),
        )
        if done.examples:
            sys.stdout.write("\n")
            output.print_table(
                ("KIND", "NAMESPACE", "KEY", "WHY"),
                (
                    (each.ref.kind.value, output.namespace(each.ref.namespace) or "-", each.ref.key,
                     each.rule.cause.value)
                    for each in done.examples
                ),
            )  # fmt: skip
        sys.stdout.write(f"{done.count} {verb}\n")
    code = exits.OK
    for failure in done.failures:
        code = max(code, exits.FAILED, report(failure.error, target, form))
    raise typer.Exit(code)


def rules(counts: Any) -> list[dict[str, Any]]:
    """Counts by rule, for JSON."""
    return [{**_rule(rule), "count": count} for rule, count in counts.items()]


def failures(given: Any) -> list[dict[str, Any]]:
    """What was left out, for JSON."""
    return [
        {"kind": each.kind and each.kind.value, "error": output.error(each.error)} for each in given
    ]


def _rule(rule: Any) -> dict[str, Any]:
    return {
        "kind": rule.kind.value,
        "cause": rule.cause.value,
        "namespace": list(rule.namespace),
    }


def _row(rule: Any, count: int) -> tuple[Any, ...]:
    return (
        rule.kind.value,
        rule.cause.value.replace("_", " "),
        output.namespace(rule.namespace) or "-",
        count,
    )


class _Progress:
    """How many so far, on a terminal's stderr."""

    def __init__(self) -> None:
        self._shown = sys.stderr.isatty()
        self._count = self._slices = 0

    def show(self, part: Any) -> None:
        self._count += part.count
        self._slices += 1
        if self._shown:
            sys.stderr.write(f"\r{self._count} in {self._slices} slices")
            sys.stderr.flush()

    def end(self) -> None:
        if self._shown and self._slices:
            sys.stderr.write("\r\033[K")
