"""How safe an acknowledged write is, asked of the server itself; the judgement is a pure function."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from redis.exceptions import ResponseError

from memplane_adapters.contract import Durability, Reached, StoreError, StoreReason
from memplane_adapters.redis import errors
from memplane_adapters.redis.connection import Command, Reply

COMMANDS: Final[tuple[Command, ...]] = (
    (b"PING",),
    (b"INFO",),
    (b"CONFIG", b"GET", b"appendfsync"),
    (b"CONFIG", b"GET", b"no-appendfsync-on-rewrite"),
    (b"CONFIG", b"GET", b"maxmemory-policy"),
)
ASK_FSYNC: Final[Command] = (b"WAITAOF", 1, 0, 1)
"""Behind these where writes are to wait for their fsync: is that understood, and allowed?"""
LEAST_VERSION: Final = (5, 0)
"""The first server that tells its replicas what a script did, and not to run it, too."""
LEAST_VERSION_FSYNC: Final = (7, 2)
"""The first one with WAITAOF. Valkey shows 7.2 as the version of Redis that it is like."""


@dataclass(frozen=True, slots=True)
class Findings:
    """What the server says; what CONFIG is not allowed to tell is empty."""

    info: Mapping[str, str]
    config: Mapping[str, str]
    fsync: Reply = None
    """What it answered to ASK_FSYNC; None if it was not asked."""


def read(replies: list[Reply]) -> Findings:
    """The answers to COMMANDS, and maybe to ASK_FSYNC. Raises StoreError.

    A managed server may refuse the CONFIG ones.
    """
    replies, fsync = replies[: len(COMMANDS)], replies[len(COMMANDS) :]
    config: dict[str, str] = {}
    for index, reply in enumerate(replies):
        if isinstance(reply, Exception) and not (index > 1 and isinstance(reply, ResponseError)):
            raise errors.from_exchange(reply) from reply
        if isinstance(reply, list):
            texts = [_text(each) for each in reply]
            config |= dict(zip(texts[::2], texts[1::2], strict=True))
    lines = (line.partition(":") for line in _text(replies[1]).splitlines())
    info = {name: value for name, colon, value in lines if colon}
    return Findings(info, config, *fsync)


def judge(findings: Findings) -> Reached:
    """What a write survives, and why. Raises MISCONFIGURED with what is to be changed."""
    level = _level(findings)
    slaves = findings.info.get("connected_slaves", "")
    return Reached(level, _why(findings), int(slaves) if slaves.isdecimal() else None)


def _why(findings: Findings) -> str:
    if findings.info.get("aof_enabled") != "1":
        return "appendonly no"
    paused = findings.config.get("no-appendfsync-on-rewrite", "no")
    shown = f"appendfsync {findings.config.get('appendfsync', 'not told')}"
    if findings.fsync is not None:
        return f"{shown}, each write waits for its fsync"
    return shown if paused == "no" else f"{shown}, no-appendfsync-on-rewrite {paused}"


def _level(findings: Findings) -> Durability:
    info, config = findings.info, findings.config
    _check_version(info.get("redis_version", ""))
    if info.get("cluster_enabled") == "1":
        raise _misconfigured("it is a node of a Redis Cluster, which is not supported yet")
    if info.get("role") == "slave":
        host, port = info.get("master_host", "?"), info.get("master_port", "?")
        raise _misconfigured(f"it is a replica; let the url lead to its master, {host}:{port}")
    policy = config.get("maxmemory-policy") or info.get("maxmemory_policy", "")
    if policy and policy != "noeviction":
        raise _misconfigured(
            f"its maxmemory-policy is {policy}, so it may throw memories away; "
            'set "maxmemory-policy noeviction"'
        )
    if findings.fsync is not None:
        _check_fsync(findings)
        return Durability.DISK
    if info.get("aof_enabled") != "1":
        return Durability.BUFFERED
    kept = config.get("appendfsync") == "always"
    paused = config.get("no-appendfsync-on-rewrite", "no") != "no"
    return Durability.DISK if kept and not paused else Durability.PROCESS


def _check_version(version: str) -> None:
    if _numbers(version) < LEAST_VERSION:
        raise _misconfigured(f"it is Redis {version}; 5.0 or newer is needed")


def _numbers(version: str) -> tuple[int, int]:
    numbers = version.split(".")
    if len(numbers) < 2 or not all(number.isdecimal() for number in numbers[:2]):
        raise StoreError(StoreReason.PROTOCOL, f"a Redis of version {version!r}")
    return int(numbers[0]), int(numbers[1])


def _check_fsync(findings: Findings) -> None:
    """Whether writes can wait for their fsync, as `wait_fsync` says."""
    version = findings.info.get("redis_version", "")
    if _numbers(version) < LEAST_VERSION_FSYNC:
        raise _misconfigured(f"wait_fsync needs Redis 7.2 or newer, or Valkey; it is {version}")
    if findings.info.get("aof_enabled") != "1":
        raise _misconfigured('wait_fsync needs an append-only file; set "appendonly yes"')
    if findings.config.get("appendfsync") == "no":
        raise _misconfigured(
            'wait_fsync needs a server that calls fsync; set "appendfsync everysec", or "always"'
        )
    if isinstance(findings.fsync, Exception):
        raise errors.from_exchange(findings.fsync) from findings.fsync


def _misconfigured(what: str) -> StoreError:
    return StoreError(StoreReason.MISCONFIGURED, f"this Redis cannot be used: {what}")


def _text(reply: Reply) -> str:
    return reply.decode("utf-8", "replace") if isinstance(reply, bytes) else str(reply)
