"""References to secrets: "env:NAME" and "file:PATH", where a string stands in a store's settings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from memplane_gateway.config.environment import Variables
from memplane_gateway.config.problems import Problem, SettingPath, dotted, passwords_in
from memplane_gateway.config.tree import Tree

_SECRET_NAME = re.compile(
    r"(^|[_-])(key|apikey|token|secret|password|passwd|passphrase|credentials?|dsn|auth|authorization|bearer|cookie)$",
    re.IGNORECASE,
)
_NOT_SECRET = re.compile(r"(^|[_-])(public|partition|sort|primary|foreign)[_-]key$", re.IGNORECASE)
LARGEST = 1024 * 1024


def is_secret_name(name: str) -> bool:
    """Whether what has this name is nobody's business."""
    return bool(_SECRET_NAME.search(name)) and not _NOT_SECRET.search(name)


class Secrets:
    """Replaces references by what they lead to, and knows what must not be shown."""

    def __init__(self, tree: Tree, variables: Variables) -> None:
        self._tree = tree
        self._variables = variables
        self.values: set[str] = set()
        self.references: dict[SettingPath, str] = {}
        self.problems: list[Problem] = []
        for variable in variables.found.values():
            self.values |= passwords_in(variable.value)

    def resolve(self, value: Any, path: SettingPath) -> Any:
        """Reads the references at and below a path; one that leads nowhere becomes a problem."""
        if isinstance(value, Mapping):
            return {key: self.resolve(inner, (*path, str(key))) for key, inner in value.items()}
        if isinstance(value, list):
            return [self.resolve(inner, (*path, str(i))) for i, inner in enumerate(value)]
        if not isinstance(value, str):
            return value
        self.values |= passwords_in(value)
        kind, colon, rest = value.partition(":")
        if not colon or kind not in ("env", "file"):
            if is_secret_name(path[-1]):
                self.values.add(value)
            return value
        self.references[path] = value
        found = self._variable(rest, path) if kind == "env" else self._file(rest, path)
        if found:
            self.values |= {found, *passwords_in(found)}
        return found

    def _variable(self, name: str, path: SettingPath) -> str:
        found = self._variables.get(name)
        if not found:
            self._problem(path, f"the variable {name} is not set", f"export {name}=... or .env")
        return found or ""

    def _file(self, name: str, path: SettingPath) -> str:
        file = Path(name).expanduser()
        origin = self._tree.origin(path)
        if not file.is_absolute() and origin.file and not origin.variable:
            file = Path(origin.file).parent / file
        try:
            with file.open(encoding="utf-8") as stream:
                found = stream.read(LARGEST).rstrip("\r\n")
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            self._problem(path, f"the file {file} cannot be read: {reason}")
            return ""
        if not found:
            self._problem(path, f"the file {file} is empty")
        return found

    def _problem(self, path: SettingPath, message: str, suggestion: str = "") -> None:
        self.problems.append(Problem(dotted(path), message, suggestion, self._tree.origin(path)))
