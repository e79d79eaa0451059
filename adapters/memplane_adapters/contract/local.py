"""How to have a store of an adapter at hand on this machine, for tests, comparisons and measures.

Pure data. `memplane_adapters.conformance.servers` starts and stops what is described here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path


class Nature(StrEnum):
    """What a store at hand is."""

    SERVER = "real server"
    """The vendor's own server."""
    ENGINE = "in-process engine"
    """The vendor's own engine, inside this process."""
    EMULATOR = "emulator"
    """A server of ours that does as the vendor's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalStore:
    """One way to have a store at hand: in process, or behind a program that serves it.

    In `url`, `arguments`, `environ` and `ready` stand, to be filled in: {directory} (absolute; what
    is kept is below it), {host} and {ports[0]}, {ports[1]}, ... (free ones; the number is `ports`).
    """

    name: str
    """A name of its own among all stores, for example "qdrant-local"."""
    url: str
    """What the adapter's `from_url` then takes."""
    kept: bool = True
    """Whether what is written is there after a restart. The memory-level cases are run on such
    stores, the store-level ones on all."""
    vectors: bool = True
    """Whether it keeps vectors: SEMANTIC and EPISODIC memories."""
    key_values: bool = False
    """Whether it keeps key-values: PROCEDURAL memories."""
    program: str = ""
    """The program that serves it, looked for on the PATH; empty is in process."""
    brings: tuple[str, ...] = ()
    """What keeps vectors is not in the program itself: one of these must be there, patterns of files as
    seen from the program's own directory (links followed). A program without keeps key-values alone,
    and is taken when there is no other."""
    arguments: tuple[str, ...] = ()
    starter: tuple[str, ...] = ()
    """What is run in its place, with its path and then the arguments behind it: something that makes
    its directory ready and then becomes the program."""
    environ: Mapping[str, str] = field(default_factory=dict, hash=False)
    """What the program's environment has beside our own."""
    emulator: bool = False
    """Whether the program is none of the vendor's, but ours, and does as the vendor's."""
    ports: int = 1
    """How many ports the program listens on."""
    ready: tuple[str, ...] = ()
    """All of these must answer before it serves: an http:// URL with a status of 2xx, a
    "tcp://host:port" by accepting a connection, "tcp://host:port?say=a&hear=b" (percent-encoded bytes)
    also by answering the one with something that begins with the other."""
    variable: str = ""
    """The variable that holds the URL (as `from_url` takes it) of a server that runs already."""
    image: str = ""
    """A container image that serves it without arguments."""
    image_ports: tuple[int, ...] = ()
    """Where the image listens, in the order of `ports`."""
    image_directory: str = ""
    """Where the image keeps its data."""
    image_environ: Mapping[str, str] = field(default_factory=dict, hash=False)
    """What its environment has beside the image's own."""

    @property
    def nature(self) -> Nature:
        """What cases on it say something about."""
        if self.emulator:
            return Nature.EMULATOR
        return Nature.SERVER if self.program else Nature.ENGINE

    def at(self, directory: Path, host: str = "", ports: tuple[int, ...] = ()) -> LocalStore:
        """The same with directory, host and ports filled in."""

        def filled(text: str) -> str:
            return text.format(directory=directory, host=host, ports=ports)

        return replace(
            self,
            url=filled(self.url),
            arguments=tuple(map(filled, self.arguments)),
            environ={name: filled(value) for name, value in self.environ.items()},
            ready=tuple(map(filled, self.ready)),
        )
