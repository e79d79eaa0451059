"""`memplane put`: write one memory."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import typer

from memplane_gateway.cli import options, output
from memplane_gateway.cli.client import calling, read_json, read_period, read_text, scoped


def put(
    text: Annotated[
        str | None, typer.Argument(help='What is embedded and searched; "-" reads stdin.')
    ] = None,
    *,
    key: Annotated[str | None, typer.Option("--key", help="Its name; else one is made.")] = None,
    attr: Annotated[
        list[str] | None,
        typer.Option("--attr", "-a", help="NAME=VALUE to filter by; a JSON literal or a string."),
    ] = None,
    also: Annotated[
        list[str] | None,
        typer.Option("--also", help="PATH=TEXT: a further text that it is found by; up to 16."),
    ] = None,
    value: Annotated[
        str | None, typer.Option("--value", help="A payload, as JSON; it comes back as it is.")
    ] = None,
    ttl: Annotated[
        str | None, typer.Option("--ttl", help="When it is gone: 90, 15m, 12h, 7d; 0 is never.")
    ] = None,
    if_absent: Annotated[
        bool, typer.Option("--if-absent", help="Only if there is no such memory.")
    ] = False,
    if_match: Annotated[
        str | None, typer.Option("--if-match", help="Only if its etag is this.")
    ] = None,
    session: Annotated[
        str | None, typer.Option("--session", help="The conversation of an episodic memory.")
    ] = None,
    actor: Annotated[
        str | None, typer.Option("--actor", help="Who spoke or acted in an episodic memory.")
    ] = None,
    kind: options.Kind = options.KindName.SEMANTIC,
    namespace: options.Namespace = None,
    target: options.Target = options.DEFAULT_TARGET,
    timeout: options.Timeout = options.DEFAULT_TIMEOUT,
    form: options.Output = options.OutputForm.TABLE,
) -> None:
    """Write one memory, whole; what is there under the same key is replaced.

    memplane put "Prefers tea" --attr topic=food -n support-bot -n user-42
    """
    text = read_text(text)
    if not text and value is None and not attr and not also:
        if text is not None:
            raise typer.BadParameter("the text is empty", param_hint="TEXT")
        raise typer.BadParameter("give a text, --value or --attr", param_hint="TEXT")
    if if_absent and if_match is not None:
        raise typer.BadParameter("not together with --if-absent", param_hint="--if-match")
    given: dict[str, Any] = {
        "text": text or "",
        "attributes": {
            name: _literal(each) for name, each in _pairs(attr or (), "--attr", "NAME=VALUE")
        },
        "indexed_texts": dict(_pairs(also or (), "--also", "PATH=TEXT")),
    }
    if value is not None:
        given["value"] = read_json(value, "--value")
    if ttl is not None:
        given["ttl"] = read_period(ttl, "--ttl")
    if session is not None or actor is not None:
        given["episode"] = _episode(kind, session, actor)
    with calling(target, timeout, form) as client:
        result = scoped(client, namespace).put(
            kind.value, key, if_absent=if_absent, if_match=if_match, **given
        )
    if form is options.OutputForm.JSON:
        output.print_json(output.write_result(result))
        return
    sys.stdout.write(f"{result.outcome.value} {output.visible(result.key)}")
    sys.stdout.write(f" (durability {result.durability.value}, etag {result.etag})\n")


def _pairs(given: Sequence[str], option: str, form: str) -> Iterator[tuple[str, str]]:
    """Names and what stands behind them; no name twice."""
    seen: set[str] = set()
    for each in given:
        name, equals, text = each.partition("=")
        if not equals or not name:
            raise typer.BadParameter(f'expected {form}, not "{each}"', param_hint=option)
        if name in seen:
            raise typer.BadParameter(f'"{name}" is given twice', param_hint=option)
        seen.add(name)
        yield name, text


def _literal(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=lambda name: name)
    except ValueError:
        return text


def _episode(kind: options.KindName, session: str | None, actor: str | None) -> Any:
    from memplane import Episode

    if kind is not options.KindName.EPISODIC:
        raise typer.BadParameter("only with --kind episodic", param_hint="--session, --actor")
    return Episode(session_id=session or "", actor=actor or "")
