"""What tells one place where a store keeps things from another."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter

from memplane_gateway.config.problems import without_passwords
from memplane_gateway.config.secrets import is_secret_name
from memplane_gateway.config.stores import StoreSettings


def place_of(store: StoreSettings, within: Sequence[str] = ()) -> str:
    """A hash (32 hex digits) over the adapter, the settings that tell its place, and what it is within.

    References are followed, so that another address is another place; a new password is not.
    """
    cls = type(store.settings)
    values = TypeAdapter(cls).dump_python(store.settings, mode="json")
    told = {
        field.name: values[field.name]
        for field in dataclasses.fields(cls)
        if (field.name in store.place if store.place else field.repr)
    }
    text = json.dumps([store.adapter, _without_secrets(told), *within], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _without_secrets(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {
            name: _without_secrets(inner)
            for name, inner in value.items()
            if not is_secret_name(str(name))
        }
    if isinstance(value, list):
        return [_without_secrets(inner) for inner in value]
    return _plain(without_passwords(value)) if isinstance(value, str) else value


def _plain(text: str) -> str:
    """An address as all write it who mean the same; other text as it is."""
    scheme, between, rest = text.partition("://")
    if not between:
        return text
    host, slash, path = rest.partition("/")
    return f"{scheme.lower()}://{host.lower()}{slash}{path}".rstrip("/")
