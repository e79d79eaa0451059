"""`memplane config`: check it, show it, describe it."""

from __future__ import annotations

import dataclasses
import sys
from typing import Annotated

import typer

from memplane_gateway.cli import exits, options, output

app = typer.Typer(no_args_is_help=True, help="Check, show or describe the configuration.")
AsJson = Annotated[bool, typer.Option("--json", help="JSON instead of YAML.")]


@app.command()
def check(
    config: options.Config = None,
    data: options.Data = None,
    form: options.Output = options.OutputForm.TABLE,
) -> None:
    """Say everything that is wrong, with file and line. Exit status 78 if anything is."""
    from memplane_gateway.config import ConfigError, load

    overrides = {"data_dir": None if data is None else str(data)}
    try:
        settings = load(config, overrides, everything=True)
    except ConfigError as error:
        if form is options.OutputForm.JSON:
            problems = [
                {
                    "path": problem.path,
                    "message": problem.message,
                    "suggestion": problem.suggestion,
                    **dataclasses.asdict(problem.origin),
                }
                for problem in error.problems
            ]
            output.print_json({"ok": False, "problems": problems})
        else:
            for problem in error.problems:
                exits.say(str(problem))
        raise typer.Exit(exits.CONFIG) from None
    if form is options.OutputForm.JSON:
        output.print_json({"ok": True, "problems": [], "unused": list(settings.unused)})
        return
    where = settings.file or "no file: the defaults and the environment"
    sys.stdout.write(f"ok ({where})\n")
    for path in settings.unused:
        exits.say(f"note: used by no route: {path}")


@app.command()
def show(config: options.Config = None, data: options.Data = None, as_json: AsJson = False) -> None:
    """Print what is in effect, in the form of the file. Secrets are masked."""
    import yaml

    from memplane_gateway.cli.settings import read_settings
    from memplane_gateway.config import effective

    settings = read_settings(config, data=data)
    shown = effective(settings)
    if as_json:
        output.print_json(shown)
        return
    sys.stdout.write(f"# from {settings.file or 'no file'}, the environment and the defaults\n")
    for path in settings.unused:
        sys.stdout.write(f"# used by no route: {path}\n")
    yaml.safe_dump(shown, sys.stdout, sort_keys=False, allow_unicode=True, default_flow_style=False)


@app.command()
def schema() -> None:
    """Print the JSON schema of the file, for editors."""
    from memplane_gateway.config import json_schema

    output.print_json(json_schema())
