"""`memplane demo`: a gateway of its own remembers a conversation, is killed, and still knows it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from memplane_gateway.cli import exits, story
from memplane_gateway.cli.output import visible

if TYPE_CHECKING:
    from memplane import Client

START_SECONDS = 20.0
LONGEST_SOCKET_PATH = 100


def demo() -> None:
    """See it work, beside any gateway that runs: store, search, kill -9, start again, and look."""
    from memplane import Client, MemplaneError

    with tempfile.TemporaryDirectory(prefix="memplane-demo-") as directory:
        place = Path(directory)
        _title("A gateway of its own, in a directory that goes away afterwards")
        try:
            with _gateway(place) as (process, target, took):
                _line(f"started in {took:.2f} s on {target}")
                with Client(target) as client:
                    _store(client)
                    _ask(client)
                _title("Killing it with SIGKILL: no goodbye, no flush")
                process.kill()
                process.wait()
            with _gateway(place) as (_, target, took), Client(target) as client:
                _line(f"started again in {took:.2f} s")
                _ask(client)
                _proof(client)
        except MemplaneError as error:
            exits.leave(exits.FAILED, f"the demo failed: {error}")
    _title("Your own")
    _line("memplane serve")
    _line('memplane put "Prefers tea in the morning" && memplane search tea')


@contextlib.contextmanager
def _gateway(place: Path) -> Iterator[tuple[subprocess.Popen[str], str, float]]:
    """A real gateway in a process of its own; it is gone when the block ends."""
    command = [sys.executable, "-m", "memplane_gateway.cli", "serve"]
    command += ["--data", str(place / "data"), "--listen", _address(place)]
    environment = {name: v for name, v in os.environ.items() if not name.startswith("MEMPLANE_")}
    started = time.monotonic()
    log = place / "gateway.log"
    with (
        log.open("a") as stderr,
        subprocess.Popen(  # noqa: S603 (our own gateway)
            command,
            cwd=place,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        ) as process,
    ):
        try:
            assert process.stdout is not None
            first = process.stdout.readline()
            if " listening on " not in first:
                exits.say(log.read_text())
                exits.leave(exits.UNAVAILABLE, "the gateway of the demo did not start")
            target = first.rsplit(" ", 1)[1].strip()
            yield process, target, time.monotonic() - started
        finally:
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(START_SECONDS)
                except subprocess.TimeoutExpired:
                    process.kill()


def _address(place: Path) -> str:
    path = place / "gateway.sock"
    if os.name == "nt" or len(str(path)) > LONGEST_SOCKET_PATH:
        return "127.0.0.1:0"
    return f"unix:{path}"


def _store(client: Client) -> None:
    from memplane import Episode, EpisodeType, Kind, Put, Ref

    _title("Storing a conversation, what was learned from it, and some settings")
    space = story.NAMESPACE
    first = datetime(2024, 5, 14, 16, 2, tzinfo=UTC)
    turns = [
        Put(
            Ref(Kind.EPISODIC, space, f"turn-{number:02}"),
            text=turn.text,
            episode=Episode(
                type=EpisodeType.CONVERSATION,
                event_time=first + timedelta(minutes=turn.minute),
                session_id=story.SESSION,
                actor=turn.actor,
            ),
        )
        for number, turn in enumerate(story.CONVERSATION, start=1)
    ]
    facts = [
        Put(Ref(Kind.SEMANTIC, space, key), text=text, attributes=attributes)
        for key, text, attributes in story.FACTS
    ]
    settings = [Put(Ref(Kind.PROCEDURAL, space, key), value=value) for key, value in story.SETTINGS]
    started = time.perf_counter()
    for puts in (turns, facts, settings):
        client.put_many(puts).raise_for_error()
    took = (time.perf_counter() - started) * 1000
    _line(
        f"{len(turns)} episodic, {len(facts)} semantic, {len(settings)} procedural: {took:.0f} ms"
    )
    for turn in story.CONVERSATION[:3]:
        _line(f"{turn.actor + ':':<7}{turn.text}")
    _line("...")


def _ask(client: Client) -> None:
    space = client.scope(*story.NAMESPACE)
    _title("Asking")
    for kind, question in story.QUESTIONS:
        result = space.search(question, kind=kind, limit=1)
        _line(f"{kind} ({result.mode.value}): {question}")
        for hit in result.hits:
            _line(f"   {hit.relevance:.2f}  {visible(hit.memory.text)}")
    filtered = space.search(kind="semantic", filter={"children": {"$gte": 2}}, limit=1)
    _line("semantic, with the filter children >= 2")
    for hit in filtered.hits:
        _line(f"         {visible(hit.memory.text)}")
    tone = space.get("procedural", "tone")
    _line(f"procedural: tone = {None if tone is None else tone.value}")


def _proof(client: Client) -> None:
    space = client.scope(*story.NAMESPACE)
    wanted = {
        "episodic": len(story.CONVERSATION),
        "semantic": len(story.FACTS),
        "procedural": len(story.SETTINGS),
    }
    counts = {kind: int(space.count(kind)) for kind in wanted}
    said = ", ".join(f"{count} {kind}" for kind, count in counts.items())
    if counts != wanted:
        exits.leave(exits.FAILED, f"memories are missing: {said}")
    status = client.status()
    level = status.routes[next(iter(status.routes))].durability.value
    _title(f"All there: {said} (durability {level})")


def _title(text: str) -> None:
    bold = ("\033[1m", "\033[0m") if sys.stdout.isatty() else ("", "")
    sys.stdout.write(f"\n{bold[0]}{text}{bold[1]}\n")
    sys.stdout.flush()


def _line(text: str) -> None:
    sys.stdout.write(f"  {text}\n")
    sys.stdout.flush()
