"""TLS between the gateway and stores of vectors: whom an adapter trusts, and what it says of others."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from tests.adapters import opening
from tests.adapters.postgres_pooler import pooler
from tests.adapters.tls import Certificate, certificate, door

from memplane_adapters.conformance.local_stores import Servers, choices
from memplane_adapters.conformance.stores.fixtures import COLLECTION
from memplane_adapters.contract import Adapter, StoreError, StoreReason, reached_of

__all__ = ["certificate"]

NAMES = ("chroma", "postgres", "weaviate")
"""Redis has its own case; Pinecone's emulator tells clients its address, which is without TLS."""


@asynccontextmanager
async def over_http(
    plain: Mapping[str, Any], certificate: Certificate
) -> AsyncIterator[dict[str, Any]]:
    """The same settings, with TLS on every way in."""
    address = urlsplit(plain["url"])
    async with door(address.hostname, address.port, certificate) as port:
        url = address._replace(scheme="https", netloc=f"localhost:{port}").geturl()
        if "grpc_port" not in plain:
            yield {**plain, "url": url}
            return
        async with door(address.hostname, plain["grpc_port"], certificate) as grpc_port:
            yield {**plain, "url": url, "grpc_port": grpc_port}


@asynccontextmanager
async def over_postgres(
    plain: Mapping[str, Any], certificate: Certificate
) -> AsyncIterator[dict[str, Any]]:
    """As `over_http`; this protocol asks for TLS in words of its own."""
    async with pooler(plain["url"], certificate=certificate) as (_, url):
        port = urlsplit(url).port
        address = urlsplit(plain["url"])._replace(netloc=f"localhost:{port}")
        yield {**plain, "url": address.geturl()}


async def told(adapter: Adapter, settings: Mapping[str, Any]) -> StoreReason:
    """Why a store with these settings cannot be had."""
    with pytest.raises(StoreError) as refusal:
        async with opening.opened_points(adapter, **settings) as points:
            await points.store.ping()
    assert not refusal.value.retryable
    return refusal.value.reason


@pytest.mark.parametrize("name", NAMES)
async def test_whom_it_trusts(
    servers: Servers, tmp_path: Path, certificate: Certificate, name: str
) -> None:
    """Before a server without TLS stands something that has it."""
    (choice,) = (choice for choice in choices() if choice.adapter_name == name)
    adapter, plain = choice.keys(servers, tmp_path)
    between = over_postgres if name == "postgres" else over_http
    trusted = {"ca_file": str(certificate.file)}
    async with between(plain, certificate) as settings:
        async with opening.opened_points(adapter, **settings, **trusted) as points:
            reached_of(await points.store.ping())
            await points.store.ensure(COLLECTION)
            await points.write(points.entry("k", record=b"kept"))
            assert await points.record(points.address("k")) == b"kept"
        elsewhere = settings["url"].replace("localhost", "127.0.0.1")
        # libpq encrypts by itself, and trusts by itself whoever it is.
        strict = f"{settings['url']}?sslmode=verify-full" if name == "postgres" else settings["url"]
        for wrong in (
            {"url": strict},
            {"url": elsewhere, **trusted},
            {"ca_file": str(tmp_path / "nothing.pem")},
        ):
            assert await told(adapter, {**settings, **wrong}) is StoreReason.MISCONFIGURED
    if name == "postgres":
        # A server without it is not spoken to in the clear.
        assert await told(adapter, {**plain, **trusted}) is StoreReason.MISCONFIGURED
