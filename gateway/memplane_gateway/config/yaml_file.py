"""The YAML file: its values, and the line of each.

Scalars are read as YAML 1.2 reads them: `no` and `on` are words (of a list of stop words, say), and
only true and false are truth values.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from memplane_gateway.config.problems import Origin, Problem, SettingPath, dotted
from memplane_gateway.config.tree import Tree

DEEPEST = 32


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 (overrides an attribute of PyYAML)


for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?(?:0|[1-9][0-9]*)", list("-+0123456789")),
    ("float", r"[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*)(?:[eE][-+]?[0-9]+)?", list("-+.0123456789")),
    ("merge", r"<<", ["<"]),
):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), _first
    )


def read_yaml(path: Path, tree: Tree) -> list[Problem]:
    """Reads a file into a tree and returns what is wrong with it as YAML."""
    origin = Origin(str(path))
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        return [Problem("", "there is no such file", origin=origin)]
    except OSError as error:
        return [Problem("", f"cannot be read: {error.strerror or error}", origin=origin)]
    except UnicodeDecodeError:
        return [Problem("", "is not UTF-8", origin=origin)]
    try:
        return list(_Reader(text, str(path), tree).read())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = Origin(str(path), mark.line + 1 if mark else None)
        message = ", ".join(part for part in (error.problem, error.context) if part)
        if "'\\t'" in message:
            message = "a tab stands where YAML takes spaces only"
        return [Problem("", f"is not YAML: {message}", origin=where)]
    except yaml.YAMLError as error:  # characters that YAML refuses
        return [Problem("", f"is not YAML: {error}", origin=origin)]


class _Reader:
    def __init__(self, text: str, file: str, tree: Tree) -> None:
        self._loader = _Loader(text)
        self._file = file
        self._tree = tree

    def read(self) -> Iterator[Problem]:
        node = self._loader.get_single_node()
        if node is None or self._is_null(node):
            return
        if not isinstance(node, yaml.MappingNode):
            yield Problem("", "holds no settings (name: value)", origin=self._origin(node))
            return
        yield from self._mapping(node, ())

    def _origin(self, node: yaml.Node) -> Origin:
        return Origin(self._file, node.start_mark.line + 1)

    @staticmethod
    def _is_null(node: yaml.Node) -> bool:
        return isinstance(node, yaml.ScalarNode) and node.tag.endswith(":null")

    def _mapping(self, node: yaml.MappingNode, path: SettingPath) -> Iterator[Problem]:
        if len(path) > DEEPEST:
            yield Problem(dotted(path[:4]), "is nested too deep", origin=self._origin(node))
            return
        yield from self._said_twice(node, path)
        self._loader.flatten_mapping(node)
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                yield Problem(dotted(path), "a name is no word", origin=self._origin(key))
                continue
            inner = (*path, key.value)
            origin = self._origin(key)
            if isinstance(value, yaml.MappingNode):
                self._tree.put(inner, {}, origin)
                yield from self._mapping(value, inner)
            elif self._is_null(value) and len(inner) <= 2:
                self._tree.put(inner, {}, origin)  # a section without anything in it
            else:
                self._tree.put(inner, self._plain(value), origin)
                self._mark_items(value, inner)

    def _plain(self, value: yaml.Node) -> Any:
        plain: Any = self._loader.construct_object(value, deep=True)
        return plain

    def _mark_items(self, value: yaml.Node, path: SettingPath) -> None:
        if isinstance(value, yaml.SequenceNode):
            for index, item in enumerate(value.value):
                self._tree.mark((*path, str(index)), self._origin(item))

    def _said_twice(self, node: yaml.MappingNode, path: SettingPath) -> Iterator[Problem]:
        first: dict[str, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag.endswith(":merge"):
                continue
            line = key.start_mark.line + 1
            if key.value in first:
                said = f"is said twice, first in line {first[key.value]}"
                yield Problem(dotted((*path, key.value)), said, origin=self._origin(key))
            first.setdefault(key.value, line)
