"""Where settings come from, and which source goes over which."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from memplane_adapters.contract import Kind
from memplane_gateway.config import ConfigError, Settings, load
from memplane_gateway.memory.lifecycle.retention import Drop, Policy

CANARY = "canary-5f2a9c"
Said = Callable[..., list[str]]
STORE = "stores: {main: {adapter: qdrant, url: 'http://q'}}\nroutes: {semantic: {store: main}}\n"


def write(text: str, name: str = "memplane.yaml") -> None:
    Path(name).write_text(text)


# --- defaults and sources -----------------------------------------------------------------------


def test_nothing_at_all_is_the_embedded_default() -> None:
    settings = load(environ={})
    assert settings.listen == "127.0.0.1:50051"
    assert settings.routes.semantic.store == settings.routes.procedural.store == "embedded"
    assert settings.routes.episodic.embedder == "hash"
    assert settings.stores["embedded"].settings.path == "memplane.db"
    assert settings.embedders["hash"].provider == "hash"
    assert settings.data_dir.is_absolute()
    assert settings.file is None
    assert settings.max_message_bytes == 4 * 1024 * 1024
    assert settings == Settings()


def test_settings_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load(environ={}).listen = "x:1"


def test_each_source_goes_over_the_one_below() -> None:
    write(
        "listen: 127.0.0.1:1\ndrain_seconds: 1\nscan_budget: 1\nlog: {level: debug, format: json}\n"
    )
    write("MEMPLANE_DRAIN_SECONDS=2\nMEMPLANE_SCAN_BUDGET=2\nMEMPLANE_LISTEN=127.0.0.1:2\n", ".env")
    environ = {"MEMPLANE_SCAN_BUDGET": "3", "MEMPLANE_LISTEN": "127.0.0.1:3"}
    settings = load(None, {"listen": "127.0.0.1:4", "data_dir": None}, environ)
    assert settings.log.level == "debug"
    assert settings.drain_seconds == 2
    assert settings.scan_budget == 3
    assert settings.listen == "127.0.0.1:4"


def test_the_file_is_the_one_named_or_that_of_the_variable_or_the_one_here() -> None:
    write("scan_budget: 1")
    write("scan_budget: 2", "b.yaml")
    write("scan_budget: 3", "c.yaml")
    assert load(environ={}).scan_budget == 1
    assert load(environ={"MEMPLANE_CONFIG": "b.yaml"}).scan_budget == 2
    assert load("c.yaml", environ={"MEMPLANE_CONFIG": "b.yaml"}).scan_budget == 3


def test_a_partial_file_keeps_the_defaults_of_the_rest(qdrant: Any) -> None:
    write(
        "routes:\n  semantic: {store: main}\nstores:\n  main: {adapter: qdrant, url: 'http://q'}\nlog:\n"
    )
    settings = load(environ={})
    assert settings.routes.semantic.store == "main"
    assert settings.routes.episodic.store == "embedded"
    assert set(settings.stores) == {"main", "embedded"}
    assert settings.stores["main"].settings == qdrant("http://q")


def test_nested_variables_reach_everything(qdrant: Any) -> None:
    write(
        "stores: {qdrant-main: {adapter: qdrant, url: 'http://q'}}\nroutes: {semantic: {store: qdrant-main}}"
    )
    settings = load(
        environ={
            "MEMPLANE_STORES__QDRANT_MAIN__API_KEY": "k",
            "MEMPLANE_STORES__QDRANT_MAIN__HEADERS": '{"a": "b"}',
            "MEMPLANE_STORES__QDRANT_MAIN__HOSTS": '["x", "y"]',
            "MEMPLANE_STORES__QDRANT_MAIN__POOL__SIZE": "9",
            "MEMPLANE_ROUTES__EPISODIC": '{"store": "qdrant-main", "search": "auto"}',
            "MEMPLANE_ROUTES__EPISODIC__LANGUAGE": "german",
            "MEMPLANE_ROUTES__EPISODIC__STOP_WORDS": "der, die,das",
            "MEMPLANE_ROUTES__SEMANTIC__SEARCH": "Hybrid",
            "MEMPLANE_ROUTES__SEMANTIC__STOP_WORDS": '["no"]',
            "memplane_log__level": "WARNING",
            "MEMPLANE_LISTEN": "",
        }
    )
    store = settings.stores["qdrant-main"].settings
    assert store == qdrant("http://q", "k", headers={"a": "b"}, hosts=("x", "y"), pool=store.pool)
    assert store.pool.size == 9
    assert settings.routes.episodic.store == "qdrant-main"
    assert settings.routes.episodic.search is None
    assert settings.routes.episodic.language == "german"
    assert settings.routes.episodic.stop_words == ["der", "die", "das"]
    assert settings.routes.semantic.search == "hybrid"
    assert settings.routes.semantic.stop_words == ["no"]
    assert settings.log.level == "warning"
    assert settings.listen == "127.0.0.1:50051"


def test_what_becomes_of_writes_while_a_store_is_down() -> None:
    assert load(environ={}).routes.semantic.on_backend_down == "reject"
    write(
        "routes: {episodic: {store: q, on_backend_down: SPOOL}, "
        "procedural: {on_backend_down: Reject}}\n"
        "stores: {q: {adapter: qdrant, url: 'http://q'}}\n"
        "outbox: {max_bytes: 1_048_576}\n"
    )
    settings = load(
        environ={
            "MEMPLANE_ROUTES__SEMANTIC__STORE": "q",
            "MEMPLANE_ROUTES__SEMANTIC__ON_BACKEND_DOWN": "Spool",
            "MEMPLANE_OUTBOX__MAX_BYTES": "2097152",
            "MEMPLANE_OUTBOX__MAX_AGE_SECONDS": "60",
        }
    )
    routes = settings.routes
    said = [
        route.on_backend_down for route in (routes.semantic, routes.episodic, routes.procedural)
    ]
    assert said == ["spool", "spool", "reject"]
    assert (settings.outbox.max_bytes, settings.outbox.max_age_seconds) == (2 * 1024**2, 60.0)
    assert load(environ={}).outbox.max_bytes == 1024**2


def test_how_long_memories_are_kept() -> None:
    assert load(environ={}).retention == []
    write(
        "retention:\n"
        '  - {kind: episodic, namespace: [chat, "*"], max_items: 500, drop: least_important}\n'
        '  - {kind: Semantic, namespace: [a, "\\\\*"], max_age_seconds: 60, max_idle_seconds: 0.5}\n'
        "sweep: {grace_seconds: 0}\n"
        "routes: {procedural: {refresh_ttl: true}}\n"
    )
    settings = load(environ={"MEMPLANE_SWEEP__INTERVAL_SECONDS": "0"})
    assert [each.policy for each in settings.retention] == [
        Policy(Kind.EPISODIC, ("chat", None), max_items=500, drop=Drop.LEAST_IMPORTANT),
        Policy(Kind.SEMANTIC, ("a", "*"), max_age=60_000_000, max_idle=500_000),
    ]
    assert (settings.sweep.interval_seconds, settings.sweep.grace_seconds) == (0.0, 0.0)
    assert settings.routes.procedural.refresh_ttl
    assert not settings.routes.semantic.refresh_ttl
    given = '[{"kind": "procedural", "max_items": 5}]'
    settings = load(environ={"MEMPLANE_RETENTION": given})
    assert [each.policy for each in settings.retention] == [Policy(Kind.PROCEDURAL, max_items=5)]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("", "spool is for stores on a server"),
        ("control: {store: r}\nstores: {q: {adapter: qdrant, url: 'http://q'}, r: {adapter: redis, url: 'redis://r'}}\n",
         "is shared with others"),
    ],
)  # fmt: skip
def test_where_writes_cannot_wait_the_configuration_says_so(more: str, said: str) -> None:
    store = "q" if more else "embedded"
    write(f"routes: {{semantic: {{store: {store}, on_backend_down: spool}}}}\n{more}")
    with pytest.raises(ConfigError) as caught:
        load(environ={})
    assert "routes.semantic.on_backend_down: " in str(caught.value)
    assert said in str(caught.value)


def test_words_of_a_file_stay_words() -> None:
    write("routes: {semantic: {stop_words: [no, on, y, 'true']}}\nscan_budget: 10_000\n")
    settings = load(environ={})
    assert settings.routes.semantic.stop_words == ["no", "on", "y", "true"]
    assert settings.scan_budget == 10_000


def test_relative_data_directories(place: Path) -> None:
    (place / "etc").mkdir()
    write("data_dir: ../data", "etc/m.yaml")
    assert load("etc/m.yaml", environ={}).data_dir == place / "data"
    assert load(None, {"data_dir": "here"}, {}).data_dir == place / "here"
    assert load(environ={"MEMPLANE_DATA_DIR": "~/there"}).data_dir == Path.home() / "there"


def test_a_service_of_kubernetes_is_no_typo() -> None:
    load(
        environ={
            "MEMPLANE_SERVICE_HOST": "10.0.0.1",
            "MEMPLANE_SERVICE_PORT_GRPC": "50051",
            "MEMPLANE_PORT": "tcp://10.0.0.1:50051",
            "MEMPLANE_PORT_50051_TCP_ADDR": "10.0.0.1",
            "MEMPLANE_GATEWAY_SERVICE_HOST": "10.0.0.1",
        }
    )


@pytest.mark.parametrize(
    ("listen", "seen", "local"),
    [
        ("127.0.0.1:0", "127.0.0.1:0", True),
        ("localhost:50051", "localhost:50051", True),
        ("[::1]:50051", "[::1]:50051", True),
        ("unix:/run/m.sock", "unix:/run/m.sock", True),
        ("unix:///run/m.sock", "unix:/run/m.sock", True),
        ("0.0.0.0:50051", "0.0.0.0:50051", False),
        ("[::]:1", "[::]:1", False),
        ("gateway.internal:1", "gateway.internal:1", False),
    ],
)
def test_addresses(listen: str, seen: str, local: bool, problems: Said) -> None:
    settings = load(None, {"listen": listen, "allow_unauthenticated": True}, {})
    assert settings.listen == seen
    assert settings.address.local is local
    if not local:
        (problem,) = problems(listen=listen)
        assert problem.startswith("--listen: listen: ")
        assert "allow_unauthenticated: true" in problem


# --- one-variable switching ---------------------------------------------------------------------


def test_one_variable_switches_the_vector_store(qdrant: Any) -> None:
    settings = load(environ={"MEMPLANE_VECTOR": "qdrant+http://localhost:6333"})
    assert settings.routes.semantic.store == settings.routes.episodic.store == "qdrant"
    assert settings.routes.procedural.store == "embedded"
    assert settings.stores["qdrant"].settings == qdrant("http://localhost:6333")


def test_one_variable_goes_over_a_file_whose_stores_cannot_be_had() -> None:
    write(
        "routes: {semantic: {store: main}, episodic: {store: main}}\n"
        "stores: {main: {adapter: pinecone, api_key: 'env:NOT_HERE'}}\n"
    )
    settings = load(environ={"MEMPLANE_VECTOR": "embedded"})
    assert set(settings.stores) == {"embedded"}
    assert settings.unused == ("stores.main",)


def test_one_variable_names_a_configured_store_or_embedder(qdrant: Any) -> None:
    write(
        "stores: {main: {adapter: qdrant, url: 'http://q'}}\n"
        "embedders: {words: {provider: hash, dimension: 128}}\n"
    )
    settings = load(environ={"MEMPLANE_VECTOR": "main", "MEMPLANE_EMBEDDER": "words"})
    assert settings.stores["main"].settings == qdrant("http://q")
    assert settings.embedders["words"].dimension == 128


def test_the_scheme_may_be_the_adapter_and_nested_variables_add_to_it(qdrant: Any) -> None:
    settings = load(
        environ={
            "MEMPLANE_PROCEDURAL": "redis://localhost:6379/0",
            "MEMPLANE_STORES__REDIS__API_KEY": "k",
            "MEMPLANE_EMBEDDER": "openai",
            "MEMPLANE_EMBEDDERS__OPENAI__BASE_URL": "http://localhost:11434/v1",
            "MEMPLANE_EMBEDDERS__OPENAI__MODEL": "all-minilm",
            "MEMPLANE_EMBEDDERS__OPENAI__DIMENSION": "384",
        }
    )
    assert settings.routes.procedural.store == "redis"
    assert settings.stores["redis"].settings == qdrant("redis://localhost:6379/0", "k")
    assert settings.embedders["openai"].model == "all-minilm"  # type: ignore[union-attr]
    assert settings.routes.semantic.embedder == "openai"


def test_a_one_variable_store_replaces_that_of_the_file_with_all_its_keys(qdrant: Any) -> None:
    write(
        "stores: {qdrant: {url: 'http://old', api_key: secret}}\nroutes: {semantic: {store: qdrant}}"
    )
    settings = load(environ={"MEMPLANE_VECTOR": "qdrant+http://new"})
    assert settings.stores["qdrant"].settings == qdrant("http://new")


def test_the_environment_goes_over_dotenv_for_the_short_form_too() -> None:
    write("MEMPLANE_ROUTES__SEMANTIC__STORE=qdrant\nMEMPLANE_VECTOR=qdrant+http://a\n", ".env")
    settings = load(environ={"MEMPLANE_VECTOR": "embedded"})
    assert settings.routes.semantic.store == settings.routes.episodic.store == "embedded"


def test_one_adapter_at_two_addresses() -> None:
    settings = load(
        environ={"MEMPLANE_VECTOR": "redis+//a", "MEMPLANE_PROCEDURAL": "redis+//b"},
    )
    assert settings.stores["redis"].settings.url == "redis://a"
    assert settings.stores["redis-procedural"].settings.url == "redis://b"
