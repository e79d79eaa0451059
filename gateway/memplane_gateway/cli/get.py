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
        exits.leave(exits.FAILED, f'no {kind.value} memory "{output.visible(key)}" there')
    if form is options.OutputForm.JSON:
        output.print_json(output.memory(memory))
        return
    output.print_pairs(output.memory_pairs(memory))
