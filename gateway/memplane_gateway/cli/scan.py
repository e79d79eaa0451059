"""`memplane scan`: get memories out, in the form that `memplane ingest` takes."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from memplane_gateway.cli import exits, options
from memplane_gateway.cli.client import calling, read_filter, scoped
from memplane_gateway.cli.interrupts import Interrupts


def scan(
    *,
    filter_text: options.FilterText = None,
    exact_namespace: Annotated[
        bool, typer.Option("--exact", help="Only this very namespace, not those below it.")
    ] = False,
    with_vectors: Annotated[
        bool, typer.Option("--with-vectors", help="With those vectors, too, that an embedder made.")
    ] = False,
    page_token: Annotated[
        str, typer.Option("--page-token", help="Where a scan that was cut goes on.")
    ] = "",
    kind: options.Kind = options.KindName.SEMANTIC,
    namespace: options.Namespace = None,
    target: options.Target = options.DEFAULT_TARGET,
) -> None:
    """Write all memories of one kind to stdout as JSON Lines, losing nothing.

    `memplane ingest` takes it. Namespaces in it lie below the given one: with the same -n they come back.
    """
    from memplane import MemplaneError
    from memplane_gateway.cli.formats.json_lines import document_of_memory

    given = read_filter(filter_text)
    bound = tuple(namespace or ())
    escaped = sys.stdout.isatty()  # what is stored must not steer the terminal
    with calling(target, options.DEFAULT_TIMEOUT, options.OutputForm.TABLE) as client:
        client.capabilities()  # without a gateway this fails at once, and a stream only in time
        found = scoped(client, bound).scan(
            kind.value,
            filter=given,
            exact_namespace=exact_namespace,
            with_vectors=True,  # those that clients gave nothing could make anew
            page_token=page_token,
        )
        written = 0
        try:
            with exits.printing(), Interrupts() as interrupts:
                for memory in found:
                    document = document_of_memory(memory, bound, with_vectors=with_vectors)
                    line = json.dumps(document, ensure_ascii=escaped, allow_nan=False) + "\n"
                    written += sys.stdout.buffer.write(line.encode())
                    interrupts.look()
        except (MemplaneError, KeyboardInterrupt) as error:
            sys.stdout.buffer.flush()
            if written:
                _say_where_to_go_on(found.next_page_token)
            if isinstance(error, KeyboardInterrupt):
                exits.leave(exits.INTERRUPTED, "interrupted")
            raise
    if found.incomplete:
        exits.say("memplane: writes wait in the gateway's outbox; they are not among these")


def _say_where_to_go_on(page_token: str) -> None:
    if page_token:
        exits.say(
            "memplane: not all came; with all else unchanged this goes on, and may bring some"
        )
        exits.say(f"  once more: --page-token {page_token}")
    else:
        exits.say("memplane: it was cut within its first chunk; begin anew")
