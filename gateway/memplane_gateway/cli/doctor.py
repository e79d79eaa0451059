"""`memplane doctor`: look at everything that a gateway needs here, and say what to do."""

from __future__ import annotations

from typing import Annotated

import typer

from memplane_gateway.cli import exits, options, output
from memplane_gateway.cli.findings import Verdict


def doctor(
    config: options.Config = None,
    data: options.Data = None,
    listen: Annotated[
        str | None, typer.Option("--listen", help="The address that the gateway is to have.")
    ] = None,
    form: options.Output = options.OutputForm.TABLE,
) -> None:
    """Check versions, configuration, directory, port, stores, embedders. Status 1 on a failure."""
    from memplane_gateway.cli.checks import examine

    checks = examine(config, data, listen)
    failed = any(check.verdict is Verdict.FAIL for check in checks)
    if form is options.OutputForm.JSON:
        output.print_json(
            {
                "ok": not failed,
                "checks": [
                    {
                        "name": check.name,
                        "verdict": check.verdict.value,
                        "found": check.found,
                        "do": check.do,
                    }
                    for check in checks
                ],
            }
        )
    else:
        output.print_table(
            ("CHECK", "", "FOUND", "WHAT TO DO"),
            [(check.name, check.verdict.value, check.found, check.do or None) for check in checks],
        )
    if failed:
        raise typer.Exit(exits.FAILED)
