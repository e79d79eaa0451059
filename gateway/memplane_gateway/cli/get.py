"""`memplane get`: read one memory."""

from __future__ import annotations

from typing import Annotated

import typer

from memplane_gateway.cli import exits, options, output
from memplane_gateway.cli.client import calling, scoped


def get(
    key: Annotated[str, typer.Argument(help="The name of the memory.")],
    *,
    kind: options.Kind = options.KindName.SEMANTIC,
    namespace: options.Namespace = None,
    target: options.Target = options.DEFAULT_TARGET,
    timeout: options.Timeout = options.DEFAULT_TIMEOUT,
    form: options.Output = options.OutputForm.TABLE,
) -> None:
    """Read one memory. Exit status 1 if it is not there."""
    with calling(target, timeout, form) as client:
        memory = scoped(client, namespace).get(kind.value, key)
    if memory is None:
        labels = output.visible(output.namespace(namespace or ()))
        where = f"the namespace {labels}" if labels else "the root namespace (no -n was given)"
        message = f'no {kind.value} memory "{output.visible(key)}" in {where}'
        if form is options.OutputForm.JSON:
            exits.say_json("NOT_FOUND", message)
            exits.leave(exits.FAILED)
        exits.leave(exits.FAILED, message)
    if form is options.OutputForm.JSON:
        output.print_json(output.memory(memory))
        return
    output.print_pairs(output.memory_pairs(memory))
