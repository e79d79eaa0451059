"""Imports a chat transcript, as chat APIs give it, over one stream; done again, it changes nothing.

python examples/import_chat.py FILE [TARGET]    (FILE: {"id", "created_at", "messages": [{"role", "content"}, ...]})

`memplane ingest FILE` does more: tools, parts of messages, many conversations, a progress bar.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from memplane import Client, Episode, EpisodeType, Put, Scope


def turns(scope: Scope, chat: dict[str, Any]) -> Iterator[Put]:
    """The messages as EPISODIC memories, each under a key of its own that is always the same."""
    began = datetime.fromtimestamp(chat["created_at"], UTC)
    for number, message in enumerate(chat["messages"]):
        yield Put(
            scope.ref("episodic", f"{chat['id']}/{number:05}"),
            text=message["content"],
            attributes={"turn": number},
            episode=Episode(
                type=EpisodeType.CONVERSATION,
                event_time=began + timedelta(seconds=number),
                session_id=chat["id"],
                actor=message["role"],
            ),
        )


def run(file: str, target: str) -> None:
    """Imports a file, and shows the end of the conversation."""
    chat = json.loads(Path(file).read_text(encoding="utf-8"))
    with Client(target) as client:
        scope = client.scope("imported")
        result = scope.ingest(
            turns(scope, chat),
            ingest_id=f"chat-{chat['id']}",  # under this name it goes on where it broke off
            on_ack=lambda ack: print(f"batch {ack.sequence}: {len(ack.results)} answered"),
        )
        for failure in result.failures:
            print(f"message {failure.index} was refused: {failure.result.error}")
        print(f"{result.answered} turns are there, {result.replayed} of them from an earlier run")
        for turn in scope.session(chat["id"]).history(2):
            print(f"  {turn.episode.actor if turn.episode else '?'}: {turn.text}")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: python examples/import_chat.py CHAT.json [TARGET]")
    run(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "localhost:50051")
