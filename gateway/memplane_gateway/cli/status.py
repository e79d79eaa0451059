"""`memplane status`: is my memory persistent?"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from memplane_gateway.cli import exits, options, output
from memplane_gateway.cli.client import calling


def status(
    *,
    healthy: Annotated[
        bool, typer.Option("--healthy", help="Print nothing; status 0 if the gateway serves.")
    ] = False,
    target: options.Target = options.DEFAULT_TARGET,
    timeout: options.Timeout = 5.0,
    form: options.Output = options.OutputForm.TABLE,
) -> None:
    """Say how each route fares and what a write survives. Exit status 1 if one does not serve."""
    with calling(target, timeout, form) as client:
        if healthy:  # the whole serves while any route does; no store is asked
            raise typer.Exit(exits.OK if client.health().value == "serving" else exits.FAILED)
        found = client.status()
    routes = list(found.routes.values())
    if form is options.OutputForm.JSON:
        shown = output.plain(found)
        shown["routes"] = [output.plain(route) for route in routes]
        shown["serving"] = found.serving
        shown["control"] = None if found.control is None else output.plain(found.control)
        output.print_json(shown)
    else:
        copies = any(route.replicas is not None for route in routes)
        output.print_table(
            (
                "KIND", "STORE", "STATE", "PERSISTENT", "AN OK SURVIVES",
                *(("REPLICAS",) if copies else ()), "ROWS", "SIZE", "EMBEDDER",
            ),
            (_row(route, copies=copies) for route in routes),
        )  # fmt: skip
        if found.control is not None and not _serves(found.control):
            exits.say(f"the control store {found.control.store} does not answer")
        for route in routes:
            if route.outbox is not None and (route.outbox.waiting or route.outbox.dead):
                exits.say(_outbox(route))
            if not route.serving:
                exits.say(f"{route.kind.value}: {output.visible(route.message)} ({route.error})")
        for notice in found.notices:
            exits.say(f"note: {notice}")
    if not found.serving:
        raise typer.Exit(exits.FAILED)


_SURVIVES = {
    "buffered": "nothing (buffered)",
    "process": "a crash (process)",
    "disk": "a loss of power (disk)",
    "managed": "what the provider says (managed)",
    "spooled": "a crash (spooled)",
}


def _serves(control: Any) -> bool:
    return bool(control.state.value == "serving")


def _survives(route: Any) -> str:
    level = _SURVIVES.get(route.durability.value, "-")
    return f"{level}: {output.visible(route.durability_why)}" if route.durability_why else level


def _outbox(route: Any) -> str:
    waiting, dead = route.outbox.waiting, route.outbox.dead
    said = []
    if waiting:
        since = output.row_time(route.outbox.oldest_time)
        what = "1 write waits" if waiting == 1 else f"{waiting} writes wait"
        said.append(f"{what} in the outbox, the oldest since {since}")
    if dead:
        what = "1 dead letter" if dead == 1 else f"{dead} dead letters"
        said.append(f"{what}: memplane outbox list --dead")
    return f"{route.kind.value}: {'; '.join(said)}"


def _row(route: Any, *, copies: bool) -> tuple[Any, ...]:
    embedding = route.embedding
    return (
        route.kind.value,
        route.store if route.store == route.adapter else f"{route.store} ({route.adapter})",
        route.state.value.replace("_", " "),
        ("yes" if route.persistent else "NO") if route.serving else "-",
        _survives(route),
        *((route.replicas,) if copies else ()),
        route.rows,
        None if route.size_bytes is None else size(route.size_bytes),
        None
        if embedding is None
        else f"{embedding.provider}/{embedding.model}/{embedding.dimension}",
    )


def size(count: int) -> str:
    """Bytes for people."""
    amount = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"
