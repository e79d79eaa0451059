"""`memplane purge`: delete memories by namespace and filter."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from memplane_gateway.cli import options, output
from memplane_gateway.cli.client import calling, read_filter, scoped


def purge(
    *,
    filter_text: options.FilterText = None,
    exact_namespace: options.ExactNamespace = False,
    confirm_all: Annotated[
        bool,
        typer.Option(
            "--confirm-all", help="Delete every memory of the kind: no namespace, no filter."
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say how many would be deleted.")
    ] = False,
    kind: options.Kind = options.KindName.SEMANTIC,
    namespace: options.Namespace = None,
    target: options.Target = options.DEFAULT_TARGET,
    timeout: options.Timeout = options.DEFAULT_TIMEOUT,
    form: options.Output = options.OutputForm.TABLE,
) -> None:
    """Delete the memories of one kind below a namespace: all, or those that match a filter.

    Pinned ones, too. With --dry-run it only says how many.
    """
    given = read_filter(filter_text)
    with calling(target, timeout, form) as client:
        done = scoped(client, namespace).purge(
            kind.value,
            filter=given,
            exact_namespace=exact_namespace,
            confirm_all=confirm_all,
            dry_run=dry_run,
        )
    if form is options.OutputForm.JSON:
        output.print_json(
            {
                "kind": kind.value,
                "namespace": list(namespace or ()),
                "dry_run": dry_run,
                "count": done.count,
            }
        )
        return
    said = "would be deleted" if dry_run else "deleted"
    sys.stdout.write(f"{done.count} {said}\n")
