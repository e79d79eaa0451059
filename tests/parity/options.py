"""What a parity run is asked for, and what it says at its end."""

from __future__ import annotations

import functools
import os
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

STEPS = 2_000
"""Where nobody says how many."""
SMOKE_STEPS = 200
"""Within `make test`, where they are always the same."""

SAID: list[str] = []


def say(text: str) -> None:
    """Note what was compared."""
    SAID.append(text)


@dataclass(frozen=True)
class Options:
    """How many steps, from which seed (None: always the same steps), on which stores (all: none)."""

    steps: int
    seed: int | None
    one_an_adapter: bool
    """Of each adapter one store, where none are named."""
    stores: tuple[str, ...]
    tell: Callable[[str], None]
    """Says on the terminal how far a long run is."""


def chosen(config: pytest.Config) -> Options:
    """What the command line says, else the environment.

    With neither steps nor a seed it is the run of `make test`. With one of them the other has a
    default: 2,000 steps, and a seed that nobody has used.
    """
    steps, seed = _number(config, "steps"), _number(config, "seed")
    stores = tuple(name for name in _text(config, "stores").split(",") if name)
    tell = functools.partial(_tell, config)
    if steps is None and seed is None:
        return Options(SMOKE_STEPS, None, one_an_adapter=True, stores=stores, tell=tell)
    return Options(
        STEPS if steps is None else steps,
        random.SystemRandom().randrange(2**32) if seed is None else seed,
        one_an_adapter=bool(config.getoption("one_an_adapter", default=False)),
        stores=stores,
        tell=tell,
    )


def _tell(config: pytest.Config, text: str) -> None:
    plugins: Any = config.pluginmanager
    with plugins.get_plugin("capturemanager").global_and_fixture_disabled():
        plugins.get_plugin("terminalreporter").write_line(text)


def _text(config: pytest.Config, name: str) -> str:
    given = config.getoption(name, default=None)
    found = os.environ.get(f"MEMPLANE_PARITY_{name.upper()}", "") if given is None else given
    return str(found)


def _number(config: pytest.Config, name: str) -> int | None:
    text = _text(config, name)
    return int(text) if text else None
