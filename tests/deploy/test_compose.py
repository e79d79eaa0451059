"""deploy/compose.yaml, as far as it can be held to anything without a container engine.

What it mounts loads; images, ports, volumes and extras are those of the adapters; and the gateway serves
from what a profile mounts and sets, beside servers that run with what it says.
"""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from scripts.generate_deploy import PROFILES, file_of, is_there  # noqa: E402
from tests.faults.process import Gateway, room  # noqa: E402
from tests.thorough import THOROUGH  # noqa: E402

from memplane import Client, Durability, Kind  # noqa: E402
from memplane_adapters import contract  # noqa: E402
from memplane_adapters.conformance import servers  # noqa: E402
from memplane_adapters.contract import LocalStore, reached_of  # noqa: E402
from memplane_gateway.config import Settings, load  # noqa: E402
from memplane_gateway.config.stores import find_adapter  # noqa: E402

DEPLOY = ROOT / "deploy"
COMPOSE: Mapping[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))
SERVICES: Mapping[str, Mapping[str, Any]] = COMPOSE["services"]
DEFAULT = "qdrant"
"""The profile of what has none: it starts by itself."""
CONFIG = "/etc/memplane/memplane.yaml"
_REFERENCE = re.compile(r"\$\{(\w+):(?:\?is not set[^}]*|-)\}")


def gateway_of(profile: str) -> str:
    return "gateway" if profile == DEFAULT else f"gateway-{profile}"


THERE = [profile for profile, stores in PROFILES.items() if is_there(stores)]
GATEWAYS = [gateway_of(profile) for profile in PROFILES]
STORES = [name for name in SERVICES if name not in GATEWAYS]


def filled(value: object, secret: str = "sesame") -> str:
    """What compose makes of a value, where all secrets are the same."""
    return _REFERENCE.sub(secret, str(value)).replace("$$", "$")


def variables_of(service: str) -> dict[str, str]:
    return {k: filled(v) for k, v in SERVICES[service].get("environment", {}).items()}


def settings_of(profile: str) -> Settings:
    """What the gateway of a profile reads."""
    environ = variables_of(gateway_of(profile))
    assert environ.pop("MEMPLANE_CONFIG") == CONFIG
    return load(DEPLOY / f"{profile}.yaml", {"listen": "0.0.0.0:50051"}, environ)


def mounts(service: str) -> dict[str, str]:
    """What is mounted, by its place."""
    return {each.split(":")[1]: each.split(":")[0] for each in SERVICES[service]["volumes"]}


def test_a_profile_is_a_gateway_with_its_stores() -> None:
    assert set(GATEWAYS) <= SERVICES.keys()
    for name, service in SERVICES.items():
        by_itself = name in (gateway_of(DEFAULT), DEFAULT, "redis")
        assert ("profiles" not in service) is by_itself, name
    for profile in PROFILES.keys() - {DEFAULT}:
        assert SERVICES[gateway_of(profile)]["profiles"] == [profile]
    ports = [filled(SERVICES[name]["ports"][0]) for name in GATEWAYS]
    published = [re.fullmatch(r"127\.0\.0\.1:(\d+):50051", port) for port in ports]
    assert all(published), "on the host's own loopback only"
    assert len(set(ports)) == len(GATEWAYS), "several may run at once"
    assert not any("ports" in SERVICES[name] for name in STORES), "nobody else reaches the stores"


@pytest.mark.parametrize("profile", PROFILES)
def test_what_is_mounted_loads(profile: str) -> None:
    name = gateway_of(profile)
    assert mounts(name) == {"/data": f"gateway-{profile}", CONFIG: f"./{profile}.yaml"}
    file = DEPLOY / f"{profile}.yaml"
    if profile not in THERE:
        assert not file.exists()
        return
    assert file.read_text("utf-8") == file_of(PROFILES[profile]), "make generate"
    settings = settings_of(profile)
    assert not settings.unused
    assert settings.allow_unauthenticated
    assert settings.control.store == settings.routes.procedural.store


