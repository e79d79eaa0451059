"""Variables: `MEMPLANE_...` nested with `__`, from the environment and from `.env`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dotenv

from memplane_gateway.config.models import LogSettings, RoutesSettings, Settings, providers
from memplane_gateway.config.problems import Origin, Problem, SettingPath, dotted, nearest
from memplane_gateway.config.stores import AdapterError, find_adapter, installed
from memplane_gateway.config.tree import Tree

DOTENV = Path(".env")
PREFIX = "MEMPLANE_"
CONFIG = "MEMPLANE_CONFIG"
VECTOR = "MEMPLANE_VECTOR"
PROCEDURAL = "MEMPLANE_PROCEDURAL"
EMBEDDER = "MEMPLANE_EMBEDDER"
# Read by the words of the command line that are clients.
CLIENT = ("MEMPLANE_TARGET",)
SHORT = (CONFIG, VECTOR, PROCEDURAL, EMBEDDER, *CLIENT)
# Of our own tests and benches.
FOREIGN = ("MEMPLANE_TEST_", "MEMPLANE_BENCH_")
# What Kubernetes sets in every pod beside a Service whose name begins with "memplane".
_KUBERNETES = re.compile(
    r"MEMPLANE_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)"
)
_KUBERNETES_PORT = re.compile(r"(tcp|udp|sctp)://")

# What people try first.
_MEANT = {
    "MEMPLANE_PORT": "MEMPLANE_LISTEN",
    "MEMPLANE_HOST": "MEMPLANE_LISTEN",
    "MEMPLANE_ADDRESS": "MEMPLANE_LISTEN",
    "MEMPLANE_DATA": "MEMPLANE_DATA_DIR",
}

_SHORT_FORM = re.compile(r"(?P<name>[A-Za-z][A-Za-z0-9_-]*?)(?P<sign>[+:])(?P<rest>.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable that is set and not empty."""

    name: str
    value: str
    origin: Origin
    near: bool
    """Whether it stands in the environment; if not, in `.env`."""


class Variables:
    """The environment over `.env`. An empty variable counts as one that is not set."""

    def __init__(self, environ: Mapping[str, str], file: Path | None) -> None:
        self._values: dict[str, str] = {}
        self.found: dict[str, Variable] = {}
        if file is not None and file.is_file():
            values = dotenv.dotenv_values(file, interpolate=False, encoding="utf-8-sig")
            self._add({k: v for k, v in values.items() if v}, str(file))
        self._add(environ, None)

    def _add(self, values: Mapping[str, str], file: str | None) -> None:
        for name, value in values.items():
            if not value:
                continue
            self._values[name] = value
            if name.upper().startswith(PREFIX) and not _is_foreign(name.upper(), value):
                upper = name.upper()
                self.found[upper] = Variable(upper, value, Origin(file, None, name), file is None)

    def get(self, name: str) -> str | None:
        """Any variable, ours or not."""
        return self._values.get(name)

    def short(self, name: str) -> Variable | None:
        return self.found.get(name)


def short_form(text: str) -> tuple[str, str] | None:
    """Adapter and address of "qdrant+http://localhost:6333"; None for what is a mere name."""
    form = _SHORT_FORM.fullmatch(text)
    return (form["name"].lower(), form["rest"]) if form else None


def _is_foreign(name: str, value: str) -> bool:
    if name.startswith(FOREIGN) or _KUBERNETES.fullmatch(name):
        return True
    return name.endswith("_PORT") and _KUBERNETES_PORT.match(value) is not None


def apply_variables(variables: Variables, tree: Tree) -> Iterator[Problem]:
    """Lays the variables over what the file says."""
    short = _ShortForms(variables, tree)
    yield from short.define()
    for near in (False, True):
        short.point(near=near)
        nested = [v for v in variables.found.values() if v.near is near and v.name not in SHORT]
        for variable in sorted(nested, key=lambda variable: variable.name.count("__")):
            yield from _nested(variable, tree)


