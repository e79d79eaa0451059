"""A mapping's file: the collection that it is about, and what it says of the rows."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from memplane_adapters.contract import ForeignCollection, Kind
from memplane_gateway.adopting import mapping as mappings
from memplane_gateway.config.environment import DOTENV, Variables
from memplane_gateway.config.problems import (
    ConfigError,
    Origin,
    Problem,
    SettingPath,
    dotted,
    nearest,
    nearest_and_list,
    nearest_or_list,
    scrub,
)
from memplane_gateway.config.secrets import Secrets
from memplane_gateway.config.stores import (
    REQUIRED,
    AdapterError,
    StoreSettingsError,
    find_adapter,
    from_pydantic,
    installed,
    make_store,
)
from memplane_gateway.config.tree import Tree
from memplane_gateway.config.yaml_file import read_yaml

_SOURCE = "source"
_AT = (_SOURCE,)
_OF_THE_SOURCE = ("adapter", "collection", "vector_name")
"""What stands in it beside the settings of its adapter."""


@dataclass(frozen=True, slots=True)
class Source:
    """A collection that others made."""

    adapter: str
    collection: str
    vector_name: str
    settings: Any = dataclasses.field(repr=False)
    """May hold secrets."""
    directory: Path
    """What relative paths in the settings are below: where the mapping's file is."""

    def connect(self) -> ForeignCollection:
        """Its reader; no I/O yet."""
        foreign = find_adapter(self.adapter).foreign
        assert foreign is not None, "checked when the mapping was read"
        return foreign(self.settings, self.directory, self.collection, self.vector_name)


@dataclass(frozen=True, slots=True)
class Adoption:
    """What a mapping's file says."""

    source: Source
    mapping: mappings.Mapping

    @property
    def kind(self) -> Kind:
        """What the rows become."""
        return Kind(self.mapping.kind)


def read_adoption(file: Path, environ: Mapping[str, str] | None = None) -> Adoption:
    """Reads a mapping.

    Args:
        file: The YAML file.
        environ: The environment, for references to secrets; by default that of the process.

    Raises:
        ConfigError: Something is wrong; it lists all that was found.
    """
    tree = Tree()
    problems = read_yaml(file, tree)
    secrets = Secrets(tree, Variables(os.environ if environ is None else environ, DOTENV))
    source = mapping = None
    if not any(problem.path == "" for problem in problems):
        reader = _Reader(tree, secrets, file)
        source, mapping = reader.source(), reader.mapping()
        problems += reader.problems + secrets.problems
    if problems or source is None or mapping is None:
        raise ConfigError(
            [
                dataclasses.replace(problem, message=scrub(problem.message, secrets.values))
                for problem in sorted(
                    dict.fromkeys(problems), key=lambda each: (each.line or 0, each.path)
                )
            ]
        )
    return Adoption(source, mapping)


class _Reader:
    def __init__(self, tree: Tree, secrets: Secrets, file: Path) -> None:
        self.problems: list[Problem] = []
        self._tree = tree
        self._secrets = secrets
        self._file = file

    def source(self) -> Source | None:
        if not isinstance(self._tree.get(_AT), dict):
            wanted = "should be a section: adapter, collection, and where it is"
            self._add(Problem(_SOURCE, wanted))
            return None
        named = {name: self._name(name) for name in _OF_THE_SOURCE}
        adapter = named["adapter"]
        if not adapter or not self._can_read(adapter):
            return None
        keys = {
            key: value
            for key, value in self._tree.section(_SOURCE).items()
            if key not in _OF_THE_SOURCE
        }
        before = len(self._secrets.problems)
        resolved = self._secrets.resolve(keys, _AT)
        if len(self._secrets.problems) > before:
            return None
        try:
            settings = make_store(adapter, resolved).settings
        except StoreSettingsError as error:
            for problem in error.problems:
                unknown = problem.message.startswith("unknown")
                meant = nearest(problem.path, _OF_THE_SOURCE) if unknown else ""
                self._add(dataclasses.replace(problem, suggestion=meant or problem.suggestion), _AT)
            return None
        return Source(
            adapter, named["collection"], named["vector_name"], settings, self._file.parent
        )

    def mapping(self) -> mappings.Mapping | None:
        values = {name: value for name, value in self._tree.values.items() if name != _SOURCE}
        try:
            return mappings.Mapping.model_validate(values)
        except ValidationError as error:
            for problem in from_pydantic(error):
                self._add(_explained(problem))
            return None

    def _name(self, name: str) -> str:
        """A string of the source's; "" when there is none."""
        found = self._tree.get((_SOURCE, name))
        if isinstance(found, str) and found:
            return found
        if found is None or found == {}:
            if name != "vector_name":
                self._add(Problem(name, REQUIRED), _AT)
        else:
            self._add(Problem(name, "should be a string; put it in quotes"), _AT)
        return ""

    def _can_read(self, name: str) -> bool:
        try:
            adapter = find_adapter(name)
        except AdapterError as error:
            self._add(Problem("adapter", str(error), error.suggestion), _AT)
            return False
        if adapter.foreign is None:
            able = list(_able())
            message = f'adapter "{name}" reads no collections that others made'
            suggestion = nearest_and_list(name, able, "those that do")
            self._add(Problem("adapter", message, suggestion), _AT)
        return adapter.foreign is not None

    def _add(self, problem: Problem, above: SettingPath = ()) -> None:
        path = (*above, *(part for part in problem.path.split(".") if part))
        origin = self._tree.origin(path)
        if not path or origin.file is None:
            origin = Origin(str(self._file))
        self.problems.append(dataclasses.replace(problem, path=dotted(path), origin=origin))


def _able() -> Iterator[str]:
    """The adapters that read what others made, of those that can be loaded here."""
    for name in installed():
        try:
            if find_adapter(name).foreign is not None:
                yield name
        except AdapterError:
            continue


def _explained(problem: Problem) -> Problem:
    """With the nearest name for an unknown one; a problem of several settings is the first one's."""
    known = list(mappings.Mapping.model_fields)
    if problem.message == "unknown setting":
        suggestion = nearest_or_list(problem.path, [*known, _SOURCE])
        return dataclasses.replace(problem, suggestion=suggestion)
    name, colon, rest = problem.message.partition(": ")
    if not problem.path and colon and name in known:
        return dataclasses.replace(problem, path=name, message=rest)
    return problem
