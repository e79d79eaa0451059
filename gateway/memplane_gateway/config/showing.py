"""The configuration for people and editors: what is in effect without secrets, and the schema."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter

from memplane_gateway.config.adopted import AdoptedSettings, SnapshotSettings
from memplane_gateway.config.models import EMBEDDER, Settings
from memplane_gateway.config.problems import MASK, SettingPath, without_passwords
from memplane_gateway.config.secrets import is_secret_name
from memplane_gateway.config.stores import AdapterError, StoreSettings, find_adapter, installed


def effective(settings: Settings) -> dict[str, Any]:
    """What is in effect, in the shape of the file. Secrets are masked, references stay as written."""
    shown = settings.model_dump(mode="json", exclude={"stores", "embedders"})
    stores = {name: _store(store) for name, store in settings.stores.items()}
    embedders = {
        name: embedder.model_dump(mode="json") for name, embedder in settings.embedders.items()
    }
    parts = {"stores": stores, "embedders": embedders}
    for path, reference in settings.references.items():
        _replace(parts, path, reference)
    return shown | {part: _masked(values, (part,), settings) for part, values in parts.items()}


def _store(store: StoreSettings) -> dict[str, Any]:
    cls = type(store.settings)
    values: dict[str, Any] = TypeAdapter(cls).dump_python(store.settings, mode="json")
    for field in dataclasses.fields(cls):
        if not field.repr and isinstance(values.get(field.name), str) and values[field.name]:
            values[field.name] = MASK  # kept out of repr: the adapter says that it is a secret
    if isinstance(store, AdoptedSettings):
        return values
    return {"adapter": store.adapter, **values}


def _replace(values: Any, path: SettingPath, reference: str) -> None:
    for name in path[:-1]:
        values = _step(values, name)
    if isinstance(values, dict) and path[-1] in values:
        values[path[-1]] = reference
    elif isinstance(values, list) and path[-1].isdigit() and int(path[-1]) < len(values):
        values[int(path[-1])] = reference


def _step(values: Any, name: str) -> Any:
    if isinstance(values, list):
        return values[int(name)] if name.isdigit() and int(name) < len(values) else None
    return values.get(name) if isinstance(values, dict) else None


def _masked(value: Any, path: SettingPath, settings: Settings) -> Any:
    if isinstance(value, Mapping):
        return {key: _masked(inner, (*path, str(key)), settings) for key, inner in value.items()}
    if isinstance(value, list):
        return [_masked(inner, (*path, str(i)), settings) for i, inner in enumerate(value)]
    if not isinstance(value, str) or path in settings.references:
        return value
    return MASK if value and is_secret_name(path[-1]) else without_passwords(value)


def json_schema() -> dict[str, Any]:
    """The JSON schema of the file, with the settings of every adapter that can be loaded."""
    schema = Settings.model_json_schema(ref_template="#/$defs/{model}")
    definitions = schema.setdefault("$defs", {})
    definitions.pop("StoreSettings", None)
    choices = []
    for name in sorted(installed()):
        try:
            settings = find_adapter(name).settings
        except AdapterError:
            continue
        store = TypeAdapter(settings).json_schema(ref_template="#/$defs/{model}")
        definitions |= store.pop("$defs", {})
        store["title"] = name
        store["properties"] = {"adapter": {"const": name}, **store.get("properties", {})}
        store["additionalProperties"] = False
        choices.append(store)
    adopted = TypeAdapter(SnapshotSettings).json_schema()
    choices.append({**adopted, "title": "adopt", "additionalProperties": False})
    embedder = EMBEDDER.json_schema(ref_template="#/$defs/{model}")
    definitions |= embedder.pop("$defs", {})
    properties = schema["properties"]
    properties["stores"] = _section("Stores by name.", {"anyOf": choices})
    properties["embedders"] = _section("Embedders by name.", embedder)
    properties["data_dir"].pop("format", None)
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "Memplane configuration"
    return schema


def _section(description: str, item: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "description": description, "additionalProperties": item}
