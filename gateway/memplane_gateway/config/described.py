"""What the settings of a store, an embedder or the gateway are, for people who write a first file.

Adapters say it themselves: the fields of their settings, the docstrings below these, `Adapter.start`.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import json
import re
import textwrap
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from memplane_adapters.contract.adapter import Adapter
from memplane_gateway.config.secrets import is_secret_name

_PLAIN: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_NO_STRINGS: Final = frozenset({"true", "false", "null"})
_WIDTH: Final = 96
SECRET: Final = "A secret: its place is the environment or .env."  # noqa: S105 (about secrets)


@dataclass(frozen=True, slots=True)
class Setting:
    """One line of a file."""

    name: str
    value: object
    """What stands there: what was chosen, a reference, or the default."""
    comment: str = ""
    said: bool = True
    """Whether it is set; else the line is a comment."""

    @property
    def variable(self) -> str:
        """The variable that the value refers to; "" if it does not."""
        kind, _, name = self.value.partition(":") if isinstance(self.value, str) else ("", "", "")
        return name if kind == "env" else ""

    def lines(self) -> Iterator[str]:
        """The comment, and the line itself."""
        if self.comment:
            yield from (f"# {line}" for line in textwrap.wrap(self.comment, _WIDTH))
        yield f"{'' if self.said else '#'}{self.name}: {scalar(self.value)}"


def scalar(value: object) -> str:
    """A value as it stands in the file; a string in quotes where it could be read otherwise."""
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _NO_STRINGS:
        return value
    return json.dumps(value, ensure_ascii=False)


def store_settings(adapter: Adapter, chosen: Mapping[str, object]) -> list[Setting]:
    """All settings of a store, in their order; those in `chosen` are set.

    A secret becomes a reference, whatever was chosen: it does not belong into a file.
    """
    fields = [field for field in dataclasses.fields(adapter.settings) if field.init]
    comments = docstrings(adapter.settings)
    start = adapter.start or tuple(field.name for field in fields[:1] if not chosen)
    made = []
    for field in fields:
        comment = comments.get(field.name, "")
        value = chosen.get(field.name, _default(field))
        secret = not field.repr or is_secret_name(field.name)
        if secret or value is dataclasses.MISSING:
            value = f"env:{adapter.name}_{field.name}".replace("-", "_").upper()
            value = value.replace("ENV:", "env:", 1)
        required = _default(field) is dataclasses.MISSING
        said = required or field.name in chosen or field.name in start
        text = f"{comment} {SECRET}".strip() if secret else comment
        made.append(Setting(field.name, value, text, said))
    return made


def _default(field: dataclasses.Field[Any]) -> object:
    """MISSING where there is none."""
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def docstrings(cls: type) -> dict[str, str]:
    """What stands below each field of a class, as one line; empty where there is no source."""
    found: dict[str, str] = {}
    for each in reversed(cls.__mro__):
        try:
            tree = ast.parse(textwrap.dedent(inspect.getsource(each)))
        except (OSError, TypeError, SyntaxError):  # built in, or made at run time
            continue
        body = next((node.body for node in tree.body if isinstance(node, ast.ClassDef)), [])
        for node, below in itertools.pairwise(body):
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                text = _text(below)
                if text:
                    found[node.target.id] = " ".join(text.split())
    return found


def _text(node: ast.stmt) -> str:
    constant = node.value if isinstance(node, ast.Expr) else None
    value = constant.value if isinstance(constant, ast.Constant) else None
    return value if isinstance(value, str) else ""


def model_settings(model: type[BaseModel], leave_out: Container[str] = ()) -> list[Setting]:
    """All plain settings of a section. Set are those that say an example: what one begins with."""
    made = []
    for name, field in model.model_fields.items():
        value = field.examples[0] if field.examples else field.default
        if name in leave_out or value is PydanticUndefined or not _is_plain(value):
            continue
        text = field.description or ""
        if str(value).startswith("env:"):
            text = f"{text} {SECRET}"
        made.append(Setting(name, value, text, said=bool(field.examples)))
    return made


def _is_plain(value: object) -> bool:
    """Whether the file can say it; None, say, is what it leaves out."""
    return isinstance(value, bool | int | float | str) and value != ""
