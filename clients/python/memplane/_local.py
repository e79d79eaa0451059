"""What `memplane.local` starts: which program, with which settings, and why it did not start."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import sys
import tempfile
import threading
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Final

from memplane import _values
from memplane._child import Child
from memplane._errors import GatewayNotStarted, InvalidArgument

PathLike = str | os.PathLike[str]

_PREFIX: Final = "memplane-"
_VARIABLE: Final = "MEMPLANE_"
_CONFIG: Final = "memplane.yaml"
_SOCKET: Final = "gateway.sock"
_LONGEST_SOCKET_PATH: Final = 103
"""Bytes: 107 on Linux, 103 on macOS and the BSDs."""
_PLAIN_PATH: Final = re.compile(r"[\w/.+-]+", re.ASCII)
"""What means the same as a path and in an address of gRPC, where % and ? are special."""
_TAKEN: Final = {"data_dir": "is what `path` says", "listen": "is chosen by memplane.local"}
_USUAL_PLACE: Final = ""

_serving: Final[dict[str, int]] = {}
"""Directory -> process id of the gateway that a client of this process has there."""


class LocalGateway:
    """One gateway, which is started once. Its methods block; `abandon` may be called meanwhile."""

    def __init__(
        self,
        path: PathLike | None,
        *,
        config: PathLike | Mapping[str, Any] | None,
        command: Sequence[str] | None,
        log_file: PathLike | None,
        start_timeout: float,
        settings: Mapping[str, Any],
    ) -> None:
        """Notes what to start.

        Raises:
            InvalidArgument: An argument is not as it must be.
        """
        if command is not None and (isinstance(command, str) or not command):
            raise InvalidArgument.at("command", 'must be words, such as ["/opt/bin/memplane"]')
        if not 0 < _values.number(start_timeout, "start_timeout") <= threading.TIMEOUT_MAX:
            raise InvalidArgument.at("start_timeout", "must be more than 0 seconds, and bounded")
        self._data = None if path is None else _absolute(path)
        self._config: str | Path | None  # what stands in a file, or which one
        if isinstance(config, Mapping):
            self._config = _json(config, "config")
        else:
            self._config = None if config is None else _absolute(config)
        self._command = command
        self._log_file = None if log_file is None else _absolute(log_file)
        self._start_timeout = start_timeout
        self._variables = _variables(settings)
        if log_file is None:  # nobody reads it but us, and only when the start fails
            self._variables.setdefault(f"{_VARIABLE}LOG__LEVEL", "warning")
        self._lock = threading.Lock()
        self._child: Child | None = None
        self._abandoned = False
        self._end: weakref.finalize[..., Any] | None = None

    def start(self) -> str:
        """Starts it; returns its address once it serves. When it fails, `abandon` cleans up.

        Raises:
            GatewayNotStarted: There is none to start, or it ended before it served.
        """
        try:
            return self._start([*(self._command or installed()), "serve", "--until-eof"])
        except (OSError, ValueError) as error:  # no such program, no room for a file, no path
            raise GatewayNotStarted(f"the gateway cannot be started: {error}") from error

    def _start(self, command: list[str]) -> str:
        with self._log() as log:
            said_before = log.seek(0, os.SEEK_END)
            child = self._launch(command, log)
            address = child.address(self._start_timeout)
            if address:
                (child.place / _CONFIG).unlink(missing_ok=True)  # it may hold secrets, and was read
                _serving[self._key] = child.pid
                return address
            log.seek(said_before)
            raise self._failure(child, log.read().decode("utf-8", "replace"))

    def _launch(self, command: list[str], log: IO[bytes]) -> Child:
        place = _private_directory()
        try:
            command += self._options(place)
            with self._lock:
                self._child = Child(command, place, self._environ(), log)
        except BaseException:
            shutil.rmtree(place, ignore_errors=True)
            raise
        if self._abandoned:
            self._child.kill()
        return self._child

    def stop_with(self, owner: object) -> None:
        """Has it stop when its owner is collected, and before this process exits."""
        assert self._child is not None, "started"
        self._end = weakref.finalize(owner, _stop, self._child, self._key)

    def stop(self) -> None:
        """Stops it and waits for its end. A second time it does nothing."""
        if self._end is not None:
            self._end()

    @property
    def stopped(self) -> bool:
        """Whether it was stopped."""
        return self._end is not None and not self._end.alive

    def abandon(self) -> None:
        """Nobody wants it, or it did not start: what there is of it ends at once."""
        with self._lock:
            self._abandoned = True
            child = self._child
        if child is not None:
            child.kill()
            _stop(child, self._key)

    @property
    def _key(self) -> str:
        return _USUAL_PLACE if self._data is None else os.path.realpath(self._data)

    def _log(self) -> IO[bytes]:
        if self._log_file is None:
            return tempfile.TemporaryFile(prefix=_PREFIX)
        return self._log_file.open("a+b")

    def _options(self, place: Path) -> list[str]:
        options = ["--listen", _address(place)]
        if self._data is not None:
            options += ["--data", str(self._data)]
        config = self._config
        if isinstance(config, str):
            # A file and no variables: these can write neither "-" nor capitals in names.
            (place / _CONFIG).write_text(config, "utf-8")
            config = place / _CONFIG
        if config is not None:
            options += ["--config", str(config)]
        return options

    def _environ(self) -> dict[str, str]:
        """This process's environment, with no other settings of the gateway than those given."""
        kept = {k: v for k, v in os.environ.items() if not k.upper().startswith(_VARIABLE)}
        return {**kept, **self._variables}

    def _failure(self, child: Child, said: str) -> GatewayNotStarted:
        status = child.status
        words = _words(said)
        holder = _serving.get(self._key)
        if holder is not None and str(holder) in words:
            words += "\nThat is the gateway of a client in this very process: use it, or close it."
        if child.late:
            summary = f"the gateway did not serve within {self._start_timeout:g} s"
        else:
            summary = f"the gateway ended with status {status}"
        return GatewayNotStarted(
            f"{summary}: {words}" if words else summary, status=status, said=words
        )


