"""Adapters by entry point, and the settings of the stores that they serve."""

from __future__ import annotations

import dataclasses
import functools
import json
import types
import typing
from collections.abc import Iterator, Mapping
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from memplane_adapters.contract.adapter import Adapter, Backend
from memplane_gateway.config.problems import (
    Problem,
    SettingPath,
    dotted,
    nearest_and_list,
    nearest_or_list,
)

GROUP = "memplane.adapters"
EMBEDDED = "embedded"
OURS = "memplane-gateway"
REQUIRED = "is required"


class StoreSettings(BaseModel):
    """One store: the name of its adapter, and what that adapter's `settings` class made of it."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    adapter: str
    settings: Any = Field(repr=False)
    """May hold secrets."""
    place: tuple[str, ...] = ()
    """Names of the settings that say where things are kept; none: all but secrets."""

    def connect(self, data_dir: Path) -> Backend:
        """Makes the backend; no I/O yet."""
        return find_adapter(self.adapter).connect(self.settings, data_dir)


class AdapterError(Exception):
    """An adapter that cannot be used; `args[0]` is a sentence."""

    def __init__(self, message: str, suggestion: str = "") -> None:
        super().__init__(message)
        self.suggestion = suggestion


class StoreSettingsError(Exception):
    """The settings of a store are wrong; `problems` says how, with paths below the store."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


@functools.cache
def installed() -> Mapping[str, EntryPoint]:
    """Every adapter that is installed, by name; nothing is loaded. One may have several names."""
    found: dict[str, EntryPoint] = {}
    for entry in entry_points(group=GROUP):
        found.setdefault(entry.name, entry)
    return found


def find_adapter(name: str) -> Adapter:
    """Loads one adapter.

    Raises:
        AdapterError: Nobody knows it, or what it needs is not installed.
    """
    adapter = load_adapter(name)
    if missing := lacking(adapter):
        raise _without(adapter.name, missing[0])
    return adapter


def _without(name: str, module: str) -> AdapterError:
    message = f'adapter "{name}" needs the module "{module}", which is not installed'
    return AdapterError(message, f"pip install '{extra_of(name)}'")


def lacking(adapter: Adapter) -> list[str]:
    """The modules of its SDK that are not installed."""
    return [module for module in adapter.needs if find_spec(module) is None]


def extra_of(name: str) -> str:
    """What pip installs for an adapter, for example "memplane-gateway[qdrant]"."""
    entry = installed()[name]
    owner = entry.dist.name if entry.dist is not None else OURS
    return f"{owner}[{name}]"


def load_adapter(name: str) -> Adapter:
    """Loads one adapter to read about it; its SDK need not be there, if it says what it needs.

    Raises:
        AdapterError: Nobody knows it, or it cannot be imported.
    """
    entry = installed().get(name)
    if entry is None:
        raise AdapterError(f'no adapter "{name}"', nearest_and_list(name, installed(), "installed"))
    try:
        adapter = entry.load()
    except ModuleNotFoundError as error:
        raise _without(name, error.name or "a module") from error
    except ImportError as error:
        raise AdapterError(f'adapter "{name}" cannot be loaded: {error}') from error
    if not isinstance(adapter, Adapter):
        raise AdapterError(f'the entry point of adapter "{name}" holds no Adapter')
    return adapter


def own_name(name: str) -> str:
    """The name that an adapter gives itself; one that cannot be imported is known by that name."""
    try:
        return load_adapter(name).name
    except AdapterError:
        return name


def make_store(name: str, keys: Mapping[str, object]) -> StoreSettings:
    """Checks the keys of a store (without `adapter`) against its adapter.

    Raises:
        AdapterError: As `find_adapter`.
        StoreSettingsError: A key is unknown, missing or has the wrong value.
    """
    adapter = find_adapter(name)
    settings = check_keys(adapter.settings, keys, f'adapter "{name}"')
    return StoreSettings(adapter=adapter.name, settings=settings, place=adapter.place)


def check_keys(cls: type, keys: Mapping[str, object], owner: str) -> Any:
    """An instance of the dataclass `cls` that keys stand for. Raises StoreSettingsError."""
    problems = list(_unknown_keys(cls, keys, owner))
    known = {key: value for key, value in keys.items() if key in _hints(cls)}
    settings: object = None
    try:
        settings = TypeAdapter(cls).validate_python(
            {key: _read(value, _hints(cls)[key]) for key, value in known.items()}
        )
    except ValidationError as error:
        meant = {problem.suggestion for problem in problems}
        problems += [
            problem
            for problem in from_pydantic(error)
            if problem.message != REQUIRED or f'did you mean "{problem.path}"?' not in meant
        ]
    except (ValueError, TypeError) as error:
        problems.append(Problem("", str(error)))
    if problems:
        raise StoreSettingsError(problems)
    return settings


_SENTENCES = {
    **dict.fromkeys(
        ("model_type", "model_attributes_type", "dataclass_type", "dict_type", "mapping_type"),
        "should be a section (name: value)",
    ),
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "should be a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "should be a number"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "should be true or false"),
    **dict.fromkeys(("list_type", "tuple_type"), "should be a list"),
    "path_type": "should be a path; put it in quotes",
    "string_type": "should be a string; put it in quotes",
}
_BOUNDS = {
    "greater_than_equal": "at least",
    "greater_than": "more than",
    "less_than_equal": "at most",
    "less_than": "less than",
}


def from_pydantic(error: ValidationError) -> Iterator[Problem]:
    """Says in our words, and without the offending value, what pydantic found."""
    for line in error.errors(include_url=False, include_input=False):
        message = _SENTENCES.get(line["type"], line["msg"])
        if line["type"] in _BOUNDS:
            message = f"should be {_BOUNDS[line['type']]} {next(iter(line['ctx'].values()))}"
        for prefix in ("Value error, ", "Assertion failed, ", "Input "):
            message = message.removeprefix(prefix)
        if line["type"] == "missing":
            message = REQUIRED
        elif line["type"] == "extra_forbidden":
            message = "unknown setting"
        yield Problem(dotted(line["loc"]), message)


def _unknown_keys(
    cls: type, keys: Mapping[str, object], owner: str, above: SettingPath = ()
) -> Iterator[Problem]:
    hints = _hints(cls)
    for key, value in keys.items():
        path = (*above, key)
        if key not in hints:
            yield Problem(dotted(path), f"unknown setting of {owner}", nearest_or_list(key, hints))
            continue
        inner = next(filter(dataclasses.is_dataclass, _members(hints[key])), None)
        if isinstance(inner, type) and isinstance(value, Mapping):
            yield from _unknown_keys(inner, value, owner, path)


@functools.cache
def _hints(cls: type) -> Mapping[str, Any]:
    hints = typing.get_type_hints(cls, include_extras=True)
    return {field.name: hints[field.name] for field in dataclasses.fields(cls) if field.init}


def _members(hint: Any) -> tuple[Any, ...]:
    origin = typing.get_origin(hint)
    if origin is typing.Annotated:
        return _members(typing.get_args(hint)[0])
    if origin in (typing.Union, types.UnionType):
        return tuple(member for part in typing.get_args(hint) for member in _members(part))
    return (hint,)


def _read(value: object, hint: Any) -> object:
    """Reads JSON where a variable holds a list or a mapping, which it can only hold as a string."""
    members = _members(hint)
    if not isinstance(value, str) or not value.lstrip().startswith(("[", "{")) or str in members:
        return value
    if not any(typing.get_origin(member) or dataclasses.is_dataclass(member) for member in members):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value
