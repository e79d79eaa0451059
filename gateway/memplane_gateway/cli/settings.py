"""Reading the configuration for a word, and telling what is wrong with it."""

from __future__ import annotations

from pathlib import Path

from memplane_gateway.cli import exits
from memplane_gateway.config import ConfigError, Settings, load


def read_settings(
    config: Path | None,
    *,
    data: Path | None = None,
    listen: str | None = None,
    everything: bool = False,
) -> Settings:
    """Reads the settings; a wrong configuration ends the program with 78 and all that is wrong."""
    overrides = {"data_dir": None if data is None else str(data), "listen": listen}
    try:
        return load(config, overrides, everything=everything)
    except ConfigError as error:
        exits.say("memplane: the configuration is wrong:")
        for problem in error.problems:
            exits.say(f"  {problem}")
        exits.leave(exits.CONFIG)
