"""`memplane completion`: a script that has a shell complete words and options."""

from __future__ import annotations

import os
import sys
from enum import StrEnum
from typing import Annotated

import typer

_PROGRAM = "memplane"
_VARIABLE = "_MEMPLANE_COMPLETE"
"""What the script sets when it asks what may stand there; typer answers it."""


class ShellName(StrEnum):
    """A shell with completion of words."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def completion(
    shell: Annotated[ShellName, typer.Argument(help="The shell.", show_default=False)],
) -> None:
    """Print what has a shell complete words and options; nothing is installed.

    bash, in ~/.bashrc: eval "$(memplane completion bash)"

    zsh, in ~/.zshrc after compinit: eval "$(memplane completion zsh)"

    fish: memplane completion fish > ~/.config/fish/completions/memplane.fish
    """
    from typer._completion_shared import get_completion_script

    script = get_completion_script(prog_name=_PROGRAM, complete_var=_VARIABLE, shell=shell.value)
    sys.stdout.write(script + "\n")


def prepare() -> None:
    """Makes typer ready to answer, where a shell asks."""
    if _VARIABLE in os.environ:
        from typer._completion_classes import completion_init

        completion_init()