def _nested(variable: Variable, tree: Tree) -> Iterator[Problem]:
    parts = variable.name.removeprefix(PREFIX).lower().split("__")
    if parts[0] not in Settings.model_fields or not all(parts):
        yield Problem("", "unknown variable", _nearest_variable(variable.name), variable.origin)
        return
    path = _as_named(tuple(parts), tree)
    value: Any = variable.value
    if _is_section(path):
        try:
            value = json.loads(value)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            message = "a section takes a JSON object; a single setting has its name behind __"
            yield Problem(dotted(path), message, origin=variable.origin)
            return
    tree.put(path, value, variable.origin)


def _as_named(path: SettingPath, tree: Tree) -> SettingPath:
    """Finds the store or embedder that a variable means: it can write neither "-" nor capitals."""
    if path[0] not in ("stores", "embedders") or len(path) == 1:
        return path
    for name in tree.section(path[0]):
        if name.lower().replace("-", "_") == path[1].replace("-", "_"):
            return (path[0], name, *path[2:])
    return path


def _is_section(path: SettingPath) -> bool:
    if path[0] in ("stores", "embedders", "routes"):
        return len(path) <= 2
    return path == ("log",)


def known_variables() -> list[str]:
    """Every variable that can be named without knowing the stores."""
    names = [f"{PREFIX}{name.upper()}" for name in Settings.model_fields]
    names += [f"{PREFIX}LOG__{name.upper()}" for name in LogSettings.model_fields]
    for kind, field in RoutesSettings.model_fields.items():
        route: Any = field.annotation
        names += [f"{PREFIX}ROUTES__{kind.upper()}__{name.upper()}" for name in route.model_fields]
    return [*names, *SHORT]


def _nearest_variable(name: str) -> str:
    """Compares without what all have in common."""
    ends = [known.removeprefix(PREFIX) for known in known_variables()]
    if name in _MEANT:
        return f'did you mean "{_MEANT[name]}"?'
    return nearest(name.removeprefix(PREFIX), ends).replace('"', f'"{PREFIX}', 1)


class _ShortForms:
    """One-variable switching: a variable defines a store, and points routes to it."""

    def __init__(self, variables: Variables, tree: Tree) -> None:
        self._variables = variables
        self._tree = tree
        self._targets: dict[str, str] = {}
        self._defined: dict[str, object] = {}

    def define(self) -> Iterator[Problem]:
        """Defines what the variables name; a store of that name in the file gives way."""
        for name in (VECTOR, PROCEDURAL):
            variable = self._variables.short(name)
            if variable is not None:
                yield from self._store(variable)
        variable = self._variables.short(EMBEDDER)
        if variable is not None:
            self._targets[EMBEDDER] = name = variable.value
            if name not in self._tree.section("embedders") and name in providers():
                self._tree.put(("embedders", name), {"provider": name}, variable.origin)

    def point(self, *, near: bool) -> None:
        """Points the routes, for the variables of the environment or for those of `.env`."""
        for name, kinds, key in (
            (VECTOR, ("semantic", "episodic"), "store"),
            (PROCEDURAL, ("procedural",), "store"),
            (EMBEDDER, ("semantic", "episodic"), "embedder"),
        ):
            variable = self._variables.short(name)
            if variable is None or variable.near is not near or name not in self._targets:
                continue
            for kind in kinds:
                self._tree.put(("routes", kind, key), self._targets[name], variable.origin)

    def _store(self, variable: Variable) -> Iterator[Problem]:
        text = variable.value
        form = short_form(text)
        if text in self._tree.section("stores") or form is None:
            self._targets[variable.name] = text
            if text not in self._tree.section("stores") and text in installed():
                self._tree.put(("stores", text), {"adapter": text}, variable.origin)
            return
        name, rest = form
        try:
            keys = dict(find_adapter(name).from_url(rest))
        except AdapterError as error:
            yield Problem("", str(error), error.suggestion, variable.origin)
            return
        except ValueError as error:
            yield Problem("", str(error), origin=variable.origin)
            return
        store = name
        if self._defined.setdefault(store, keys) != keys:
            store = f"{name}-procedural"  # the same adapter twice, each with its own address
        self._tree.drop(("stores", store))
        self._tree.put(("stores", store), {"adapter": name, **keys}, variable.origin)
        self._targets[variable.name] = store