@pytest.mark.parametrize("profile", THERE)
def test_stores_are_where_the_file_says(profile: str) -> None:
    """Each address is a service that the gateway waits for, with that port, image and directory."""
    gateway = SERVICES[gateway_of(profile)]
    reached = set()
    for store in settings_of(profile).stores.values():
        url = urlsplit(getattr(store.settings, "url", ""))
        if not url.hostname or "." in url.hostname:
            continue  # in the gateway itself, or on the internet
        reached.add(url.hostname)
        service = SERVICES[url.hostname]
        assert service.get("profiles", [profile]) == [profile]
        local = next((each for each in find_adapter(store.adapter).local if each.image), None)
        if local is not None:
            assert service["image"] == local.image
            assert url.port == local.image_ports[0]
            assert local.image_directory in mounts(url.hostname)
    waits = gateway.get("depends_on", {})
    assert waits == {name: {"condition": "service_healthy"} for name in reached}


@pytest.mark.parametrize("profile", PROFILES)
def test_the_image_is_built_with_what_the_stores_need(profile: str) -> None:
    gateway = SERVICES[gateway_of(profile)]
    build = gateway["build"]
    assert (DEPLOY / build["context"] / "Dockerfile").samefile(ROOT / "Dockerfile")
    declared = re.findall(r"^ARG (\w+)", (ROOT / "Dockerfile").read_text("utf-8"), re.MULTILINE)
    assert build.get("args", {}).keys() <= set(declared)
    extras = set(filter(None, build.get("args", {}).get("EXTRAS", "").split(",")))
    if profile in THERE:
        project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
        assert extras <= project["optional-dependencies"].keys()
        adapters = {store.adapter for store in settings_of(profile).stores.values()}
        assert extras == adapters - {"embedded"}
    assert gateway["image"] == f"memplane:{profile}"


def test_images_are_pinned_and_stores_are_watched() -> None:
    for name in STORES:
        assert re.fullmatch(r"[a-z.]+/[a-z/]+:v?\d+\.\d+\.\d+[a-z0-9-]*", SERVICES[name]["image"])
        assert SERVICES[name]["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")
    assert "\nHEALTHCHECK" in (ROOT / "Dockerfile").read_text("utf-8")


def test_every_volume_is_declared_and_used() -> None:
    used = {source for name in SERVICES for source in mounts(name).values()}
    assert {source for source in used if not source.startswith(".")} == COMPOSE["volumes"].keys()


def test_no_secret_stands_there() -> None:
    """Those of the stores must be set; the top of the file makes them. Pinecone's is the user's own."""
    text = (DEPLOY / "compose.yaml").read_text("utf-8")
    made = re.search(r"for name in ([A-Z_ ]+); do", text)
    assert made is not None
    asked = set(re.findall(r"\$\{(\w+):\?", text))
    assert asked == set(made[1].split())
    assert set(re.findall(r"\$\{(\w+):-\}", text)) == {"PINECONE_API_KEY"}
    for line in text.splitlines():
        name, _, value = line.strip().partition(": ")
        if name.endswith(("_KEY", "_KEYS", "_PASSWORD")):
            assert _REFERENCE.fullmatch(value), line


def test_the_gateway_logs_into_postgres_as_nobody_special() -> None:
    """What the image runs once makes the role and the database that the configuration names."""
    script = mounts("postgres")["/docker-entrypoint-initdb.d/memplane.sql"]
    made = (DEPLOY / script).read_text("utf-8")
    settings = settings_of("pgvector").stores["postgres"].settings
    database = urlsplit(settings.url).path.strip("/")
    assert f"CREATE ROLE {settings.user} LOGIN PASSWORD :'password';" in made
    assert f"CREATE DATABASE {database} OWNER {settings.user};" in made
    assert f"\\connect {database}\nCREATE EXTENSION vector;" in made
    assert "\\getenv password POSTGRES_PASSWORD" in made
    assert variables_of("postgres") == {"POSTGRES_PASSWORD": "sesame"}, (
        "the superuser's name is its own"
    )
    health = SERVICES["postgres"]["healthcheck"]["test"]
    assert health[-4:] == ["-U", settings.user, "-d", database]


def test_the_page_knows_the_profiles_and_ports() -> None:
    page = (ROOT / "docs" / "deploy.md").read_text("utf-8")
    for profile in PROFILES:
        port = SERVICES[gateway_of(profile)]["ports"][0].split(":")[1]
        assert re.search(rf"^\| `?{profile}`?.*\b{port}\b", page, re.MULTILINE), profile


