"""`memplane stats`: how many memories there are, from when to when."""

from __future__ import annotations

from typing import Annotated

import typer

from memplane_gateway.cli import exits, options, output
from memplane_gateway.cli.client import calling, read_filter, scoped


def stats(
    *,
    filter_text: options.FilterText = None,
    kinds: Annotated[
        list[options.KindName] | None,
        typer.Option("--kind", "-k", help="A kind of memory; repeat it. Without it all."),
    ] = None,
    namespace: options.Namespace = None,
    target: options.Target = options.DEFAULT_TARGET,
    timeout: options.Timeout = options.DEFAULT_TIMEOUT,
    form: options.Output = options.OutputForm.TABLE,
) -> None:
    """Figures about the memories below a namespace, by kind."""
    given = read_filter(filter_text)
    with calling(target, timeout, form) as client:
        named = dict.fromkeys(kind.value for kind in kinds or ())
        found = scoped(client, namespace).statistics(*named, filter=given)
    if form is options.OutputForm.JSON:
        output.print_json(output.plain(found))
        return
    rows = [
        (
            kind.value,
            each.count,
            output.row_time(each.oldest),
            output.row_time(each.newest),
            each.mean_importance,
        )
        for kind, each in found.items()
    ]
    output.print_table(("KIND", "MEMORIES", "OLDEST", "NEWEST", "IMPORTANCE"), rows)
    if any(each.truncated for each in found.values()):
        exits.say("the scan budget ran out: some figures are of some memories only")
