"""`memplane forget`: delete memories that are too old, too long unchanged or not important enough."""

from __future__ import annotations

from typing import Annotated

import typer

from memplane_gateway.cli import exits, options, output
from memplane_gateway.cli.client import calling, read_filter, read_period, scoped
from memplane_gateway.cli.progress import Progress


def forget(
    *,
    older_than: Annotated[
        str | None,
        typer.Option("--older-than", help="At least so old: 15m, 12h, 90d, 52w; plain is seconds."),
    ] = None,
    inactive_for: Annotated[
        str | None,
        typer.Option(
            "--inactive-for", help="Not changed for at least so long. Reads do not count."
        ),
    ] = None,
    importance_below: Annotated[
        float | None,
        typer.Option("--importance-below", help="Less important, 0 to 1; not said counts as 0.5."),
    ] = None,
    half_life: Annotated[
        str | None,
        typer.Option("--half-life", help="Age in which importance halves, for --importance-below."),
    ] = None,
    filter_text: options.FilterText = None,
    exact_namespace: options.ExactNamespace = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say which would be deleted.")
    ] = False,
    kind: options.Kind = options.KindName.SEMANTIC,
    namespace: options.Namespace = None,
    target: options.Target = options.DEFAULT_TARGET,
    timeout: options.Timeout = options.DEFAULT_TIMEOUT,
    form: options.Output = options.OutputForm.TABLE,
) -> None:
    """Delete memories of one kind that meet every given condition. What is pinned stays.

    memplane forget --older-than 90d --importance-below 0.3 --dry-run -n support-bot
    """
    periods = {
        name: None if text is None else read_period(text, f"--{name.replace('_', '-')}")
        for name, text in (
            ("older_than", older_than),
            ("inactive_for", inactive_for),
            ("half_life", half_life),
        )
    }
    given = read_filter(filter_text)
    said = "would be deleted" if dry_run else "deleted"
    with calling(target, timeout, form) as client:
        done = scoped(client, namespace).forget(
            kind.value,
            **periods,
            importance_below=importance_below,
            filter=given,
            exact_namespace=exact_namespace,
            dry_run=dry_run,
            on_progress=Progress(said, form),
        )
    if form is options.OutputForm.JSON:
        output.print_json(
            {
                "kind": kind.value,
                "namespace": list(namespace or ()),
                "dry_run": dry_run,
                "count": done.count,
                "memories": output.plain(done.memories),
            }
        )
        return
    if done.memories:
        rows = [
            (
                output.namespace(each.ref.namespace) or "-",
                each.ref.key,
                output.row_period(each.age),
                output.row_period(each.inactive_for),
                each.importance,
            )
            for each in done.memories
        ]
        output.print_table(("NAMESPACE", "KEY", "AGE", "INACTIVE", "IMPORTANCE"), rows)
    exits.say(f"{done.count} {said}")
