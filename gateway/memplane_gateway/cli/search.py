"""`memplane search`: find memories."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from memplane_gateway.cli import exits, options, output
from memplane_gateway.cli.client import calling, read_filter, scoped


class ModeName(StrEnum):
    """How to search."""

    AUTO = "auto"
    VECTOR = "vector"
    KEYWORD = "keyword"
    HYBRID = "hybrid"
    RECENT = "recent"


def search(
    text: Annotated[
        str | None, typer.Argument(help="A question or words; without, the newest come first.")
    ] = None,
    *,
    mode: Annotated[ModeName, typer.Option("--mode", "-m", help="How to search.")] = ModeName.AUTO,
    filter_text: options.FilterText = None,
    limit: Annotated[
        int, typer.Option("--limit", "-l", min=1, max=1000, help="How many at most.")
    ] = 10,
    kind: options.Kind = options.KindName.SEMANTIC,
    namespace: options.Namespace = None,
    target: options.Target = options.DEFAULT_TARGET,
    timeout: options.Timeout = options.DEFAULT_TIMEOUT,
    form: options.Output = options.OutputForm.TABLE,
) -> None:
    """Find memories below a namespace, best first.

    memplane search "what does she drink?" -n support-bot --filter '{"topic": "food"}'
    """
    given = read_filter(filter_text)
    with calling(target, timeout, form) as client:
        result = scoped(client, namespace).search(
            text, kind=kind.value, mode=mode.value, filter=given, limit=limit
        )
    if form is options.OutputForm.JSON:
        hits = [
            {
                "relevance": hit.relevance,
                "score": hit.score,
                "memory": output.memory(hit.memory),
            }
            for hit in result.hits
        ]
        output.print_json(
            {
                "mode": result.mode.value,
                "approximate": result.approximate,
                "filter": output.plain(result.filter),
                "notice": result.notice,
                "hits": hits,
            }
        )
        return
    output.print_table(
        ("RELEVANCE", "NAMESPACE", "KEY", "TEXT", "ATTRIBUTES"),
        ((hit.relevance, *output.memory_row(hit.memory)) for hit in result.hits),
        shorten=True,
    )
    exits.say(f"{len(result.hits)} found, mode {result.mode.value}")
    if result.filter is not None and result.filter.truncated:
        exits.say("the scan budget ran out: there may be more")
    if result.notice:
        exits.say(f"note: {result.notice}")
