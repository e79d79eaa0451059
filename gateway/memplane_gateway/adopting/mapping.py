"""What a mapping may say: which part of a foreign row becomes which part of a memory."""

from __future__ import annotations

from collections.abc import Mapping as AnyMapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainValidator, model_validator

from memplane_adapters.contract import Kind
from memplane_gateway.adopting.fields import DOCUMENT, ID, Field, Path, checked, parse_field
from memplane_gateway.config.problems import nearest_or_list
from memplane_gateway.memory.model import EpisodeType


class TimeFormat(StrEnum):
    """How a field says an instant."""

    RFC_3339 = "rfc3339"
    """A string; without a zone it is UTC, and a bare date is midnight."""
    UNIX_SECONDS = "unix_seconds"
    UNIX_MILLIS = "unix_millis"


class Vectors(StrEnum):
    """Where the vectors of memories come from."""

    EMBED = "embed"
    """The route's embedder makes them of the texts."""
    KEEP = "keep"
    """They are those of the rows."""


@dataclass(frozen=True, slots=True)
class Time:
    """Where the instant of an event stands."""

    field: Field
    format: TimeFormat = TimeFormat.RFC_3339


@dataclass(frozen=True, slots=True)
class Attribute:
    """An attribute, and where its value stands."""

    name: str
    field: Field


@dataclass(frozen=True, slots=True)
class AllBut:
    """Everything at a place of the payload (nothing in `under`: all of it), but for some names."""

    names: frozenset[str] = frozenset()
    under: Path = ()


Attributes = tuple[Attribute, ...] | AllBut


def _time(given: object) -> Time:
    if not isinstance(given, AnyMapping) or "format" not in given:
        return Time(parse_field(given))
    settings = checked(given, {"field", "json", "format"})
    try:
        form = TimeFormat(settings["format"])
    except ValueError:
        near = nearest_or_list(str(settings["format"]), list(TimeFormat))
        raise ValueError(f"format: no {settings['format']} ({near})") from None
    return Time(parse_field({key: settings[key] for key in settings if key != "format"}), form)


def _label(given: object) -> str | Field:
    if isinstance(given, str):
        return given
    if not isinstance(given, AnyMapping):
        raise ValueError("should be a label (a string; put it in quotes) or {field: PATH}")  # noqa: TRY004
    return parse_field(given)


def _attributes(given: object) -> Attributes:
    if isinstance(given, AnyMapping):
        settings = checked(given, {"all_but", "under"}, required="all_but")
        names = settings["all_but"]
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ValueError("all_but should be a list of names")
        under = parse_field(settings["under"]).path if "under" in settings else ()
        return AllBut(frozenset(names), under)
    if not isinstance(given, list):
        raise ValueError("should be a list of fields, or {all_but: [NAME, ...], under: PATH}")  # noqa: TRY004
    attributes = tuple(map(_attribute, given))
    names = [attribute.name for attribute in attributes]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f'two are named "{name}"; give one {{name: NAME, field: PATH}}')
    return attributes


def _attribute(given: object) -> Attribute:
    if not isinstance(given, AnyMapping) or "name" not in given:
        field = parse_field(given)
        return Attribute(field.name, field)
    settings = checked(given, {"name", "field", "json"})
    if not isinstance(settings["name"], str):
        raise ValueError("name should be a string; put it in quotes")  # noqa: TRY004
    field = parse_field({key: settings[key] for key in settings if key != "name"})
    return Attribute(settings["name"], field)


FieldSetting = Annotated[Field, PlainValidator(parse_field)]
TimeSetting = Annotated[Time, PlainValidator(_time)]
Label = Annotated[Any, PlainValidator(_label)]
AttributesSetting = Annotated[Any, PlainValidator(_attributes)]


def _not_procedural(given: object) -> object:
    if given == Kind.PROCEDURAL.value:
        raise ValueError("is semantic or episodic: rows with vectors are no key-values")
    return given


class Mapping(BaseModel):
    """The settings of a mapping, but for those of its source."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    kind: Annotated[Literal["semantic", "episodic"], BeforeValidator(_not_procedural)] = "semantic"
    namespace: tuple[Label, ...] = ()
    """Labels, each a str or a Field."""
    text: FieldSetting = Field((DOCUMENT,), own=True)
    key: FieldSetting = Field((ID,), own=True)
    attributes: AttributesSetting = AllBut()
    """As `Attributes`."""
    value: FieldSetting | None = None
    importance: FieldSetting | None = None
    time: TimeSetting | None = None
    """Of the event, for EPISODIC."""
    session_id: FieldSetting | None = None
    agent_id: FieldSetting | None = None
    actor: FieldSetting | None = None
    input: FieldSetting | None = None
    output: FieldSetting | None = None
    episode_type: EpisodeType | None = None
    """Of all of them."""
    vector: Vectors = Vectors.EMBED
    embedding_identity_is: Literal["same"] | None = None
    """What only the owner of the collection can know: its vectors are of the route's model."""

    @model_validator(mode="after")
    def _episodes(self) -> Self:
        if self.kind == Kind.EPISODIC.value:
            if self.time is None:
                raise ValueError(
                    "time: is required for episodic memories: without it all of them would have "
                    "happened when they were adopted"
                )
            return self
        for name in EPISODIC:
            if getattr(self, name) is not None:
                raise ValueError(
                    f"{name}: only episodic memories have it; say kind: episodic, or keep it as an "
                    "attribute"
                )
        return self

    @model_validator(mode="after")
    def _vectors(self) -> Self:
        if self.vector is Vectors.KEEP and self.embedding_identity_is is None:
            raise ValueError(
                "embedding_identity_is: is required to keep vectors: say same if the model that made "
                "them is the one of the gateway's route, else say vector: embed"
            )
        if self.vector is Vectors.EMBED and self.embedding_identity_is is not None:
            raise ValueError("embedding_identity_is: is for vector: keep")
        return self


EPISODIC = ("time", "session_id", "agent_id", "actor", "input", "output", "episode_type")
"""Settings that only an EPISODIC mapping has."""