def installed() -> list[str]:
    """The words that run the gateway's command line: this interpreter's, else that on the PATH.

    Raises:
        GatewayNotStarted: There is none.
    """
    # Of a package at the top this imports nothing.
    spec = importlib.util.find_spec("memplane_gateway")
    if spec is not None and spec.origin and sys.executable:
        return [sys.executable, "-m", "memplane_gateway.cli"]
    program = shutil.which("memplane")
    if program is not None:
        return [program]
    raise GatewayNotStarted(
        "no gateway is installed here: pip install memplane-gateway (for "
        f"{sys.executable or 'this Python'}), or name one: command=['/path/to/memplane']"
    )


def _stop(child: Child, key: str) -> None:
    child.end()
    if _serving.get(key) == child.pid:
        del _serving[key]


def _absolute(path: PathLike) -> Path:
    return Path(path).expanduser().absolute()


def _variables(settings: Mapping[str, Any]) -> dict[str, str]:
    for name in settings.keys() & _TAKEN.keys():
        raise InvalidArgument.at(name, _TAKEN[name])
    return {
        _VARIABLE + name.upper(): given if isinstance(given, str) else _json(given, name)
        for name, given in settings.items()
        if given is not None
    }


def _json(given: Any, field: str) -> str:
    try:
        return json.dumps(given, ensure_ascii=False, indent=1, default=os.fspath)
    except (TypeError, ValueError) as error:
        raise InvalidArgument.at(field, f"cannot be a setting: {error}") from error


def _private_directory() -> Path:
    """A new directory that is this user's alone, with a path that is short enough for sockets."""
    usual = tempfile.gettempdir()
    # The dots stand for the letters that mkdtemp takes.
    longest = os.path.join(usual, _PREFIX + "." * 8, _SOCKET)  # noqa: PTH118 (counted, not used)
    fits = len(os.fsencode(longest)) <= _LONGEST_SOCKET_PATH and _PLAIN_PATH.fullmatch(usual)
    return Path(tempfile.mkdtemp(prefix=_PREFIX, dir=usual if fits or os.name == "nt" else "/tmp"))  # noqa: S108 (the directory in it is private)


def _address(place: Path) -> str:
    """A socket that nobody else can reach; Windows, where gRPC has none, gets a port."""
    return "127.0.0.1:0" if os.name == "nt" else f"unix:{place / _SOCKET}"


def _words(said: str) -> str:
    """What a gateway said, without its log, which is JSON."""
    lines = said.strip().splitlines()
    spoken = [line for line in lines if not line.startswith("{")] or lines
    text = "\n".join(spoken).removeprefix("memplane: ")
    # The file that a mapping was written into is nobody's to look into.
    return re.sub(rf"\S*{_PREFIX}\w+/{re.escape(_CONFIG)}(:\d+)?: ", "config: ", text)
