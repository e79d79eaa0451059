"""What is shown, and that secrets never are."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from memplane_gateway.config import RouteSettings, Settings, effective, json_schema, load
from memplane_gateway.config.models import providers
from memplane_gateway.config.retention import RetentionSettings

CANARY = "canary-5f2a9c"
Said = Callable[..., list[str]]
STORE = "stores: {main: {adapter: qdrant, url: 'http://q'}}\nroutes: {semantic: {store: main}}\n"


def write(text: str, name: str = "memplane.yaml") -> None:
    Path(name).write_text(text)


# --- secrets ------------------------------------------------------------------------------------


def test_references_lead_to_secrets() -> None:
    write(f"{CANARY}-file\n", "key.txt")
    write(
        STORE.replace(
            "'http://q'", "'http://q', api_key: 'file:key.txt', headers: {x: 'env:HEADER'}"
        )
    )
    write(f"HEADER={CANARY}-dotenv\n", ".env")
    settings = load(environ={})
    store = settings.stores["main"].settings
    assert store.api_key == f"{CANARY}-file"
    assert store.headers == {"x": f"{CANARY}-dotenv"}
    shown = effective(settings)
    assert shown["stores"]["main"]["api_key"] == "file:key.txt"
    assert shown["stores"]["main"]["headers"] == {"x": "env:HEADER"}
    assert CANARY not in json.dumps(shown)


@pytest.mark.parametrize(
    "key",
    [
        f"api_key: {CANARY}",
        f"headers: {{authorization_token: {CANARY}}}",
        f"hosts: ['http://user:{CANARY}@h/']",
        f"hosts: ['host=h password={CANARY} user=u']",
        "headers: {x: 'env:CANARY'}",
    ],
)
def test_secrets_are_never_shown(key: str, problems: Said) -> None:
    write(STORE.replace("'http://q'", f"'http://u:{CANARY}@q', {key}"))
    environ = {"CANARY": CANARY}
    settings = load(environ=environ)
    assert CANARY not in repr(settings)
    shown = yaml.safe_dump(effective(settings))
    assert CANARY not in shown
    assert "********" in shown
    write(STORE.replace("'http://q'", f"'ftp://u:{CANARY}@q', {key}"))
    (said,) = problems(environ=environ)
    assert "is no address" in said
    assert CANARY not in said


def test_secrets_of_embedders_are_never_shown() -> None:
    write(
        "routes: {semantic: {embedder: e}}\nembedders:\n"
        f"  e: {{provider: openai, base_url: 'http://h/v1', model: m, dimension: 3, api_key: {CANARY}}}\n"
    )
    settings = load(environ={})
    assert CANARY not in json.dumps(effective(settings))
    assert CANARY not in repr(settings.embedders["e"].api_key)  # type: ignore[union-attr]


def test_a_secret_in_a_short_form_is_not_repeated(problems: Said) -> None:
    (said, *_) = problems(environ={"MEMPLANE_VECTOR": f"qdrnt+http://u:{CANARY}@h"})
    assert CANARY not in said
    shown = effective(load(environ={"MEMPLANE_VECTOR": f"qdrant+http://u:{CANARY}@h"}))
    assert shown["stores"]["qdrant"]["url"] == "http://u:********@h"


# --- for people and editors ---------------------------------------------------------------------


def test_what_is_shown_can_be_read_again() -> None:
    write(STORE + "scan_budget: 7\n")
    settings = load(environ={})
    write(yaml.safe_dump(effective(settings)), "again.yaml")
    again = load("again.yaml", environ={})
    assert again.model_dump() == settings.model_dump()


def test_the_schema_knows_every_adapter_that_can_be_loaded() -> None:
    schema = json_schema()
    *stores, adopted = schema["properties"]["stores"]["additionalProperties"]["anyOf"]
    assert set(adopted["properties"]) == {"adopt", "refresh_seconds", "max_rows"}
    assert [store["properties"]["adapter"]["const"] for store in stores] == [
        "embedded",
        "qdrant",
        "redis",
    ]
    assert set(Settings.model_fields) == set(schema["properties"])
    assert "StoreSettings" not in schema["$defs"]
    json.dumps(schema)


def test_the_documentation_names_every_setting_and_every_variable() -> None:
    text = (Path(__file__).parents[3] / "docs" / "configuration.md").read_text()
    for name, field in Settings.model_fields.items():
        if name in ("routes", "stores", "embedders"):
            continue
        inner = getattr(field.annotation, "model_fields", {"": None})
        for part in inner:
            path = [name, part] if part else [name]
            assert f"| `{'.'.join(path)}` |" in text
            assert f"`MEMPLANE_{'__'.join(path).upper()}`" in text
    policies = (Path(__file__).parents[3] / "docs" / "retention.md").read_text()
    for name in RetentionSettings.model_fields:
        assert f"| `{name}` |" in policies
    for name in RouteSettings.model_fields:
        assert f"| `routes.KIND.{name}` |" in text
        assert f"`MEMPLANE_ROUTES__KIND__{name.upper()}`" in text
    for provider in providers():
        assert f"| provider `{provider}` |" in text
        for name in providers()[provider].model_fields:
            assert f"`{name}`" in text or name == "provider"
