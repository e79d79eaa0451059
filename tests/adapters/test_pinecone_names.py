"""What Pinecone's adapter calls things there, and what can be set about it."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memplane_adapters.contract import Collection, EmbeddingIdentity, Kind
from memplane_adapters.kit.collections import identity
from memplane_adapters.pinecone import ADAPTER, PineconeSettings
from memplane_adapters.pinecone.names import identity_of, namespace_of, tags_of


@given(tenant=st.text(max_size=300), other=st.text(max_size=300))
def test_namespaces_are_what_pinecone_takes_and_each_tenants_own(tenant: str, other: str) -> None:
    name = namespace_of(tenant)
    assert name.isascii()
    assert 1 <= len(name) <= 512
    assert (name == namespace_of(other)) is (tenant == other)
    assert namespace_of("user-42") == "tenant.user-42"


@given(model=st.text(max_size=200), analyzer=st.text(max_size=20))
def test_tags_hold_an_identity_without_loss(model: str, analyzer: str) -> None:
    embedding = EmbeddingIdentity("provider", model, 8)
    whole = identity(Collection(Kind.SEMANTIC, embedding, analyzer))
    tags = tags_of(whole)
    assert identity_of(tags) == whole
    assert all(value.isascii() and len(value) <= 120 for value in tags.values())
    assert len(tags) <= 20


def test_the_key_is_not_shown() -> None:
    assert "s3cret" not in repr(PineconeSettings(api_key="s3cret"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "api.pinecone.io"},
        {"url": "https://key@api.pinecone.io"},
        {"url": "https://api.pinecone.io?a=b"},
        {"prefix": ""},
        {"prefix": "Upper"},
        {"prefix": "a" * 22},
        {"api_key": "é"},
        {"cloud": ""},
        {"timeout": 0.0},
        {"visible_timeout": -1.0},
    ],
    ids=str,
)
def test_settings_that_cannot_work_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="should"):
        PineconeSettings(**wrong)


@pytest.mark.parametrize(
    ("url", "keys"),
    [
        ("", {}),
        ("?api_key=k&region=eu-west-1", {"api_key": "k", "region": "eu-west-1"}),
        ("api.pinecone.io", {"url": "https://api.pinecone.io"}),
        ("http://localhost:5080?timeout=2.5", {"url": "http://localhost:5080", "timeout": 2.5}),
    ],
)
def test_urls(url: str, keys: dict[str, object]) -> None:
    assert ADAPTER.from_url(url) == keys
    PineconeSettings(**keys)  # type: ignore[arg-type]


def test_the_client_library_is_loaded_only_when_a_store_is_made() -> None:
    script = (
        "import sys, memplane_adapters.pinecone as p; assert 'pinecone.async_client' not in sys.modules\n"
        "from pathlib import Path\n"
        "p.ADAPTER.connect(p.PineconeSettings(), Path()); assert 'pinecone' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
