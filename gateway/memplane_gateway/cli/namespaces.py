"""`memplane namespaces`: where memories are."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from memplane_gateway.cli import options, output
from memplane_gateway.cli.client import calling, scoped

_ANY = '"*" is any one label, "\\*" the label itself.'


def namespaces(
    *,
    prefix: Annotated[
        list[str] | None,
        typer.Option("--prefix", help=f"A first label below the namespace; repeat it. {_ANY}"),
    ] = None,
    suffix: Annotated[
        list[str] | None, typer.Option("--suffix", help=f"A last label; repeat it. {_ANY}")
    ] = None,
    depth: Annotated[
        int | None,
        typer.Option(
            "--max-depth", min=1, help="Cut longer ones to so many labels below the namespace."
        ),
    ] = None,
    kind: options.Kind = options.KindName.SEMANTIC,
    namespace: options.Namespace = None,
    target: options.Target = options.DEFAULT_TARGET,
    timeout: options.Timeout = options.DEFAULT_TIMEOUT,
    form: options.Output = options.OutputForm.TABLE,
) -> None:
    """List the namespaces that hold memories. With --output json JSON Lines: one a line."""
    with calling(target, timeout, form) as client:
        found = scoped(client, namespace).namespaces(
            kind.value, prefix=prefix or (), suffix=suffix or (), max_depth=depth
        )
        if form is options.OutputForm.JSON:
            for labels in found:
                output.print_json({"namespace": list(labels)}, one_line=True)
            sys.stdout.flush()
            return
        rows = [(output.namespace(labels) or "-", len(labels)) for labels in found]
    output.print_table(("NAMESPACE", "DEPTH"), rows)
