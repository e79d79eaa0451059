"""What a parity run is asked for, and what it says at its end."""

from __future__ import annotations

import os
import random
from dataclasses import dataclass

import pytest

STEPS = 2_000
"""Of stores of vectors, which differ most; also within `make test`, where they are always the same."""
FEWER_STEPS = 200
"""Within `make test`, of stores that differ in less."""

SAID: list[str] = []


def say(text: str) -> None:
    """Note what was compared."""
    SAID.append(text)


@dataclass(frozen=True)
class Options:
    """How many steps, from which seed (None: always the same steps), on which stores (all: none)."""

    steps: int
    fewer: int
    """Steps where stores differ in less: the kinds without vectors, one store in several disguises."""
    seed: int | None
    stores: tuple[str, ...]


def chosen(config: pytest.Config) -> Options:
    """What the command line says, else the environment.

    With neither steps nor a seed it is the run of `make test`. With one of them the other has a
    default: 2,000 steps, and a seed that nobody has used.
    """
    steps, seed = _number(config, "steps"), _number(config, "seed")
    stores = tuple(name for name in _text(config, "stores").split(",") if name)
    if steps is None and seed is None:
        return Options(STEPS, FEWER_STEPS, None, stores)
    asked = STEPS if steps is None else steps
    return Options(
        asked,
        asked,
        random.SystemRandom().randrange(2**32) if seed is None else seed,
        stores,
    )


def _text(config: pytest.Config, name: str) -> str:
    given = config.getoption(name, default=None)
    found = os.environ.get(f"MEMPLANE_PARITY_{name.upper()}", "") if given is None else given
    return str(found)


def _number(config: pytest.Config, name: str) -> int | None:
    text = _text(config, name)
    return int(text) if text else None
