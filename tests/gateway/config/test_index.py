"""Routes name the attributes that are to be indexed: short form, list form, variables, errors."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import yaml

from memplane_adapters.contract import FieldType
from memplane_gateway.config import RouteSettings, effective, load, place_of

Said = Callable[..., list[str]]
VARIABLE = "MEMPLANE_ROUTES__SEMANTIC__INDEX"


def write(text: str) -> None:
    Path("memplane.yaml").write_text(text)


def read(index: str, environ: Mapping[str, str] | None = None) -> RouteSettings:
    write(f"routes:\n  semantic:\n    index: {index}\n")
    return load(environ=environ or {}).routes.semantic


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        (
            "{price: number, topic: string, done: bool, due: time}",
            {
                ("price",): FieldType.NUMBER,
                ("topic",): FieldType.STRING,
                ("done",): FieldType.BOOL,
                ("due",): FieldType.TIME,
            },
        ),
        ("{address.city: string}", {("address", "city"): FieldType.STRING}),
        ("[{path: address.city, type: string}]", {("address", "city"): FieldType.STRING}),
        (
            "[{path: [a.b, c], type: string}, {path: [n], type: number}]",
            {("a.b", "c"): FieldType.STRING, ("n",): FieldType.NUMBER},
        ),
        ("{on: bool, 1: number}", {("on",): FieldType.BOOL, ("1",): FieldType.NUMBER}),
        ("{}", {}),
        ("[]", {}),
    ],
)
def test_forms(index: str, expected: Mapping[tuple[str, ...], FieldType]) -> None:
    assert read(index).index == expected
    shown = effective(load(environ={}))
    write(yaml.safe_dump(shown))
    assert load(environ={}).routes.semantic.index == expected, shown["routes"]["semantic"]


def test_nothing_is_indexed_by_default() -> None:
    assert load(environ={}).routes.semantic.index == {}
    assert effective(load(environ={}))["routes"]["episodic"]["index"] == {}


def test_variables_say_it_as_json_or_one_by_one() -> None:
    both = {VARIABLE: '{"price": "number"}', f"{VARIABLE}__TOPIC": "string"}
    expected = {("price",): FieldType.NUMBER}
    assert load(environ={VARIABLE: both[VARIABLE]}).routes.semantic.index == expected
    listed = json.dumps([{"path": ["a.b"], "type": "bool"}])
    assert load(environ={VARIABLE: listed}).routes.semantic.index == {("a.b",): FieldType.BOOL}
    added = read("{price: number}", {f"{VARIABLE}__TOPIC": "string"})
    assert added.index == {**expected, ("topic",): FieldType.STRING}


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        (
            "{price: numbr}",
            'price: no type "numbr" (did you mean "number"?; there are: bool, number, string, time)',
        ),
        (
            "{price: float, topic: text}",
            (
                'price: no type "float" (there are: bool, number, string, time); '
                'topic: no type "text" (there are: bool, number, string, time)'
            ),
        ),
        (
            "{price: {deep: number}}",
            "price: no type \"{'deep': 'number'}\" (there are: bool, number, string, time)",
        ),
        ("{a..b: string}", "a..b: a name is empty"),
        ("[{path: [], type: string}]", ": a name is empty"),
        (
            '{"@create_time": time}',
            "@create_time: system fields cannot be named here; stores index those that they need",
        ),
        (
            "[{path: a.b, type: bool}, {path: [a, b], type: number}]",
            "a.b is said twice",
        ),
        ("[{path: [a.b], type: bool}, {path: [a.b], type: bool}]", '["a.b"] is said twice'),
        (
            "[{path: a}]",
            "an item of the list should have a path and a type, and nothing else",
        ),
        ("[{path: 3, type: bool}]", "a path should be a name, or a list of names"),
        ("price", "the JSON cannot be read"),
        ("3", "should be attributes with their types, for example {price: number}"),
        (f"{{{'x' * 129}: bool}}", f"{'x' * 129}: a name has 1 to 128 bytes of UTF-8 without NUL"),
        (
            f"{{{'.'.join('abcdefghijklmnopq')}: bool}}",
            f"{'.'.join('abcdefghijklmnopq')}: has 17 names, but at most 16 are allowed",
        ),
        (
            f"{{{', '.join(f'a{n}: bool' for n in range(65))}}}",
            "65 attributes, but at most 64 can be indexed",
        ),
    ],
)
def test_what_is_wrong_is_said(index: str, expected: str, problems: Said) -> None:
    write(f"routes:\n  semantic:\n    index: {index}\n")
    assert problems() == [f"memplane.yaml:3: routes.semantic.index: {expected}"]


def test_key_values_have_no_such_index(problems: Said) -> None:
    write("routes: {procedural: {index: {a: bool}}}\n")
    (problem,) = problems()
    assert (
        "a procedural route has store, require_durability, on_backend_down and refresh_ttl"
        in problem
    )


# --- places -------------------------------------------------------------------------------------


STORE = "stores: {{main: {{adapter: qdrant, {}}}}}\nroutes: {{semantic: {{store: main}}}}\n"


def place(keys: str, environ: Mapping[str, str] | None = None) -> str:
    write(STORE.format(keys))
    return place_of(load(environ=environ or {}).stores["main"])


def test_a_place_is_told_by_what_is_no_secret() -> None:
    here = place("url: 'http://q'")
    assert here == place("url: 'http://q', api_key: one")
    assert place("url: 'http://u:one@q'") == place("url: 'http://u:two@q'")
    assert place("url: 'http://q', headers: {x-api-key: one}") == place(
        "url: 'http://q', headers: {x-api-key: two}"
    )
    assert len({place(f"url: '{url}'") for url in ("http://q", "HTTP://Q/", "http://q//")}) == 1
    assert len(here) == 32
    others = {
        place("url: 'http://r'"),
        place("url: 'http://q', pool: {size: 5}"),
        place("url: 'http://q', hosts: [a]"),
        here,
    }
    assert len(others) == 4


def test_a_reference_is_followed_to_the_place() -> None:
    by_reference = "url: 'env:WHERE'"
    one, two = (place(by_reference, {"WHERE": url}) for url in ("http://one", "http://two"))
    assert one != two
    assert one == place("url: 'http://one'")
