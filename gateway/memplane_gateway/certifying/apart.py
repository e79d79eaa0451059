"""A place of its own in a store, where nothing of the user's is touched, and its end."""

from __future__ import annotations

import asyncio
import dataclasses
import secrets
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from memplane_adapters.contract import Adapter, StoreError
from memplane_gateway.config import StoreSettings
from memplane_gateway.config.stores import find_adapter

HALVES: Final = ("stores", "memories")
"""The two halves of the suite; what one makes would be another embedding identity to the other."""
_REMOVING_SECONDS: Final = 60.0


class NotApartError(Exception):
    """A store in which nothing can be kept apart; `args[0]` is a sentence."""


@dataclass(frozen=True, slots=True)
class Apart:
    """Settings of a store that lead to nothing of the user's, and the directory for all else."""

    adapter: Adapter
    settings: Mapping[str, Any]
    """For each half of the suite: an instance of the adapter's settings class."""
    directory: Path
    """A new one, where stores that are kept in a directory are, too."""
    prefix: str = ""
    """What the names of all that is made begin with; empty where the directory holds all of it."""
    prefixes: dict[str, None] = field(default_factory=dict)
    """Those under which something may have been made, in order."""

    def __str__(self) -> str:
        names = f' and under names that begin with "{self.prefix}"' if self.prefix else ""
        return f"{self.directory}{names}"

    @property
    def in_process(self) -> bool:
        """Whether there is no server."""
        return not self.prefix

    def keys(self) -> dict[str, dict[str, object]]:
        """The settings of each half as keys of a configuration."""
        return {half: dataclasses.asdict(self.settings[half]) for half in HALVES}

    def remove(self) -> list[str]:
        """Remove all that was made; what is left, in sentences."""
        left = [] if self.in_process else asyncio.run(self._remove_names())
        shutil.rmtree(self.directory, ignore_errors=True)
        if self.directory.exists():
            left.append(f"the directory {self.directory}")
        return left

    async def _remove_names(self) -> list[str]:
        what = f'what the store has under names that begin with "{self.prefix}"'
        if self.adapter.remove is None:
            return [f"{what} (the adapter {self.adapter.name} cannot remove it)"]
        left: list[str] = []
        settings = self.settings[HALVES[0]]
        try:
            for prefix in self.prefixes:
                async with asyncio.timeout(_REMOVING_SECONDS):
                    ours = dataclasses.replace(settings, **{self.adapter.prefix: prefix})
                    try:
                        await self.adapter.remove(ours, self.directory)
                    except StoreError as error:
                        if error.retryable:  # it is down, also for the next
                            return [*left, f"{what} ({error})"]
                        left.append(f'what the store has under "{prefix}" ({error})')
        except TimeoutError:
            left.append(f"{what} (no answer within {_REMOVING_SECONDS:.0f} seconds)")
        return left


def set_apart(store: StoreSettings, data_dir: Path) -> Apart:
    """A place of its own in this store. Makes a directory, and nothing else.

    Raises:
        AdapterError: The adapter is not installed.
        NotApartError: The adapter names no setting by which its users are kept apart.
    """
    adapter = find_adapter(store.adapter)
    path = str(getattr(store.settings, adapter.path)) if adapter.path else ""
    if path and (not path.startswith(":") or not adapter.prefix):
        return _in_a_directory(adapter, store.settings, path, data_dir)
    if not adapter.prefix:
        raise NotApartError(
            f"a certification writes and deletes, and the adapter {adapter.name} names no setting"
            " that keeps it apart from what is there (`prefix` or `path` of its Adapter)"
        )
    directory = Path(tempfile.mkdtemp(prefix="memplane-certify-"))
    # Some vendors take 21 letters only; the suite puts up to six behind it.
    prefix = f"cert-{secrets.token_hex(3)}"
    settings = {
        half: dataclasses.replace(store.settings, **{adapter.prefix: f"{prefix}-{half[0]}"})
        for half in HALVES
    }
    if path:  # in memory
        return Apart(adapter, settings, directory)
    # Asking whether the store is there may make something of its first half.
    return Apart(adapter, settings, directory, prefix, {f"{prefix}-{HALVES[0][0]}": None})


def _in_a_directory(adapter: Adapter, settings: Any, path: str, data_dir: Path) -> Apart:
    # On the same disk, which decides how long a write takes and what it survives.
    beside = (data_dir / Path(path).expanduser()).parent
    there = next((each for each in (beside, data_dir) if each.is_dir()), None)
    directory = Path(tempfile.mkdtemp(prefix=".memplane-certify-", dir=there))
    name = path if path.startswith(":") else f"certified-{Path(path).name}"
    moved = dataclasses.replace(settings, **{adapter.path: name})
    return Apart(adapter, dict.fromkeys(HALVES, moved), directory)
