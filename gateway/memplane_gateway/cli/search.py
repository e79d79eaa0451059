"""`memplane search`: find memories."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer

from memplane_gateway.cli import exits, options, output
from memplane_gateway.cli.client import calling, read_filter, read_period, scoped


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
    mode: Annotated[
        ModeName, typer.Option("--mode", "-m", case_sensitive=False, help="How to search.")
    ] = ModeName.AUTO,
    filter_text: options.FilterText = None,
    limit: Annotated[
        int, typer.Option("--limit", "-l", min=1, max=1000, help="How many at most.")
    ] = 10,
    like: Annotated[
        str | None,
        typer.Option("--like", help="The key of a memory instead of words: what is near it."),
    ] = None,
    half_life: Annotated[
        str | None,
        typer.Option("--half-life", help="In what time recency halves: 90, 12h, 30d."),
    ] = None,
    importance: Annotated[
        float,
        typer.Option("--importance-weight", min=0, max=1, help="How much importance counts."),
    ] = 0.0,
    diversity: Annotated[
        float, typer.Option("--diversity", min=0, max=1, help="How much hits are to differ.")
    ] = 0.0,
    explain: Annotated[
        bool, typer.Option("--explain", help="Say what relevance is made of.")
    ] = False,
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
        scope = scoped(client, namespace)
        result = scope.search(
            text,
            kind=kind.value,
            like=None if like is None else scope.ref(kind.value, like),
            mode=mode.value,
            filter=given,
            limit=limit,
            recency_half_life=None if half_life is None else read_period(half_life, "--half-life"),
            importance_weight=importance,
            diversity=diversity,
            explain=explain,
        )
    if form is options.OutputForm.JSON:
        hits = [
            {
                "relevance": hit.relevance,
                "score": hit.score,
                "matched_path": hit.matched_path,
                "explanation": output.plain(hit.explanation),
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
                "truncated": result.truncated,
                "hits": hits,
            }
        )
        return
    by_path = any(hit.matched_path for hit in result.hits)
    matched = ("MATCHED",) if by_path else ()
    columns = ("RELEVANCE", *(("PARTS",) if explain else ()), *matched, *_OF_A_MEMORY)
    output.print_table(
        columns,
        (
            (
                hit.relevance,
                *((_parts(hit),) if explain else ()),
                *((hit.matched_path or None,) if by_path else ()),
                *output.memory_row(hit.memory),
            )
            for hit in result.hits
        ),
        shorten=True,
    )
    exits.say(f"{len(result.hits)} found, mode {result.mode.value}")
    if result.filter is not None and result.filter.truncated:
        exits.say("the scan budget ran out: there may be more")
    elif result.truncated:
        exits.say("hits may have been left out: ask for fewer at a time, or filter more closely")
    if result.notice:
        exits.say(f"note: {result.notice}")


_OF_A_MEMORY = ("NAMESPACE", "KEY", "TEXT", "ATTRIBUTES")


def _parts(hit: Any) -> str | None:
    """What a hit's relevance is made of, on one line."""
    parts = output.plain(hit.explanation) or {}
    shown = (f"{name} {output.cell(part)}" for name, part in parts.items() if part is not None)
    return ", ".join(shown) or None
