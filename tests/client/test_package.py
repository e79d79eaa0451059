"""What importing brings, that the twins agree, and that nothing of the contract is out of reach."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields
from enum import StrEnum
from pathlib import Path
from types import ModuleType

import pytest

import memplane
from memplane import (
    AsyncClient,
    AsyncLocalClient,
    AsyncMemoryList,
    AsyncScope,
    AsyncSession,
    AsyncState,
    Client,
    LocalClient,
    MemoryList,
    Scope,
    Session,
    State,
    _enums,
    _requests,
)
from memplane.v1 import (
    admin_service_pb2,
    consolidate_pb2,
    forget_pb2,
    lifecycle_service_pb2,
    memory_service_pb2,
    search_pb2,
    sweep_pb2,
)

ROOT = Path(__file__).resolve().parents[2]


def test_an_import_is_small(record_property: Callable[[str, object], None]) -> None:
    code = """
import json, sys, time
before = set(sys.modules)
start = time.perf_counter()
import memplane
seconds = time.perf_counter() - start
made = memplane.Client(), memplane.AsyncClient()
from memplane import _error_details
tops = {name.partition(".")[0] for name in set(sys.modules) - before} - sys.stdlib_module_names
print(json.dumps([seconds, sorted(tops)]))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, text=True, timeout=60
    )
    seconds, tops = json.loads(done.stdout)
    record_property("import_seconds", seconds)
    print(f"import memplane: {seconds * 1000:.0f} ms")  # noqa: T201 (shown with -s)
    # grpc looks for its own companions (grpc_health, ...) and takes them when they are there.
    brought = {top for top in tops if not top.startswith(("_", "grpc_", "cython_"))}
    # A newer grpcio itself imports typing_extensions.
    assert brought - {"typing_extensions"} == {"google", "grpc", "memplane"}


def test_the_sync_client_is_up_to_date() -> None:
    command = [sys.executable, str(ROOT / "scripts" / "generate_sync.py"), "--check"]
    done = subprocess.run(command, capture_output=True, check=False, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("asynchronous", "sync"),
    [
        (AsyncClient, Client),
        (AsyncLocalClient, LocalClient),
        (AsyncScope, Scope),
        (AsyncMemoryList, MemoryList),
        (AsyncSession, Session),
        (AsyncState, State),
    ],
)
def test_the_twins_agree(asynchronous: type, sync: type) -> None:
    def surface(of: type) -> dict[str, str]:
        return {
            name: str(inspect.signature(member)).replace("Async", "")
            for name, member in inspect.getmembers(of, inspect.isfunction)
            if not name.startswith("_") or name == "__init__"
        }

    assert surface(asynchronous) == surface(sync)
    assert not any(map(inspect.iscoroutinefunction, vars(sync).values()))


def test_the_twin_functions_agree() -> None:
    asynchronous = str(inspect.signature(memplane.async_local))
    assert asynchronous.replace("Async", "") == str(inspect.signature(memplane.local))
    assert not inspect.iscoroutinefunction(memplane.local)


def test_what_is_exported_is_there_and_documented() -> None:
    for name in memplane.__all__:
        exported = getattr(memplane, name)
        if inspect.isclass(exported) or inspect.isfunction(exported):
            assert exported.__doc__, name
    assert sorted(memplane.__all__) == sorted(set(memplane.__all__))
    public = {
        name
        for name, value in vars(memplane).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    }
    assert public <= set(memplane.__all__)


def test_public_methods_are_documented() -> None:
    lists = (AsyncMemoryList, MemoryList)
    for of in (AsyncClient, Client, *lists, AsyncSession, Session, AsyncState, State):
        for name, member in inspect.getmembers(of, inspect.isfunction):
            assert name.startswith("_") or inspect.getdoc(member), f"{of.__name__}.{name}"


def test_the_version_is_that_of_the_distribution() -> None:
    project = (ROOT / "clients" / "python" / "pyproject.toml").read_text(encoding="utf-8")
    assert f'\nversion = "{memplane.__version__}"\n' in project


