"""A run of the suite that certifies a store: which cases there are, and what became of each.

`certify_plugin` has pytest use it; `memplane_gateway.certifying` is the other end.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from memplane_adapters.conformance import notes
from memplane_adapters.contract import Adapter, Backend, Capabilities, Kind
from memplane_gateway.config import Settings
from memplane_gateway.config.stores import StoreSettings, find_adapter, make_store

NAME: Final = "memplane-certifying"
_STORE: Final = "certified"
_MANY_FILTERS: Final = {"stores": 500, "memories": 250}
_FEW_FILTERS: Final = {"stores": 25, "memories": 25}
_ABOUT_VECTORS: Final = (
    *("test_consolidating.py", "test_hybrid.py", "test_indexed_texts.py", "test_likeness.py"),
    *("test_outages.py", "test_text_search.py", "test_vector_search.py", "test_weights.py"),
)
_ABOUT_KEY_VALUES: Final = ("test_atomic.py",)


class Certifying:
    """One run of the suite on one store."""

    def __init__(self, task: Mapping[str, Any]) -> None:
        self.adapter = _only(find_adapter(task["adapter"]), task.get("promise", ""))
        self.quick: bool = task["quick"]
        self._keys: Mapping[str, Mapping[str, object]] = task["keys"]
        self._events: int = task["events"]
        os.set_inheritable(self._events, False)
        self._notes = notes.begin()
        notes.listen(lambda prefix: self.say("prefix", prefix=prefix))
        made = self.adapter.connect(self.store("stores").settings, Path.cwd())
        self._kinds = _kinds(made)
        self._made = made

    def store(self, half: str, directory: Path | None = None) -> StoreSettings:
        """The store as one half of the suite has it: "stores" or "memories".

        Gateways of different directories know nothing of each other's writes, and get a place each.
        """
        keys = dict(self._keys[half])
        if self.adapter.prefix and directory is not None:
            place = hashlib.blake2b(os.fsencode(directory), digest_size=3).hexdigest()
            keys[self.adapter.prefix] = f"{keys[self.adapter.prefix]}{place}"
        if self.adapter.prefix:
            notes.keeps(str(keys[self.adapter.prefix]))
        return make_store(self.adapter.name, keys)

    def arranged(self, given: Settings) -> Settings:
        """These settings, with the kinds that the store keeps on it."""
        routes, here = given.routes, {"store": _STORE}
        changed = {
            kind.value: getattr(routes, kind.value).model_copy(update=here) for kind in self._kinds
        }
        return given.model_copy(
            update={
                "stores": {**given.stores, _STORE: self.store("memories", given.data_dir)},
                "routes": routes.model_copy(update=changed),
            }
        )

    def random_filters(self, half: str) -> int:
        """How many random filters a case of that half asks."""
        return (_FEW_FILTERS if self.quick else _MANY_FILTERS)[half]

    def say(self, event: str, **facts: Any) -> None:
        """Tell the other end; when it is gone, nobody wants to know any more."""
        line = memoryview((json.dumps({"event": event, **facts}) + "\n").encode())
        try:
            while line:
                line = line[os.write(self._events, line) :]
        except BrokenPipeError:
            pytest.exit("nobody listens any more")

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        """Leaves out what is about promises that are not made, and kinds that stay on another store."""
        away = {item for item in items if not self._concerns(item)}
        if away:
            config.hook.pytest_deselected(items=list(away))
            items[:] = [item for item in items if item not in away]

    def _concerns(self, item: pytest.Item) -> bool:
        kinds = {str(kind) for kind in self._kinds}
        params = item.callspec.params if hasattr(item, "callspec") else {}
        if _half(item) == "stores":
            asked = {*getattr(item, "fixturenames", ()), params.get("subject")}
            return not (
                ("points" in asked and str(Kind.SEMANTIC) not in kinds)
                or ("key_values" in asked and str(Kind.PROCEDURAL) not in kinds)
            )
        kind = params.get("kind")
        if kind is not None and str(kind) not in kinds:
            return False
        if str(Kind.SEMANTIC) not in kinds and item.path.name in _ABOUT_VECTORS:
            return False
        return str(Kind.PROCEDURAL) in kinds or item.path.name not in _ABOUT_KEY_VALUES

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Says what the store declares, and how many cases there are."""
        promises = {notes.VECTORS: self._made.vector, notes.KEY_VALUES: self._made.key_value}
        declared = {
            name: _plain(promise.capabilities)
            for name, promise in promises.items()
            if promise is not None
        }
        self.say("begin", cases=len(session.items), declared=declared, suite=_digest())

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A file that cannot be read is a case that failed."""
        if report.failed:
            self._say_case(report.nodeid, "failed", str(report.longrepr)[-300:])

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> None:
        """Says which case is under way, and leaves it to pytest to run it."""
        self.say("case", id=_name(item))
        self._notes = notes.begin()
        self._outcome, self._reason = "passed", ""

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
        """Adds the outcome of a phase to that of its case; with the last one it is said."""
        report: pytest.TestReport = yield
        if report.failed and self._outcome != "failed":
            self._outcome, self._reason = "failed", _last_line(call)
        elif report.skipped and self._outcome == "passed":
            self._outcome = "skipped"
            self._reason = str(call.excinfo.value) if call.excinfo is not None else "skipped"
        if report.when == "teardown":
            needs = [(name, promise or _promise(item, name)) for name, promise in self._notes.needs]
            why = notes.explained(self._reason) if self._outcome == "skipped" else None
            self._say_case(
                _name(item),
                self._outcome,
                self._reason,
                needs=sorted(set(needs)),
                why=None if why is None else (*why, _about(item)),
            )
        return report

    def _say_case(self, name: str, outcome: str, reason: str, **facts: Any) -> None:
        said = {"why": None, "needs": (), **facts}
        said |= {"deviation": self._notes.deviation, "compared": self._notes.compared}
        self.say("done", id=name, outcome=outcome, reason=reason, **said)

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        """Says that it came to its end."""
        self.say("end", status=int(exitstatus))


def certifying(config: pytest.Config) -> Certifying | None:
    """What is certified; None in an ordinary run."""
    found: Certifying | None = config.pluginmanager.get_plugin(NAME)
    return found


def _only(adapter: Adapter, promise: str) -> Adapter:
    """An adapter of which only one promise is asked; "" is all that it makes."""

    def connect(settings: Any, directory: Path) -> Backend:
        made = adapter.connect(settings, directory)
        if promise == notes.VECTORS:
            return Backend(vector=made.vector)
        return Backend(key_value=made.key_value)

    return dataclasses.replace(adapter, connect=connect) if promise else adapter


def _kinds(made: Backend) -> tuple[Kind, ...]:
    searched = (Kind.SEMANTIC, Kind.EPISODIC) if made.vector is not None else ()
    return (*searched, Kind.PROCEDURAL) if made.key_value is not None else searched


def _half(item: pytest.Item) -> str:
    return item.path.parent.name


def _name(item: pytest.Item) -> str:
    """A case by its half and file: "stores/test_vectors.py::test_x[points]"."""
    return f"{_half(item)}/{item.path.name}::{item.name}"


def _promise(item: pytest.Item, capability: str) -> str:
    """The promise that a memory-level case needs a capability of."""
    if capability == "atomic":
        return notes.KEY_VALUES
    return _about(item) or notes.VECTORS


def _about(item: pytest.Item) -> str:
    """The promise that a case is about, as its parameters tell; "" where none does."""
    params = item.callspec.params if hasattr(item, "callspec") else {}
    about = params.get("subject", params.get("kind"))
    if about in ("key_values", str(Kind.PROCEDURAL)):
        return notes.KEY_VALUES
    return "" if about is None else notes.VECTORS


def _last_line(call: pytest.CallInfo[None]) -> str:
    """What went wrong, in a line."""
    if call.excinfo is None:
        return "failed"
    lines: Iterator[str] = iter(call.excinfo.exconly(tryshort=True).splitlines())
    return next(lines, "failed")[:300]


def _plain(capabilities: Capabilities) -> dict[str, Any]:
    """Capabilities as JSON."""
    made: dict[str, Any] = {}
    for each in dataclasses.fields(capabilities):
        value = getattr(capabilities, each.name)
        if each.name == "filters":
            value = {op.value: reach.value for op, reach in value.items()}
        elif each.name == "durability":
            value = [level.name.lower() for level in value]
        made[each.name] = value
    return made


def _digest() -> str:
    """What tells one suite from another: a digest of its cases."""
    made = hashlib.blake2b(digest_size=4)
    for path in sorted(Path(__file__).parent.glob("*/*.py")):
        made.update(path.read_bytes())
    return made.hexdigest()
