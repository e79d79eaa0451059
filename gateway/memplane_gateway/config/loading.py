"""From the sources to `Settings`: read, lay over one another, check everything, say it all at once."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import ValidationError

from memplane_gateway.config.adopted import ADOPT, make_adopted, refusals
from memplane_gateway.config.environment import CONFIG, DOTENV, Variables, apply_variables
from memplane_gateway.config.models import EMBEDDER, HASH, Settings, providers
from memplane_gateway.config.problems import (
    ConfigError,
    Origin,
    Problem,
    SettingPath,
    dotted,
    nearest_and_list,
    nearest_or_list,
    scrub,
)
from memplane_gateway.config.secrets import Secrets
from memplane_gateway.config.stores import (
    EMBEDDED,
    AdapterError,
    StoreSettings,
    StoreSettingsError,
    from_pydantic,
    installed,
    make_store,
)
from memplane_gateway.config.tree import Tree
from memplane_gateway.config.yaml_file import read_yaml
from memplane_gateway.embedders import EmbedderSettings

DEFAULT_FILE = Path("memplane.yaml")
_ROUTES = (("routes", "semantic"), ("routes", "episodic"), ("routes", "procedural"))
OPTIONS = {"listen": "--listen", "data_dir": "--data"}


def load(
    path: str | os.PathLike[str] | None = None,
    overrides: Mapping[str, object] | None = None,
    environ: Mapping[str, str] | None = None,
    *,
    everything: bool = False,
) -> Settings:
    """Reads the configuration.

    Args:
        path: The YAML file; without one MEMPLANE_CONFIG, else ./memplane.yaml if it is there.
        overrides: What the command line says, as a tree of settings; None in it is not said.
        environ: The environment; by default that of the process.
        everything: Look into stores and embedders that no route uses, too.

    Raises:
        ConfigError: Something is wrong; it lists all that was found.
    """
    variables = Variables(os.environ if environ is None else environ, DOTENV)
    tree = Tree()
    problems: list[Problem] = []
    file = _file(path, variables)
    if file is not None:
        problems += read_yaml(file, tree)
    readable = not any(problem.path == "" for problem in problems)
    problems += apply_variables(variables, tree)
    for key, value in (overrides or {}).items():
        if value is not None:
            tree.put((key,), value, Origin(variable=OPTIONS.get(key)))
    secrets = Secrets(tree, variables)
    settings = None
    if readable:
        checker = _Checker(tree, secrets, problems, everything=everything)
        settings = checker.check(environ)
        problems += secrets.problems
    if problems or settings is None:
        raise ConfigError(
            [
                dataclasses.replace(problem, message=scrub(problem.message, secrets.values))
                for problem in sorted(dict.fromkeys(problems), key=_place)
            ]
        )
    used = _used_names(settings)
    written = [(part, name) for part in ("stores", "embedders") for name in tree.section(part)]
    unused = tuple(dotted(path) for path in written if path not in used)
    settings.note(file, secrets.references, unused)
    return settings


def _used_names(settings: Settings) -> set[SettingPath]:
    """The stores and embedders that routes lead to, the gateway's own, and the two that always are."""
    routes = settings.routes
    used: set[SettingPath] = {
        ("stores", EMBEDDED),
        ("embedders", HASH),
        ("stores", routes.procedural.store),
        ("stores", settings.control.store),
    }
    for route in (routes.semantic, routes.episodic):
        used |= {("stores", route.store), ("embedders", route.embedder)}
    return used


def _place(problem: Problem) -> tuple[str, int, str]:
    return (problem.file or "", problem.line or 0, problem.path)


def _file(path: str | os.PathLike[str] | None, variables: Variables) -> Path | None:
    if path is not None:
        return Path(path)
    variable = variables.short(CONFIG)
    if variable is not None:
        return Path(variable.value)
    return DEFAULT_FILE if DEFAULT_FILE.exists() else None


