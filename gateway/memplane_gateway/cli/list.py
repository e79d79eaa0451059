"""`memplane list`: walk over memories."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Annotated

import typer

from memplane_gateway.cli import options, output
from memplane_gateway.cli.client import calling, read_filter, scoped


class OrderName(StrEnum):
    """What a listing goes by."""

    KEY = "key"
    UPDATE_TIME = "update_time"
    EVENT_TIME = "event_time"


def list_(
    *,
    filter_text: options.FilterText = None,
    order: Annotated[OrderName, typer.Option("--order", help="What to go by.")] = OrderName.KEY,
    descending: Annotated[
        bool, typer.Option("--descending", help="From the highest to the lowest.")
    ] = False,
    limit: Annotated[
        int | None, typer.Option("--limit", "-l", min=1, help="How many at most; else all.")
    ] = None,
    kind: options.Kind = options.KindName.SEMANTIC,
    namespace: options.Namespace = None,
    target: options.Target = options.DEFAULT_TARGET,
    timeout: options.Timeout = options.DEFAULT_TIMEOUT,
    form: options.Output = options.OutputForm.TABLE,
) -> None:
    """List memories below a namespace. With --output json JSON Lines: one document a line."""
    given = read_filter(filter_text)
    with calling(target, timeout, form) as client:
        memories = scoped(client, namespace).list(
            kind.value, filter=given, order=order.value, descending=descending, limit=limit
        )
        if form is options.OutputForm.JSON:
            for memory in memories:
                output.print_json(output.memory(memory), one_line=True)
            sys.stdout.flush()
            return
        rows = [
            (*output.memory_row(memory), output.row_time(memory.update_time)) for memory in memories
        ]
    output.print_table(("NAMESPACE", "KEY", "TEXT", "ATTRIBUTES", "UPDATED"), rows, shorten=True)
