"""`memplane consolidate`: merge near-duplicates by vector."""

from __future__ import annotations

from typing import Annotated

import typer

from memplane_gateway.cli import exits, options, output
from memplane_gateway.cli.client import calling, read_filter, scoped
from memplane_gateway.cli.progress import Progress


def consolidate(
    *,
    min_similarity: Annotated[
        float | None,
        typer.Option("--min-similarity", help="Lowest cosine to merge, 0.5 to 1; else 0.95."),
    ] = None,
    filter_text: options.FilterText = None,
    exact_namespace: options.ExactNamespace = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say which would be merged.")
    ] = False,
    kind: options.Kind = options.KindName.SEMANTIC,
    namespace: options.Namespace = None,
    target: options.Target = options.DEFAULT_TARGET,
    timeout: options.Timeout = options.DEFAULT_TIMEOUT,
    form: options.Output = options.OutputForm.TABLE,
) -> None:
    """Merge near-duplicates of one kind into one of them, each namespace by itself.

    memplane consolidate --min-similarity 0.97 --dry-run -n support-bot -n user-42
    """
    given = read_filter(filter_text)
    said = "would be merged" if dry_run else "merged"
    with calling(target, timeout, form) as client:
        done = scoped(client, namespace).consolidate(
            kind.value,
            min_similarity=min_similarity,
            filter=given,
            exact_namespace=exact_namespace,
            dry_run=dry_run,
            on_progress=Progress(said, form),
        )
    if form is options.OutputForm.JSON:
        output.print_json(
            {
                "kind": kind.value,
                "namespace": list(namespace or ()),
                "dry_run": dry_run,
                "merged_count": done.merged_count,
                "conflicts": done.conflicts,
                "compared": done.compared,
                "groups": output.plain(done.groups),
            }
        )
        return
    if done.groups:
        rows = [
            (
                output.namespace(group.kept.namespace) or "-",
                merged.ref.key,
                group.kept.key,
                merged.similarity,
            )
            for group in done.groups
            for merged in group.merged
        ]
        output.print_table(("NAMESPACE", "MERGED", "INTO", "SIMILARITY"), rows)
    exits.say(f"{done.merged_count} {said} into {len(done.groups)}")
    if done.conflicts:
        exits.say(
            f"{done.conflicts} groups were left alone, as a whole or in part: they changed meanwhile "
            "(run it again), or have more attributes together than a memory may"
        )