class _Checker:
    def __init__(
        self, tree: Tree, secrets: Secrets, problems: list[Problem], *, everything: bool
    ) -> None:
        self._tree = tree
        self._secrets = secrets
        self._problems = problems
        self._everything = everything

    def check(self, environ: Mapping[str, str] | None) -> Settings | None:
        """The settings; `environ` is for what a mapping of its own file refers to."""
        self._environ = environ
        self._data_dir_beside_the_file()
        self._truth_values_in_the_file()
        plain = {k: v for k, v in self._tree.values.items() if k not in ("stores", "embedders")}
        settings = self._settings({**plain, "stores": {}, "embedders": {}})
        stores, embedders = self._stores(), self._embedders()
        if settings is None:
            return None
        self._listening(settings)
        whole = settings.model_copy(update={"stores": stores, "embedders": embedders})
        if not self._problems:  # else a store may be missing
            for _, kind in _ROUTES:
                if refusal := whole.spool_refusal(kind):
                    self._add(Problem("on_backend_down", refusal), ("routes", kind))
            for section, problem in refusals(whole):
                self._add(problem, section)
        return whole

    def _settings(self, values: dict[str, Any]) -> Settings | None:
        try:
            return Settings.model_validate(values)
        except ValidationError as error:
            for problem in from_pydantic(error):
                path = tuple(problem.path.split("."))
                if problem.message == "unknown setting":
                    problem = self._unknown(problem, path)  # noqa: PLW2901
                self._add(problem, ())
            return None

    def _unknown(self, problem: Problem, path: SettingPath) -> Problem:
        model: Any = Settings
        for name in path[:-1]:
            if get_origin(model) is list:  # `name` is a number
                (model,) = get_args(model)
                continue
            fields = getattr(model, "model_fields", {})
            model = fields[name].annotation if name in fields else None
        known = list(getattr(model, "model_fields", ()))
        if path[:2] == ("routes", "procedural"):
            all_but_one, last = ", ".join(known[:-1]), known[-1]
            return dataclasses.replace(
                problem,
                suggestion=f"a procedural route has {all_but_one} and {last}, and nothing else",
            )
        return dataclasses.replace(problem, suggestion=nearest_or_list(path[-1], known))

    def _add(self, problem: Problem, above: SettingPath) -> None:
        path = (*above, *(part for part in problem.path.split(".") if part))
        self._problems.append(
            dataclasses.replace(problem, path=dotted(path), origin=self._tree.origin(path))
        )

    def _data_dir_beside_the_file(self) -> None:
        """A relative directory in the file is relative to the file."""
        written = self._tree.get(("data_dir",))
        origin = self._tree.origin(("data_dir",))
        if not isinstance(written, str) or origin.line is None or not origin.file:
            return
        if not written.startswith("~"):
            self._tree.put(("data_dir",), str(Path(origin.file).parent / written), origin)

    def _truth_values_in_the_file(self) -> None:
        """What opens the gateway to others is said in one way only."""
        path = ("allow_unauthenticated",)
        written = self._tree.get(path)
        in_file = self._tree.origin(path).line is not None
        if in_file and not isinstance(written, bool | dict):
            self._add(Problem(path[0], "should be true or false"), ())

    def _listening(self, settings: Settings) -> None:
        if not settings.address.local and not settings.allow_unauthenticated:
            self._add(
                Problem(
                    "listen",
                    f"{settings.listen} can be reached from other machines, and whoever reaches it "
                    "can read and write every memory: there is no authentication",
                    "listen on 127.0.0.1 or a Unix socket, or say allow_unauthenticated: true "
                    "(MEMPLANE_ALLOW_UNAUTHENTICATED=true) where the network keeps others out",
                ),
                (),
            )

    def _stores(self) -> dict[str, StoreSettings]:
        known = self._named("stores", EMBEDDED, "adapter")
        used = self._used("store", known, EMBEDDED, (*_ROUTES, ("control",)))
        made = {}
        for name, keys in known.items():
            if name not in used:
                if ADOPT not in keys:
                    self._known_adapter(name, keys)
            elif (store := self._store(name, keys)) is not None:
                made[name] = store
        return made

    def _embedders(self) -> dict[str, EmbedderSettings]:
        known = self._named("embedders", HASH, "provider")
        used = self._used("embedder", known, HASH, _ROUTES[:2])
        made = {}
        for name, keys in known.items():
            if name not in used:
                self._known_provider(name, keys)
            elif (embedder := self._embedder(name, keys)) is not None:
                made[name] = embedder
        return made

    def _named(self, section: str, default: str, what: str) -> dict[str, dict[str, Any]]:
        """The stores or embedders that are configured, and the one that always is."""
        configured = self._tree.get((section,))
        if configured is not None and not isinstance(configured, dict):
            self._add(Problem(section, f"should be names, each with {what} and settings"), ())
            configured = {}
        named = {}
        for name, keys in (configured or {}).items():
            if isinstance(keys, dict):
                named[name] = keys
            else:
                self._add(Problem(name, f"should be {what} and settings (name: value)"), (section,))
        return {default: {what: default}, **named}

    def _used(
        self, key: str, known: Iterable[str], default: str, sections: Iterable[SettingPath]
    ) -> set[str]:
        """Those that sections name, and the default; one that nobody configured is a problem."""
        names = set(known)
        wanted = {path: self._tree.section(*path).get(key, default) for path in sections}
        for path, name in wanted.items():
            if isinstance(name, str) and name not in names:
                suggestion = nearest_and_list(name, names, "configured")
                self._add(Problem(key, f'no {key} "{name}"', suggestion), path)
        if self._everything:
            return names
        return names & {default, *(name for name in wanted.values() if isinstance(name, str))}

    def _known_adapter(self, name: str, keys: dict[str, Any]) -> str | None:
        adapter = keys.get("adapter", name if name in installed() else None)
        if isinstance(adapter, str) and adapter in installed():
            return adapter
        message = "is required" if adapter is None else f'no adapter "{adapter}"'
        suggestion = nearest_and_list(str(adapter or name), installed(), "installed")
        self._add(Problem("adapter", message, suggestion), ("stores", name))
        return None

    def _store(self, name: str, keys: dict[str, Any]) -> StoreSettings | None:
        above = ("stores", name)
        if ADOPT in keys:
            return self._adopted(keys, above)
        adapter = self._known_adapter(name, keys)
        if adapter is None:
            return None
        before = len(self._secrets.problems)
        rest = self._secrets.resolve({k: v for k, v in keys.items() if k != "adapter"}, above)
        if len(self._secrets.problems) > before:
            return None
        try:
            return make_store(adapter, rest)
        except AdapterError as error:
            self._add(Problem("adapter", str(error), error.suggestion), above)
        except StoreSettingsError as error:
            for problem in error.problems:
                self._add(problem, above)
        return None

    def _adopted(self, keys: dict[str, Any], above: SettingPath) -> StoreSettings | None:
        origin = self._tree.origin((*above, ADOPT))
        in_file = origin.line is not None and origin.file
        beside = Path(in_file).parent if in_file else Path()
        try:
            return make_adopted(keys, beside, self._environ)
        except StoreSettingsError as error:
            for problem in error.problems:
                self._add(problem, above)
        return None

    def _known_provider(self, name: str, keys: dict[str, Any]) -> str | None:
        provider = keys.get("provider", name if name in providers() else None)
        if isinstance(provider, str) and provider in providers():
            return provider
        message = "is required" if provider is None else f'no provider "{provider}"'
        suggestion = nearest_and_list(str(provider or name), providers(), "there are")
        self._add(Problem("provider", message, suggestion), ("embedders", name))
        return None

    def _embedder(self, name: str, keys: dict[str, Any]) -> EmbedderSettings | None:
        above = ("embedders", name)
        provider = self._known_provider(name, keys)
        if provider is None:
            return None
        before = len(self._secrets.problems)
        rest = self._secrets.resolve({k: v for k, v in keys.items() if k != "provider"}, above)
        if len(self._secrets.problems) > before:
            return None
        try:
            return EMBEDDER.validate_python({**rest, "provider": provider})
        except ValidationError as error:
            for problem in from_pydantic(error):
                path = tuple(problem.path.split("."))
                path = path[1:] if path[0] == provider else path
                suggestion = ""
                if problem.message == "unknown setting":
                    suggestion = nearest_or_list(path[-1], providers()[provider].model_fields)
                found = Problem(dotted(path), problem.message, suggestion)
                self._add(found, above)
        return None
