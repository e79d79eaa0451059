"""`memplane status`: is my memory persistent?"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from memplane_gateway.cli import exits, options, output
from memplane_gateway.cli.client import calling
from memplane_gateway.cli.sweep import failures, rules


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
        shown["sweeper"] = None if found.sweeper is None else _sweeper_plain(found.sweeper)
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
            if route.renewals is not None and route.renewals.failed:
                exits.say(f"{route.kind.value}: {route.renewals.failed} renewals of a ttl failed")
            if not route.serving:
                exits.say(f"{route.kind.value}: {output.visible(route.message)} ({route.error})")
        if found.sweeper is not None:
            for line in _sweeper(found.sweeper):
                exits.say(line)
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


def _sweeper(sweeper: Any) -> list[str]:
    """How sweeps fare, a sentence a line."""
    if not sweeper.on:
        return ["the sweeper is off (sweep.interval_seconds: 0)"]
    if sweeper.current is not None:
        said = ["a sweep is under way"]
    else:
        said = [f"the next sweep begins {output.row_time(sweeper.next_time) or 'soon'}"]
    last = sweeper.last
    if last is not None:
        when = output.row_time(last.end_time)
        said.append(f"the last ended {when} and deleted {_by_rule(last)}")
    lines = ["; ".join(said)]
    for failure in () if last is None else last.failures:
        what = "could not go on" if failure.kind is None else f"left {failure.kind.value} out"
        lines.append(f"the last sweep {what}: {output.visible(failure.error.message)}")
    return lines


def _by_rule(run: Any) -> str:
    said = []
    for rule, count in run.counts.items():
        if count:
            where = f" in {output.namespace(rule.namespace)}" if rule.namespace else ""
            cause = rule.cause.value.replace("_", " ")
            said.append(f"{count} {rule.kind.value} by {cause}{where}")
    return ", ".join(said) or "nothing"


def _sweeper_plain(sweeper: Any) -> dict[str, Any]:
    return {
        "on": sweeper.on,
        "interval_seconds": sweeper.interval_seconds,
        "current": _run_plain(sweeper.current),
        "last": _run_plain(sweeper.last),
        "next_time": output.rfc3339(sweeper.next_time),
    }


def _run_plain(run: Any) -> dict[str, Any] | None:
    if run is None:
        return None
    return {
        "start_time": output.rfc3339(run.start_time),
        "end_time": output.rfc3339(run.end_time),
        "count": run.count,
        "rules": rules(run.counts),
        "failures": failures(run.failures),
    }


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
