"""How long memories are kept: `retention`, a list of policies, and `sweep`, what carries them out."""

from __future__ import annotations

import json
import re
from typing import Annotated, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from memplane_adapters.contract import Kind
from memplane_gateway.limits import LABEL_BYTES, NAMESPACE_LABELS
from memplane_gateway.memory.lifecycle.retention import Drop, Pattern, Policy

_MOST_POLICIES: Final = 256
_MOST_SECONDS: Final = 100 * 366 * 86_400.0
_ESCAPED: Final = re.compile(r"\A\\(\\*\*)\Z")


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def _list_in_a_string(value: object) -> object:
    """Reads what a variable holds: a JSON list."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        raise ValueError("the JSON list cannot be read") from None


class _Part(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, hide_input_in_errors=True
    )


_Seconds = Annotated[float, Field(gt=0, le=_MOST_SECONDS, allow_inf_nan=False)]


class RetentionSettings(_Part):
    """What is kept of the memories of a kind in the namespaces of a pattern."""

    kind: Annotated[Literal["semantic", "episodic", "procedural"], BeforeValidator(_lower)] = Field(
        description="Whose memories: semantic, episodic or procedural."
    )
    namespace: list[str] = Field(
        default_factory=list,
        max_length=NAMESPACE_LABELS,
        description='The first labels of the namespaces; "*" is any one label (the label itself is '
        r'written "\*"). Empty: all.',
    )
    max_items: int | None = Field(
        default=None,
        ge=1,
        le=10**9,
        description="Most memories below each namespace that has as many labels as the pattern.",
    )
    drop: Annotated[Literal["oldest", "least_important"] | None, BeforeValidator(_lower)] = Field(
        default=None,
        description="Which go first where there are more than max_items; absent: oldest.",
    )
    max_age_seconds: _Seconds | None = Field(
        default=None,
        description="For how long a memory is kept since it happened (episodic) or was created.",
    )
    max_idle_seconds: _Seconds | None = Field(
        default=None, description="For how long a memory is kept since it was last written."
    )

    @field_validator("namespace")
    @classmethod
    def _labels_can_be(cls, value: list[str]) -> list[str]:
        for label in value:
            if not label or "\0" in label or len(label.encode()) > LABEL_BYTES:
                raise ValueError(f"a label has 1 to {LABEL_BYTES} bytes of UTF-8 without NUL")
        return value

    @model_validator(mode="after")
    def _says_something(self) -> RetentionSettings:
        if self.drop is not None and self.max_items is None:
            raise ValueError(
                "drop says what goes first where there are more than max_items: say that"
            )
        if (
            self.max_items is None
            and self.max_age_seconds is None
            and self.max_idle_seconds is None
        ):
            raise ValueError("should say max_items, max_age_seconds or max_idle_seconds")
        return self

    @property
    def policy(self) -> Policy:
        """As the gateway carries it out."""
        return Policy(
            kind=Kind(self.kind),
            pattern=self.pattern,
            max_items=self.max_items,
            drop=Drop(self.drop or Drop.OLDEST),
            max_age=_micros(self.max_age_seconds),
            max_idle=_micros(self.max_idle_seconds),
        )

    @property
    def pattern(self) -> Pattern:
        """The labels of `namespace`; None is any one."""
        return tuple(
            None if label == "*" else _ESCAPED.sub(r"\1", label) for label in self.namespace
        )


def _one_policy_a_pattern(policies: list[RetentionSettings]) -> list[RetentionSettings]:
    seen: set[tuple[object, ...]] = set()
    for policy in policies:
        key = policy.kind, *policy.pattern
        if key in seen:
            raise ValueError(
                f"two policies for {policy.kind} memories in {json.dumps(policy.namespace)}: "
                "make one of them"
            )
        seen.add(key)
    return policies


Retention = Annotated[
    list[RetentionSettings],
    BeforeValidator(_list_in_a_string),
    AfterValidator(_one_policy_a_pattern),
    Field(max_length=_MOST_POLICIES),
]


class SweepSettings(_Part):
    """The task that deletes what has expired and what `retention` does not keep."""

    interval_seconds: float = Field(
        default=300.0,
        ge=0,
        le=31 * 86_400,
        allow_inf_nan=False,
        description="From one sweep to the next, a tenth more or less; 0: none in the background.",
    )
    grace_seconds: float = Field(
        default=3_600.0,
        ge=0,
        le=31 * 86_400,
        allow_inf_nan=False,
        description="For how long a sweep in the background spares what has expired: for gateways "
        "whose clocks differ, and so that a write that is sent again is recognised.",
    )


def _micros(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1e6)
