"""What can be configured, with the defaults."""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, get_args

import platformdirs
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    TypeAdapter,
    field_validator,
)

from memplane_adapters.contract import FieldType
from memplane_gateway.config.address import Address, parse_address
from memplane_gateway.config.index import AttributePath, Index
from memplane_gateway.config.retention import Retention, SweepSettings
from memplane_gateway.config.stores import EMBEDDED, StoreSettings, make_store
from memplane_gateway.embedders import EmbedderSettings

HASH = "hash"
EMBEDDER: TypeAdapter[EmbedderSettings] = TypeAdapter(EmbedderSettings)


@functools.cache
def providers() -> Mapping[str, type[BaseModel]]:
    """Every provider of embeddings, by name."""
    members: Any = get_args(get_args(EmbedderSettings)[0])
    return {get_args(member.model_fields["provider"].annotation)[0]: member for member in members}


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def _auto_is_none(value: object) -> object:
    return None if isinstance(value, str) and value.lower() == "auto" else _lower(value)


def _list_in_a_string(value: object) -> object:
    """Reads what a variable holds: a JSON list, or words with commas between."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        try:
            return json.loads(value)
        except ValueError:
            raise ValueError("the JSON list cannot be read") from None
    return [word.strip() for word in value.split(",") if word.strip()]


class _Part(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, hide_input_in_errors=True
    )


Outage: TypeAlias = Literal["reject", "spool"]
"""What becomes of writes while a store is down."""

_ON_BACKEND_DOWN = (
    "What becomes of writes while the store is down: reject (UNAVAILABLE), or spool: they wait in the "
    "gateway's outbox, in its embedded control store."
)

_REFRESH_TTL = (
    "Whether a get or a search that finds a memory with a ttl lets its period begin again."
)

Level: TypeAlias = Literal["none", "buffered", "process", "disk", "managed"]
"""A durability that can be required."""


class RouteSettings(_Part):
    """The route of a kind that is searched: SEMANTIC or EPISODIC."""

    store: str = Field(default=EMBEDDED, description="Name of a store.")
    require_durability: Annotated[Level | None, BeforeValidator(_lower)] = Field(
        default=None, description="What a write must survive at least; absent: as the whole says."
    )
    on_backend_down: Annotated[Outage, BeforeValidator(_lower)] = Field(
        default="reject", description=_ON_BACKEND_DOWN
    )
    refresh_ttl: bool = Field(default=False, description=_REFRESH_TTL)
    embedder: str = Field(default=HASH, description="Name of an embedder.")
    search: Annotated[
        Literal["vector", "keyword", "hybrid"] | None, BeforeValidator(_auto_is_none)
    ] = Field(
        default=None,
        description="What the mode AUTO means here when there is a text; absent: auto.",
    )
    language: str = Field(
        default="english", description="Language of the texts, for KEYWORD search."
    )
    stop_words: Annotated[list[str] | None, BeforeValidator(_list_in_a_string)] = Field(
        default=None,
        description="Words that KEYWORD search leaves out; absent: those of the language.",
    )
    index: Index = Field(
        default_factory=dict[AttributePath, FieldType],
        description="Attributes that filters often name, and their types: string, number, bool or "
        "time; a store gives them an index where it has any.",
    )

    @field_validator("language")
    @classmethod
    def _language_is_known(cls, value: str) -> str:
        from memplane_gateway.analysis import Analyzer

        return Analyzer(language=value.lower()).language


class ProceduralRouteSettings(_Part):
    """The route of PROCEDURAL memories, which are never embedded."""

    store: str = Field(default=EMBEDDED, description="Name of a store.")
    require_durability: Annotated[Level | None, BeforeValidator(_lower)] = Field(
        default=None, description="What a write must survive at least; absent: as the whole says."
    )
    on_backend_down: Annotated[Outage, BeforeValidator(_lower)] = Field(
        default="reject", description=_ON_BACKEND_DOWN
    )
    refresh_ttl: bool = Field(default=False, description=_REFRESH_TTL)


class RoutesSettings(_Part):
    """Which store keeps which kind."""

    semantic: RouteSettings = RouteSettings()
    episodic: RouteSettings = RouteSettings()
    procedural: ProceduralRouteSettings = ProceduralRouteSettings()


class ControlSettings(_Part):
    """Where the gateway keeps its own state."""

    store: str = Field(
        default=EMBEDDED,
        description="Name of a store of key-values. Gateways beside each other need one that they "
        "share.",
    )


class OutboxSettings(_Part):
    """How much may wait for stores that are down, on routes with on_backend_down: spool."""

    max_bytes: int = Field(
        default=1024**3,
        ge=1024**2,
        le=2**40,
        description="Most bytes of a route's outbox; above it writes are refused.",
    )
    max_age_seconds: float = Field(
        default=7 * 86_400.0,
        gt=0,
        le=366 * 86_400,
        allow_inf_nan=False,
        description="When the oldest write has waited so long, further ones are refused.",
    )


class LogSettings(_Part):
    """What is logged to stderr, and how."""

    level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_lower)] = Field(
        default="info", description="Least important messages that are written."
    )
    format: Annotated[Literal["text", "json"], BeforeValidator(_lower)] = Field(
        default_factory=lambda: "text" if sys.stderr.isatty() else "json",
        description="One line of text or of JSON a message; text on a terminal, otherwise json.",
    )


def default_data_dir() -> Path:
    """The platform's place for a user's data."""
    try:
        return Path(platformdirs.user_data_dir("memplane", appauthor=False))
    except RuntimeError:  # an account without an entry, and no HOME
        return Path("~")


class Settings(_Part):
    """A whole configuration, checked. `load` makes one; `Settings()` is the default."""

    listen: str = Field(default="127.0.0.1:50051", description="host:port, [v6]:port or unix:PATH.")
    allow_unauthenticated: bool = Field(
        default=False, description="Whether to listen beyond this machine without authentication."
    )
    data_dir: Path = Field(
        default_factory=default_data_dir, description="Directory of the embedded store."
    )
    max_message_bytes: int = Field(
        default=4 * 1024 * 1024,
        ge=65_536,
        le=2**31 - 1,
        description="Most bytes of one gRPC message.",
    )
    default_deadline_seconds: float = Field(
        default=30.0,
        gt=0,
        le=86_400,
        allow_inf_nan=False,
        description="For calls that come without one.",
    )
    drain_seconds: float = Field(
        default=5.0,
        ge=0,
        le=3_600,
        allow_inf_nan=False,
        description="For calls in flight at the end.",
    )
    scan_budget: int = Field(
        default=10_000, ge=1, le=10**9, description="Most rows the gateway looks at for one filter."
    )
    require_durability: Annotated[Level, BeforeValidator(_lower)] = Field(
        default="none",
        description="What every write must survive at least, on routes that do not say so "
        "themselves; the gateway refuses to start on less.",
    )
    log: LogSettings = Field(default_factory=lambda: LogSettings())  # noqa: PLW0108 (for mypy)
    routes: RoutesSettings = RoutesSettings()
    control: ControlSettings = ControlSettings()
    outbox: OutboxSettings = OutboxSettings()
    retention: Retention = Field(
        default_factory=list, description="What is kept of memories, a policy each."
    )
    sweep: SweepSettings = SweepSettings()
    stores: dict[str, StoreSettings] = Field(
        default_factory=lambda: {EMBEDDED: make_store(EMBEDDED, {})},
        description="The stores that routes lead to, by name.",
    )
    embedders: dict[str, EmbedderSettings] = Field(
        default_factory=lambda: {HASH: EMBEDDER.validate_python({"provider": HASH})},
        description="The embedders that routes use, by name.",
    )

    _file: Path | None = PrivateAttr(None)
    _references: Mapping[tuple[str, ...], str] = PrivateAttr(default_factory=dict)
    _unused: tuple[str, ...] = PrivateAttr(())

    @field_validator("listen")
    @classmethod
    def _listen_is_an_address(cls, value: str) -> str:
        return str(parse_address(value))

    @field_validator("data_dir")
    @classmethod
    def _data_dir_is_absolute(cls, value: Path) -> Path:
        if str(value).startswith("~"):
            value = Path(os.path.expanduser(value))  # noqa: PTH111 (Path.expanduser raises without a home)
            if str(value).startswith("~"):
                raise ValueError("no home directory is known; name a directory with --data DIR")
        return Path(os.path.abspath(value))  # noqa: PTH100 (links stay as they were written)

    @property
    def address(self) -> Address:
        """`listen`, taken apart."""
        return parse_address(self.listen)

    @property
    def control_is_shared(self) -> bool:
        """Whether other gateways may have the same control store: one process owns an embedded one."""
        return self.stores[self.control.store].adapter != EMBEDDED

    def spool_refusal(self, kind: str) -> str:
        """Why the writes of a kind must not wait for their store, although they are to; or nothing."""
        route = getattr(self.routes, kind)
        if route.on_backend_down != "spool":
            return ""
        if self.stores[route.store].adapter == EMBEDDED:
            return (
                f"spool is for stores on a server; the embedded store {route.store!r} is in this "
                "process, and down when the gateway is"
            )
        if self.control_is_shared:
            return (
                f"spool keeps writes in this gateway alone, and the control store "
                f"{self.control.store!r} is shared with others that would not see them: name an "
                "embedded control store, or say reject"
            )
        return ""

    @property
    def file(self) -> Path | None:
        """The YAML file that was read."""
        return self._file

    @property
    def unused(self) -> tuple[str, ...]:
        """Paths of the stores and embedders that no route uses; they are not looked into."""
        return self._unused

    @property
    def references(self) -> Mapping[tuple[str, ...], str]:
        """What was written where a secret was taken from elsewhere, for example "env:KEY"."""
        return self._references

    def note(
        self, file: Path | None, references: Mapping[tuple[str, ...], str], unused: tuple[str, ...]
    ) -> Any:
        """Notes where the settings came from; for `load`."""
        self._file, self._references, self._unused = file, references, unused
        return self
