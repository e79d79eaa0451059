"""`memplane serve`: the gateway in this process, until SIGTERM or SIGINT."""

from __future__ import annotations

import contextlib
import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from memplane_gateway.cli import exits, options
from memplane_gateway.cli.version import gateway_version

if TYPE_CHECKING:
    from memplane_gateway.config import Settings
    from memplane_gateway.server import Gateway, StartError

Listen = Annotated[
    str | None,
    typer.Option("--listen", help=r"host:port, \[v6]:port or unix:PATH; port 0 takes a free one."),
]
UntilEof = Annotated[
    bool,
    typer.Option("--until-eof", help="Stop when standard input ends, too: with who started it."),
]


def serve(
    config: options.Config = None,
    data: options.Data = None,
    listen: Listen = None,
    until_eof: UntilEof = False,
    port: Annotated[str | None, typer.Option("--port", hidden=True)] = None,
) -> None:
    """Start the gateway. Without any configuration: the embedded store, on this machine alone."""
    if port is not None:  # what people try first
        raise typer.BadParameter(
            f"there is none; the address is one option: --listen 127.0.0.1:{port}",
            param_hint="--port",
        )
    if until_eof:
        from memplane_gateway.cli.until_eof import stop_at_eof

        stop_at_eof()
    from memplane_gateway.cli.settings import read_settings

    settings = read_settings(config, data=data, listen=listen)
    from memplane_gateway.server import StartError, run

    def ready(gateway: Gateway) -> None:
        with contextlib.suppress(OSError):  # nobody reads what we say: we serve all the same
            sys.stdout.write("\n".join(lines(settings, gateway)) + "\n")
            sys.stdout.flush()

    try:
        run(settings, ready)
    except StartError as error:
        exits.leave(error.exit_code, _sentence(error))


def _sentence(error: StartError) -> str:
    """What kept it from starting, and which option helps."""
    metadata = getattr(error.__cause__, "metadata", None) or {}
    if "directory" in metadata and "pid" in metadata:
        return in_use(metadata["directory"], metadata["pid"])
    if error.exit_code == exits.UNAVAILABLE and "cannot listen" in str(error):
        return f"{error} Another address: --listen 127.0.0.1:0 takes a free port."
    return str(error)


def in_use(directory: str, pid: str) -> str:
    """The sentence about a data directory that has a gateway already."""
    return (
        f"the data directory {directory} is in use by process {pid or 'unknown'}, and one gateway "
        "owns it: use that one, stop it, or take another directory with --data DIR"
    )


def lines(settings: Settings, gateway: Gateway) -> list[str]:
    """What is said once the gateway serves; the first line ends with the address."""
    said = [f"memplane {gateway_version()} listening on {gateway.address}"]
    if settings.file is not None:
        said.append(f"  configuration: {settings.file}")
    said.append(f"  data: {settings.data_dir}")
    for route in gateway.routes:
        adapter = "" if route.store == route.adapter else f" ({route.adapter})"
        line = f"  {route.kind:<10} -> {route.store}{adapter}, "
        if route.error:
            waits = "; writes wait in the outbox" if route.spools else ""
            said.append(f"{line}NOT SERVING: {route.error}{waits}")
            continue
        line += f"durability {route.durability}{f' ({route.why})' if route.why else ''}"
        if route.embedder:
            line += f", embedder {route.embedder}, search {route.search}"
        said.append(line)
    control = settings.control.store
    if settings.control_is_shared:
        said.append(f"  control    -> {control} ({settings.stores[control].adapter})")
    said += [f"  note: {notice}" for notice in gateway.notices]
    if settings.unused:
        said.append(f"  note: used by no route: {', '.join(settings.unused)}")
    target = reachable(gateway.address)
    option = "" if target == options.DEFAULT_TARGET else f" --target {shlex.quote(target)}"
    said.append("  try it:")
    said.append(f'    {_program()} put "Prefers tea in the morning"{option}')
    said.append(f"    {_program()} search tea{option}")
    return said


def reachable(address: str) -> str:
    """Where a client on this machine finds a gateway that listens there."""
    host, _, port = address.rpartition(":")
    return f"localhost:{port}" if host in ("0.0.0.0", "[::]", "127.0.0.1") else address  # noqa: S104


def _program() -> str:
    """How a shell finds this program: by its name, or by the path that it was started with."""
    started = sys.argv[0]
    found = shutil.which("memplane")
    by_name = found is not None and Path(found).resolve() == Path(started).resolve()
    return "memplane" if by_name or Path(started).name != "memplane" else shlex.quote(started)
