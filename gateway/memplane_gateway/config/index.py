"""Which attributes a route wants indexed: `{price: number, address.city: string}`.

A dot in a name goes a level down, as in filters. The list form reaches a name with a dot in it:
`[{path: [a.b, c], type: string}]`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, TypeAlias

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema

from memplane_adapters.contract import FieldType
from memplane_gateway.config.problems import dotted, nearest_and_list
from memplane_gateway.limits import ATTRIBUTE_ITEMS, ATTRIBUTE_NAME_BYTES, PATH_NAMES

AttributePath: TypeAlias = tuple[str, ...]
_ITEM_KEYS = {"path", "type"}


def _read(value: object) -> Mapping[AttributePath, FieldType]:
    """Any of the forms, or what was made of one. Raises ValueError with all that is wrong."""
    if isinstance(value, str):
        try:
            value = json.loads(value)  # a variable
        except ValueError:
            raise ValueError("the JSON cannot be read") from None
    if isinstance(value, Mapping):
        items = [(_path(name), type_) for name, type_ in value.items()]
    elif isinstance(value, list):
        items = [_item(item) for item in value]
    else:
        raise ValueError("should be attributes with their types, for example {price: number}")  # noqa: TRY004
    problems = [problem for path, type_ in items for problem in _problems(path, type_)]
    twice = {path for path, _ in items if sum(path == other for other, _ in items) > 1}
    problems += [f"{_shown(path)} is said twice" for path in sorted(twice)]
    if len(items) > ATTRIBUTE_ITEMS:
        problems.append(f"{len(items)} attributes, but at most {ATTRIBUTE_ITEMS} can be indexed")
    if problems:
        raise ValueError("; ".join(problems))
    return {path: FieldType(str(type_)) for path, type_ in items}


def _item(item: object) -> tuple[AttributePath, object]:
    if not isinstance(item, Mapping) or set(item) != _ITEM_KEYS:
        raise ValueError("an item of the list should have a path and a type, and nothing else")
    return _path(item["path"]), item["type"]


def _path(written: object) -> AttributePath:
    if isinstance(written, str):
        return tuple(written.split("."))
    if isinstance(written, list | tuple) and all(isinstance(name, str) for name in written):
        return tuple(written)
    raise ValueError("a path should be a name, or a list of names")


def _problems(path: AttributePath, type_: object) -> Iterator[str]:
    shown = _shown(path)
    if not path or not all(path):
        yield f"{shown}: a name is empty"
    elif path[0].startswith("@"):
        yield f"{shown}: system fields cannot be named here; stores index those that they need"
    if len(path) > PATH_NAMES:
        yield f"{shown}: has {len(path)} names, but at most {PATH_NAMES} are allowed"
    if any("\0" in name or len(name.encode()) > ATTRIBUTE_NAME_BYTES for name in path):
        yield f"{shown}: a name has 1 to {ATTRIBUTE_NAME_BYTES} bytes of UTF-8 without NUL"
    if type_ not in list(FieldType):
        known = [each.value for each in FieldType]
        yield f'{shown}: no type "{type_}" ({nearest_and_list(str(type_), known, "there are")})'


def _shown(path: AttributePath) -> str:
    if any("." in name for name in path):
        return json.dumps(path, ensure_ascii=False)
    return dotted(path)


def _written(index: Mapping[AttributePath, FieldType]) -> object:
    """In the short form where it can say it."""
    if any("." in name for path in index for name in path):
        return [{"path": list(path), "type": type_.value} for path, type_ in index.items()]
    return {dotted(path): type_.value for path, type_ in index.items()}


_TYPE: dict[str, Any] = {"enum": [each.value for each in FieldType]}
_PATH: dict[str, Any] = {
    "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]
}
_SCHEMA: dict[str, Any] = {
    "anyOf": [
        {"type": "object", "additionalProperties": _TYPE},
        {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"path": _PATH, "type": _TYPE},
                "required": ["path", "type"],
                "additionalProperties": False,
            },
        },
    ]
}

Index: TypeAlias = Annotated[
    Mapping[AttributePath, FieldType],
    PlainValidator(_read),
    PlainSerializer(_written),
    WithJsonSchema(_SCHEMA),
]
