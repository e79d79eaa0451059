"""The names of Redis' keys, numbers as bytes, and what can be set."""

from __future__ import annotations

from typing import Any

import pytest
from redis.crc import key_slot

from memplane_adapters.contract import (
    Kind,
)
from memplane_adapters.redis import layout
from memplane_adapters.redis.settings import RedisSettings, from_url

STRANGE = ("", "a", "{", "}", "{}", "}{", "a}b{c", "a/b", "a:b", "%2F", "é", "\n", " ", "*", "🙂")


@pytest.mark.parametrize("label", STRANGE)
@pytest.mark.parametrize("tenant", STRANGE)
def test_all_keys_of_a_namespace_lie_in_one_slot(tenant: str, label: str) -> None:
    place = layout.space("p", tenant, Kind.PROCEDURAL, ("x", label, "y"))
    keys = [*place.all, *map(place.row, STRANGE)]
    assert len({key_slot(key) for key in keys}) == 1
    assert len(set(keys)) == len(keys)


def test_no_two_names_share_a_key() -> None:
    places = [(), *((one,) for one in STRANGE), *((a, b) for a in STRANGE for b in STRANGE)]
    spaces = {
        layout.space("p", tenant, Kind.PROCEDURAL, namespace).keys
        for tenant in STRANGE
        for namespace in places
    }
    assert len(spaces) == len(STRANGE) * len(places)


@pytest.mark.parametrize("micros", [-62_135_596_800_000_000, -1, 0, 1, 253_402_300_799_999_999])
def test_times_sort_as_bytes(micros: int) -> None:
    assert layout.time_of(layout.latest_first(micros)) == micros
    assert layout.micros_of(layout.earliest_first(micros)) == micros
    assert layout.latest_first(micros) > layout.latest_first(micros + 1)
    assert layout.earliest_first(micros) < layout.earliest_first(micros + 1)
    assert layout.after(layout.latest_first(micros)) == layout.latest_first(micros - 1)


# --- settings ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "keys"),
    [
        ("", {}),
        ("//h", {"url": "redis://h"}),
        ("h:1", {"url": "redis://h:1"}),
        ("redis://h:1/3", {"url": "redis://h:1/3"}),
        ("rediss://u:p%40w@h:1/0", {"url": "rediss://h:1/0", "username": "u", "password": "p@w"}),
        ("//:pw@h", {"url": "redis://h", "password": "pw"}),
        (
            "//h?prefix=a&timeout=2.5&wait_replicas=1&wait_fsync=1",
            {
                "url": "redis://h",
                "prefix": "a",
                "timeout": 2.5,
                "wait_replicas": 1,
                "wait_fsync": 1.0,
            },
        ),
    ],
)
def test_from_url(url: str, keys: dict[str, object]) -> None:
    assert from_url(url) == keys
    RedisSettings(**keys)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"url": "http://h"}, "redis://"),
        ({"url": "redis://u:p@h"}, "credentials"),
        ({"url": "redis://h/zero"}, "number"),
        ({"url": "redis://h/0?a=b"}, "end with"),
        ({"prefix": "a b"}, "prefix"),
        ({"ca_file": "ca.pem"}, "rediss"),
        ({"username": "u"}, "password"),
        ({"timeout": 0.0}, "timeouts"),
        ({"wait_replicas": -1}, "wait_replicas"),
        ({"wait_timeout": 10.0}, "wait_timeout"),
        ({"wait_fsync": -1.0}, "wait_fsync"),
        ({"wait_fsync": 9.5}, "below timeout"),
    ],
)
def test_settings_that_cannot_be(keys: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        RedisSettings(**keys)


def test_a_password_is_not_shown() -> None:
    assert "secret" not in repr(RedisSettings(password="secret"))