def placed(name: str, **changes: object) -> LocalStore:
    """How the store's real server is started here, if it is at hand."""
    store = next(each for each in find_adapter(name).local if each.program)
    store = dataclasses.replace(store, **changes)  # type: ignore[arg-type]
    try:
        servers.launcher_for(store)
    except servers.NotAtHandError as error:
        pytest.skip(str(error))
    return store


def redis_of_compose() -> LocalStore:
    """A real server under the arguments that compose gives it."""
    command = [filled(word) for word in SERVICES["redis"]["command"]]
    here = ("--bind", "{host}", "--port", "{ports[0]}", "--dir", "{directory}")
    return placed("redis", arguments=(*command[1:], *here))


async def test_redis_keeps_on_disk_what_it_acknowledges(tmp_path: Path) -> None:
    with servers.running(redis_of_compose(), tmp_path) as server:
        settings = dataclasses.replace(
            settings_of(DEFAULT).stores["redis"].settings, url=server.url
        )
        store = find_adapter("redis").connect(settings, tmp_path).key_value
        assert store is not None
        await store.open()
        assert reached_of(await store.ping()).level is contract.Durability.DISK
        await store.close()


@pytest.mark.skipif(not THOROUGH, reason="takes a server and a gateway of its own")
def test_a_gateway_serves_from_a_profile(tmp_path: Path) -> None:
    """The profile chroma with real servers, Redis as compose starts it; only addresses differ."""
    redis, chroma = redis_of_compose(), placed("chroma")
    with (
        servers.running(redis, tmp_path / "redis") as keeper,
        servers.running(chroma, tmp_path / "chroma") as searched,
        room() as place,
    ):
        environ = variables_of("gateway-chroma") | {
            "MEMPLANE_CONFIG": str(DEPLOY / "chroma.yaml"),
            "MEMPLANE_STORES__REDIS__URL": keeper.url,
            "MEMPLANE_STORES__CHROMA__URL": searched.url,
        }
        with Gateway(place, environ=environ) as gateway, Client(gateway.address) as client:
            ada = client.scope("support-bot", "user-42")
            ada.set("tone", {"style": "short"})
            ada.remember("Prefers tea in the morning")
            assert ada.value("tone") == {"style": "short"}
            assert [hit.memory.text for hit in ada.search("morning tea")] == [
                "Prefers tea in the morning"
            ]
            status = client.status()
            assert all(route.serving for route in status.routes.values())
            assert status.routes[Kind.PROCEDURAL].durability is Durability.DISK
            assert status.control is not None
            assert status.control.store == "redis"
        *_, script = SERVICES["chroma"]["healthcheck"]["test"]
        port = str(urlsplit(searched.url).port)
        asking = [
            filled(script).replace("/8000", f"/{port}"),
            filled(script).replace("/8000", "/1"),
        ]
        answers = [
            subprocess.run(["bash", "-c", text], check=False, capture_output=True).returncode
            for text in asking
        ]
        assert answers[0] == 0
        assert answers[1] != 0


def test_the_health_of_qdrant_is_asked_like_that_of_chroma() -> None:
    """There is no server of Qdrant here; the same script asks Chroma's, which is."""
    scripts = {
        name: SERVICES[name]["healthcheck"]["test"][-1].splitlines()
        for name in ("qdrant", "chroma")
    }
    local = next(each for each in find_adapter("qdrant").local if each.image)
    ready = urlsplit(local.ready[0].replace("{host}:{ports[0]}", "host"))
    assert scripts["qdrant"][1].split()[2] == ready.path
    assert scripts["qdrant"][0].endswith(f"/{local.image_ports[0]}")
    assert scripts["qdrant"][2] == scripts["chroma"][2]


def test_the_variables_of_a_gateway_are_no_mystery_to_it() -> None:
    """What its file refers to is there."""
    for profile in THERE:
        refers = set(
            re.findall(
                r'^ *\w+: "env:(\w+)"', (DEPLOY / f"{profile}.yaml").read_text(), re.MULTILINE
            )
        )
        given = {v for v in variables_of(gateway_of(profile)) if not v.startswith("MEMPLANE_")}
        assert refers <= given
