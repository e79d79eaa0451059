"""Every error has its path, its place and a suggestion."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from memplane_gateway.config import ConfigError, load

CANARY = "canary-5f2a9c"
Said = Callable[..., list[str]]
STORE = "stores: {main: {adapter: qdrant, url: 'http://q'}}\nroutes: {semantic: {store: main}}\n"


def write(text: str, name: str = "memplane.yaml") -> None:
    Path(name).write_text(text)


# --- errors -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("lissten: x\n", 'memplane.yaml:1: lissten: unknown setting (did you mean "listen"?)'),
        (
            "\nroutes:\n  semantic:\n    embeder: hash\n",
            'memplane.yaml:4: routes.semantic.embeder: unknown setting (did you mean "embedder"?)',
        ),
        (
            "routes: {sematic: {}}\n",
            'memplane.yaml:1: routes.sematic: unknown setting (did you mean "semantic"?)',
        ),
        (
            "routes: {procedural: {embedder: hash}}\n",
            (
                "memplane.yaml:1: routes.procedural.embedder: unknown setting "
                "(a procedural route has store, require_durability, on_backend_down and "
                "refresh_ttl, and nothing else)"
            ),
        ),
        (
            STORE.replace("store: main", "store: mian"),
            (
                'memplane.yaml:2: routes.semantic.store: no store "mian" '
                '(did you mean "main"?; configured: embedded, main)'
            ),
        ),
        (
            "routes: {episodic: {embedder: hsh}}\n",
            (
                'memplane.yaml:1: routes.episodic.embedder: no embedder "hsh" '
                '(did you mean "hash"?; configured: hash)'
            ),
        ),
        (
            STORE.replace("url:", "urll:"),
            'memplane.yaml:1: stores.main.urll: unknown setting of adapter "qdrant" (did you mean "url"?)',
        ),
        (STORE.replace(", url: 'http://q'", ""), "memplane.yaml:1: stores.main.url: is required"),
        (
            STORE.replace("'http://q'", "'http://q', pool: {sise: 2}"),
            'memplane.yaml:1: stores.main.pool.sise: unknown setting of adapter "qdrant" (did you mean "size"?)',
        ),
        (
            STORE.replace("'http://q'", "'http://q', timeout_seconds: soon"),
            "memplane.yaml:1: stores.main.timeout_seconds: should be a number",
        ),
        (
            STORE.replace("'http://q'", "'http://q', api_key: 12345"),
            "memplane.yaml:1: stores.main.api_key: should be a string; put it in quotes",
        ),
        (
            STORE.replace("adapter: qdrant", "adapter: quadrant"),
            (
                'memplane.yaml:1: stores.main.adapter: no adapter "quadrant" '
                '(did you mean "qdrant"?; installed: embedded, pinecone, qdrant, redis)'
            ),
        ),
        (
            STORE.replace("adapter: qdrant", "adapter: pinecone"),
            (
                'memplane.yaml:1: stores.main.adapter: adapter "pinecone" needs the module "no_such_sdk", '
                "which is not installed (pip install 'memplane-gateway[pinecone]')"
            ),
        ),
        (
            "stores: {main: {url: x}}\nroutes: {semantic: {store: main}}\n",
            (
                "memplane.yaml:1: stores.main.adapter: is required "
                "(installed: embedded, pinecone, qdrant, redis)"
            ),
        ),
        (
            "stores: {spare: {adapter: qdrnt}}\n",
            (
                'memplane.yaml:1: stores.spare.adapter: no adapter "qdrnt" '
                '(did you mean "qdrant"?; installed: embedded, pinecone, qdrant, redis)'
            ),
        ),
        (
            STORE.replace("'http://q'", "'http://q', api_key: 'env:NOT_HERE'"),
            (
                "memplane.yaml:1: stores.main.api_key: the variable NOT_HERE is not set "
                "(export NOT_HERE=... or .env)"
            ),
        ),
        (
            STORE.replace("'http://q'", "'http://q', api_key: 'file:/no/such/file'"),
            (
                "memplane.yaml:1: stores.main.api_key: the file /no/such/file cannot be read: "
                "No such file or directory"
            ),
        ),
        (
            "embedders:\n  e: {provider: openapi}\n",
            (
                'memplane.yaml:2: embedders.e.provider: no provider "openapi" '
                '(did you mean "openai"?; there are: fastembed, hash, none, openai)'
            ),
        ),
        (
            "embedders:\n  hash:\n    dimensions: 3\n",
            'memplane.yaml:3: embedders.hash.dimensions: unknown setting (did you mean "dimension"?)',
        ),
        (
            "stores: [a]\n",
            "memplane.yaml:1: stores: should be names, each with adapter and settings",
        ),
        (
            "stores:\n  main: http://q\n",
            "memplane.yaml:2: stores.main: should be adapter and settings (name: value)",
        ),
        (
            "routes: {semantic: {language: germann}}\n",
            "memplane.yaml:1: routes.semantic.language: no language 'germann'; did you mean 'german'?",
        ),
        ("scan_budget: 0\n", "memplane.yaml:1: scan_budget: should be at least 1"),
        (
            "log: {level: loud}\n",
            "memplane.yaml:1: log.level: should be 'debug', 'info', 'warning' or 'error'",
        ),
        (
            "listen: http://localhost:1\n",
            (
                "memplane.yaml:1: listen: an address to listen on has no scheme; write host:port, "
                "for example 127.0.0.1:50051"
            ),
        ),
        (
            "listen: ::1:80\n",
            "memplane.yaml:1: listen: an IPv6 address stands in brackets: [::1]:80",
        ),
        (
            "scan_budget: 1\nscan_budget: 2\n",
            "memplane.yaml:2: scan_budget: is said twice, first in line 1",
        ),
        (
            "a: [\n",
            (
                "memplane.yaml:2: is not YAML: expected the node content, but found '<stream end>', "
                "while parsing a flow node"
            ),
        ),
        ("log: debug\n", "memplane.yaml:1: log: should be a section (name: value)"),
        ("data_dir: 3\n", "memplane.yaml:1: data_dir: should be a path; put it in quotes"),
        (
            "log:\n\tlevel: info\n",
            "memplane.yaml:2: is not YAML: a tab stands where YAML takes spaces only",
        ),
        (
            "listen: localhost:99999\n",
            "memplane.yaml:1: listen: a port is a number from 0 to 65535",
        ),
        (
            "allow_unauthenticated: yes\n",
            "memplane.yaml:1: allow_unauthenticated: should be true or false",
        ),
        (
            "allow_unauthenticated: 1\n",
            "memplane.yaml:1: allow_unauthenticated: should be true or false",
        ),
        ("- a\n", "memplane.yaml:1: holds no settings (name: value)"),
        (
            "routes: {semantic: {on_backend_down: spol}}\n",
            "memplane.yaml:1: routes.semantic.on_backend_down: should be 'reject' or 'spool'",
        ),
        (
            "routes:\n  procedural:\n    on_backend_down: true\n",
            "memplane.yaml:3: routes.procedural.on_backend_down: should be 'reject' or 'spool'",
        ),
        (
            "routes: {episodic: {on_backend_dwon: spool}}\n",
            (
                "memplane.yaml:1: routes.episodic.on_backend_dwon: unknown setting "
                '(did you mean "on_backend_down"?)'
            ),
        ),
        (
            "outbox: {max_bytes: 1}\n",
            "memplane.yaml:1: outbox.max_bytes: should be at least 1048576",
        ),
        (
            "retention:\n  - {kind: episodic, max_items: 5}\n  - {kind: semantic, max_item: 5}\n",
            'memplane.yaml:3: retention.1.max_item: unknown setting (did you mean "max_items"?)',
        ),
        (
            "retention: [{kind: semantic, namespace: [a]}]\n",
            (
                "memplane.yaml:1: retention.0: should say max_items, max_age_seconds or "
                "max_idle_seconds"
            ),
        ),
        (
            "retention: [{kind: semantic, drop: oldest, max_age_seconds: 1}]\n",
            (
                "memplane.yaml:1: retention.0: drop says what goes first where there are more than "
                "max_items: say that"
            ),
        ),
        (
            "retention: [{max_items: 5}]\n",
            "memplane.yaml:1: retention.0.kind: is required",
        ),
        (
            "retention: [{kind: semantic, namespace: [''], max_items: 5}]\n",
            (
                "memplane.yaml:1: retention.0.namespace: a label has 1 to 256 bytes of UTF-8 "
                "without NUL"
            ),
        ),
        (
            'retention: [{kind: semantic, namespace: ["*"], max_items: 5}, {kind: semantic, namespace: ["*"], max_age_seconds: 6}]\n',
            (
                'memplane.yaml:1: retention: two policies for semantic memories in ["*"]: '
                "make one of them"
            ),
        ),
        (
            "retention: {kind: semantic}\n",
            "memplane.yaml:1: retention: should be a list",
        ),
        (
            "sweep: {interval: 5}\n",
            ('memplane.yaml:1: sweep.interval: unknown setting (did you mean "interval_seconds"?)'),
        ),
        (
            "sweep: {interval_seconds: -1}\n",
            "memplane.yaml:1: sweep.interval_seconds: should be at least 0.0",
        ),
        (
            "outbox: {max_age_seconds: 0}\n",
            "memplane.yaml:1: outbox.max_age_seconds: should be more than 0.0",
        ),
    ],
)
def test_every_error_has_its_path_its_line_and_a_suggestion(
    text: str, expected: str, problems: Said
) -> None:
    assert problems(text) == [expected]


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        (
            {"MEMPLANE_LOG_LEVEL": "info"},
            'MEMPLANE_LOG_LEVEL: unknown variable (did you mean "MEMPLANE_LOG__LEVEL"?)',
        ),
        (
            {"MEMPLANE_VECTR": "embedded"},
            'MEMPLANE_VECTR: unknown variable (did you mean "MEMPLANE_VECTOR"?)',
        ),
        (
            {"MEMPLANE_PORT": "8080"},
            'MEMPLANE_PORT: unknown variable (did you mean "MEMPLANE_LISTEN"?)',
        ),
        (
            {"MEMPLANE_DATA": "/data"},
            'MEMPLANE_DATA: unknown variable (did you mean "MEMPLANE_DATA_DIR"?)',
        ),
        (
            {"MEMPLANE_ROUTES__SEMANTIC__STOR": "x"},
            'MEMPLANE_ROUTES__SEMANTIC__STOR: routes.semantic.stor: unknown setting (did you mean "store"?)',
        ),
        (
            {"MEMPLANE_ROUTES__SEMANTIC__ON_BACKEND_DOWN": "wait"},
            (
                "MEMPLANE_ROUTES__SEMANTIC__ON_BACKEND_DOWN: routes.semantic.on_backend_down: "
                "should be 'reject' or 'spool'"
            ),
        ),
        (
            {"MEMPLANE_OUTBOX__MAX_BYTE": "1048576"},
            (
                "MEMPLANE_OUTBOX__MAX_BYTE: outbox.max_byte: unknown setting "
                '(did you mean "max_bytes"?)'
            ),
        ),
        (
            {"MEMPLANE_SCAN_BUDGET": "many"},
            "MEMPLANE_SCAN_BUDGET: scan_budget: should be a whole number",
        ),
        (
            {"MEMPLANE_STORES": "qdrant"},
            (
                "MEMPLANE_STORES: stores: a section takes a JSON object; "
                "a single setting has its name behind __"
            ),
        ),
        (
            {"MEMPLANE_VECTOR": "qdrnt+http://q"},
            (
                'MEMPLANE_VECTOR: no adapter "qdrnt" '
                '(did you mean "qdrant"?; installed: embedded, pinecone, qdrant, redis)'
            ),
        ),
        (
            {"MEMPLANE_VECTOR": "qdrnt"},
            'MEMPLANE_VECTOR: routes.episodic.store: no store "qdrnt" (configured: embedded)',
        ),
        ({"MEMPLANE_VECTOR": "qdrant+q:1"}, "MEMPLANE_VECTOR: expected http:// or https://"),
        (
            {"MEMPLANE_CONFIG": "not-here.yaml"},
            "not-here.yaml: there is no such file",
        ),
    ],
)
def test_errors_of_variables(environ: Mapping[str, str], expected: str, problems: Said) -> None:
    assert problems(environ=environ)[0] == expected


def test_errors_of_dotenv_name_the_file(problems: Said) -> None:
    write("MEMPLANE_LISTN=x\n", ".env")
    assert problems() == [
        '.env: MEMPLANE_LISTN: unknown variable (did you mean "MEMPLANE_LISTEN"?)'
    ]


def test_all_problems_are_said_at_once_in_the_order_of_the_lines(problems: Said) -> None:
    said = problems(
        "listen: nowhere\n"
        "routes:\n  semantic: {store: main, embeder: x}\n"
        "stores:\n  main: {adapter: qdrant, urll: x}\n"
        "scan_budget: -1\n",
        {"MEMPLANE_NIX": "1"},
    )
    assert [line.split(": ")[0] for line in said] == [
        "MEMPLANE_NIX",
        "memplane.yaml:1",
        "memplane.yaml:3",
        "memplane.yaml:5",
        "memplane.yaml:6",
    ]


def test_problems_have_parts() -> None:
    write("log: {levle: info}")
    with pytest.raises(ConfigError) as caught:
        load(environ={})
    (problem,) = caught.value.problems
    assert (problem.path, problem.file, problem.line) == ("log.levle", "memplane.yaml", 1)
    assert problem.suggestion == 'did you mean "level"?'


def test_without_a_home_the_data_directory_must_be_said(
    monkeypatch: pytest.MonkeyPatch, problems: Said
) -> None:
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.setattr("pwd.getpwuid", lambda uid: {}[uid])  # an account without an entry
    assert problems() == ["data_dir: no home directory is known; name a directory with --data DIR"]
    assert load(None, {"data_dir": "/data"}, {}).data_dir == Path("/data")
