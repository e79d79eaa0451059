"""An adapter from outside: a box of cards in memory, which can less than the stores that ship.

It shows what a third party writes: this package, an entry point and a run of the suite.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from memplane_adapters.contract import Adapter, Backend

from .store import CardboxStore

__all__ = ["ADAPTER", "CardboxSettings"]


@dataclass(frozen=True, slots=True)
class CardboxSettings:
    """How large the box is."""

    cards: int = 100_000


def connect(settings: CardboxSettings, data_dir: Path) -> Backend:
    """A box of points; it keeps no key-values."""
    return Backend(vector=CardboxStore(settings.cards))


def from_url(url: str) -> Mapping[str, object]:
    """The number of cards; nothing is the default. Raises ValueError for anything else."""
    cards = url.removeprefix("//")
    return {"cards": int(cards)} if cards else {}


ADAPTER = Adapter(name="cardbox", settings=CardboxSettings, connect=connect, from_url=from_url)