def test_enums_have_every_value_of_the_contract() -> None:
    for enum, (wire, prefix) in _enums._WIRE.items():
        names = {name.removeprefix(prefix) for name, _ in wire.items()} - {"UNSPECIFIED"}
        assert names == {member.name for member in enum} - {"UNKNOWN"}, enum


@pytest.mark.parametrize("enum", _enums._WIRE)
def test_an_equal_member_of_another_enum_keeps_its_number(enum: type[StrEnum]) -> None:
    """String enums are equal where their values are: Outcome.SPOOLED is Durability.SPOOLED too."""
    wire, prefix = _enums._WIRE[enum]
    for member in enum:
        if member.name == "UNKNOWN":
            continue
        number = wire.Value(prefix + member.name)
        assert _enums.to_wire(enum, member.value, "field") == number
        assert _enums.from_wire(enum, number) is member


def test_equal_members_may_have_different_numbers() -> None:
    """Else the test above could not fail."""
    one, other = memplane.Outcome.SPOOLED, memplane.Durability.SPOOLED
    assert (str(one), hash(one)) == (str(other), hash(other))
    assert _enums.to_wire(type(one), one, "f") != _enums.to_wire(type(other), other, "f")


def test_every_rpc_has_a_call() -> None:
    for module in (memory_service_pb2, lifecycle_service_pb2, admin_service_pb2):
        for service in module.DESCRIPTOR.services_by_name.values():
            sources = "".join(
                path.read_text(encoding="utf-8")
                for path in Path(memplane.__file__).parent.rglob("_*/*.py")
            ) + inspect.getsource(_requests)
            for method in service.methods:
                assert f'"{method.name}"' in sources, method.full_name


def test_every_field_of_a_request_can_be_said() -> None:
    """A field that the contract gains must not be forgotten here."""
    said = {
        "MemoryPut": "memory precondition expiry",
        "MemoryUpdate": "ref text attributes remove_attributes value importance pinned expiry "
        "precondition indexed_texts",
        "MemoryDelete": "ref precondition",
        "SearchQuery": "kind namespace exact_namespace text vector mode filter time_from time_to "
        "min_relevance page_size view exact like recency_half_life recency_weight importance_weight "
        "diversity explain page_token vector_share",
        "SearchHit": "memory relevance score explanation matched_path",
        "Explanation": " ".join(field.name for field in fields(memplane.Explanation)),
        "ListMemoriesRequest": "kind namespace exact_namespace filter order descending page_size "
        "page_token view consistency_token",
        "CountMemoriesRequest": "kind namespace exact_namespace filter consistency_token",
        "ForgetMemoriesRequest": "kind namespace exact_namespace filter older_than inactive_for "
        "importance_below half_life dry_run request_id min_durability page_token",
        "ConsolidateMemoriesRequest": "kind namespace exact_namespace filter min_similarity dry_run "
        "request_id min_durability page_token",
        "GetMemoriesRequest": "refs view consistency_token",
        "SearchMemoriesRequest": "queries consistency_token",
        "PutMemoriesRequest": "puts request_id min_durability atomic",
        "UpdateMemoriesRequest": "updates request_id min_durability",
        "DeleteMemoriesRequest": "deletes request_id min_durability atomic",
        "SweepMemoriesRequest": "dry_run page_token",
        "WriteResult": "ref outcome error etag revision create_time update_time expire_time "
        "searchable replayed durability replicas_acked visible",
        "SearchResult": "hits mode approximate filter notice truncated incomplete next_page_token",
    }
    messages = {
        **memory_service_pb2.DESCRIPTOR.message_types_by_name,
        **search_pb2.DESCRIPTOR.message_types_by_name,
        **forget_pb2.DESCRIPTOR.message_types_by_name,
        **consolidate_pb2.DESCRIPTOR.message_types_by_name,
        **sweep_pb2.DESCRIPTOR.message_types_by_name,
    }
    for name, words in said.items():
        assert {field.name for field in messages[name].fields} == set(words.split()), name
