"""Settings as they are read: a tree of plain values that remembers where each came from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from memplane_gateway.config.problems import NOWHERE, Origin, SettingPath


class Tree:
    """What later sources set goes over what earlier ones did, leaf by leaf."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self._origins: dict[SettingPath, Origin] = {}

    def put(self, path: SettingPath, value: object, origin: Origin) -> None:
        """Sets a leaf; a mapping is merged into what is there, and a list replaces it."""
        if isinstance(value, Mapping):
            self._section(path)
            self._origins.setdefault(path, origin)
            for key, inner in value.items():
                self.put((*path, str(key)), inner, origin)
            return
        self.drop(path)
        self._section(path[:-1])[path[-1]] = value
        self._origins[path] = origin

    def mark(self, path: SettingPath, origin: Origin) -> None:
        """Says where a path was read, without touching its value."""
        self._origins[path] = origin

    def drop(self, path: SettingPath) -> None:
        """Forgets what is at a path and below."""
        section: Any = self.values
        for name in path[:-1]:
            section = section.get(name) if isinstance(section, dict) else None
        if isinstance(section, dict):
            section.pop(path[-1], None)
        for known in [known for known in self._origins if known[: len(path)] == path]:
            del self._origins[known]

    def get(self, path: SettingPath) -> Any:
        """What is at a path; None when nothing is."""
        value: Any = self.values
        for name in path:
            value = value.get(name) if isinstance(value, dict) else None
        return value

    def section(self, *path: str) -> dict[str, Any]:
        """The mapping at a path; an empty one when there is none."""
        value = self.get(path)
        return value if isinstance(value, dict) else {}

    def origin(self, path: SettingPath) -> Origin:
        """Where a path was read; for one that was not, where what is around it was."""
        for length in range(len(path), 0, -1):
            if path[:length] in self._origins:
                return self._origins[path[:length]]
        return NOWHERE

    def _section(self, path: SettingPath) -> dict[str, Any]:
        section = self.values
        for name in path:
            inner = section.get(name)
            if not isinstance(inner, dict):
                inner = section[name] = {}
            section = inner
        return section
