"""Where in a foreign row a datum stands, as a mapping says it, and reading it there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from memplane_adapters.contract import ForeignRow
from memplane_gateway.config.problems import nearest_or_list

Path = tuple[str, ...]

ID: Final = "@id"
DOCUMENT: Final = "@document"
_OWN: Final = (ID, DOCUMENT)
_WAYS: Final = "should be a path such as metadata.topic, a list of names, or {field: PATH}"


class Missing(Enum):
    """The type of MISSING."""

    MISSING = "missing"


MISSING: Final = Missing.MISSING
"""Nothing stands there."""


class FieldError(Exception):
    """What stands at a field cannot be read; `args[0]` is the end of a sentence about it."""


@dataclass(frozen=True, slots=True)
class Field:
    """A place in a row: "@id", "@document", or a path of names into its payload.

    With `json` the string that stands there is read as JSON, and the path goes on in it.
    """

    path: Path
    json: Path | None = None
    own: bool = False
    """Whether it is the row's own, and no part of its payload."""

    def __str__(self) -> str:
        said = ".".join(self.path)
        return said if self.json is None else f"{said} (JSON).{'.'.join(self.json)}"

    @property
    def name(self) -> str:
        """The last name of its path."""
        return (self.json or self.path)[-1]

    def of(self, row: ForeignRow) -> Any:
        """What stands there; MISSING where nothing or null does. Raises FieldError."""
        if self.own:
            own = row.id if self.path == (ID,) else row.document
            return MISSING if own is None else own
        found = below(row.payload, self.path)
        if self.json is None or found is MISSING:
            return found
        return below(_parsed(found), self.json)


def below(value: Any, path: Path) -> Any:
    """What stands at a path in nested maps; MISSING where nothing or null does."""
    for name in path:
        if not isinstance(value, Mapping) or name not in value:
            return MISSING
        value = value[name]
    return MISSING if value is None else value


def parse_field(given: object) -> Field:
    """A field as it stands in a mapping. Raises ValueError."""
    if isinstance(given, Mapping):
        settings = checked(given, {"field", "json"})
        inner = parse_field(settings["field"])
        if "json" not in settings:
            return inner
        if inner.own:
            raise ValueError(f"{inner} is no JSON")
        return Field(inner.path, parse_path(settings["json"]))
    path = parse_path(given)
    own = isinstance(given, str) and given.startswith("@")
    if own and given not in _OWN:
        raise ValueError(f"{given} is nothing that a row has; there are: {', '.join(_OWN)}")
    return Field((given,) if isinstance(given, str) and own else path, own=own)


def parse_path(given: object) -> Path:
    """A path: "a.b", or ["a", "b.c"] for names with a dot in them. Raises ValueError."""
    names = given.split(".") if isinstance(given, str) else given
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise ValueError(_WAYS)
    if not names or not all(names):
        raise ValueError("a name in a path is empty")
    return tuple(names)


def checked(
    given: Mapping[Any, Any], known: set[str], required: str = "field"
) -> Mapping[str, Any]:
    """The settings of a small section. Raises ValueError for unknown ones, and without `required`."""
    for name in given:
        if name not in known:
            raise ValueError(f'unknown setting "{name}" ({nearest_or_list(str(name), known)})')
    if required not in given:
        raise ValueError(f"needs {required}")
    return given


def _parsed(text: object) -> Any:
    if not isinstance(text, str):
        raise FieldError(f"is {kind_of(text)}, no string that holds JSON")
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise FieldError("holds no JSON") from None


def kind_of(value: object) -> str:
    """What a datum is, in the words of JSON."""
    if value is None:
        return "null"
    for kind, word in _WORDS:
        if isinstance(value, kind):
            return word
    return f"a {type(value).__name__}"


_WORDS: Final[tuple[tuple[Any, str], ...]] = (
    (bool, "a truth value"),
    ((int, float), "a number"),
    (str, "a string"),
    (Mapping, "a map"),
    ((list, tuple), "a list"),
)
