"""`memplane count`: how many memories there are."""

from __future__ import annotations

import sys

from memplane_gateway.cli import exits, options, output
from memplane_gateway.cli.client import calling, read_filter, scoped


def count(
    *,
    filter_text: options.FilterText = None,
    kind: options.Kind = options.KindName.SEMANTIC,
    namespace: options.Namespace = None,
    target: options.Target = options.DEFAULT_TARGET,
    timeout: options.Timeout = options.DEFAULT_TIMEOUT,
    form: options.Output = options.OutputForm.TABLE,
) -> None:
    """Count the memories of one kind below a namespace."""
    given = read_filter(filter_text)
    with calling(target, timeout, form) as client:
        found = scoped(client, namespace).count(kind.value, filter=given)
    if form is options.OutputForm.JSON:
        output.print_json({"kind": kind.value, "count": int(found), "truncated": found.truncated})
        return
    sys.stdout.write(f"{int(found)}\n")
    if found.truncated:
        exits.say("the scan budget ran out: there are at least so many")
