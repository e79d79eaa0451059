"""Namespaces, keys and tenants: compared as they are written, and never mixed."""

from __future__ import annotations

import dataclasses

import pytest

from memplane_adapters.conformance.stores.fixtures import NOW, Points, Subject, vector
from memplane_adapters.contract import Address, Kind, Scan, Scope

_STRANGE = (
    *"%_*?:./\\[]'\"-+~^$(){}|&!@#<>=,;`",
    *("%%", "a%", "_a", "*.*", "..", "a/b", "a:b", "a.b", "a\\b", "'; drop table memory; --"),
    *(" ", " a", "a ", "a b", "\t", "\n", "\u00a0", "\u200b", "\x01", "\x7f"),
    *("a", "A", "\u00e9", "e\u0301", "\u00c9", "ß", "SS", "日本", "🙂", "👩‍👩‍👧", "שלום", "مرحبا"),
    *("\u202eabc", "\uffff", "\U0010ffff", "null", "None", "true", "0", "not", "and", "x" * 256),
)


@pytest.mark.asyncio
async def test_field_9_strange_labels_and_keys_are_literal(subject: Subject) -> None:
    """A hyphen, slash or colon silently matched nothing; a stopword was refused."""
    entries = [
        subject.entry(key, namespace=(label, "x"), record=f"{number}".encode())
        for number, (key, label) in enumerate(zip(_STRANGE, reversed(_STRANGE), strict=True))
    ]
    await subject.write(*entries)
    for entry in entries:
        assert await subject.record(entry.address) == entry.record
    for number, label in enumerate(reversed(_STRANGE)):
        assert await subject.walk(subject.scope(label)) == [str(number)]
        assert await subject.walk(subject.scope(label, "x", exact=True)) == [str(number)]
        assert await subject.count(subject.scope(label)) == 1
        assert await subject.walk(subject.scope(label, exact=True)) == []
    assert await subject.count(subject.scope()) == len(_STRANGE)


@pytest.mark.asyncio
async def test_places_order_by_code_point_label_by_label(subject: Subject) -> None:
    places: list[tuple[tuple[str, ...], str]] = [((label,), "k") for label in _STRANGE]
    places += [(("a", label), "k") for label in _STRANGE] + [(("a",), key) for key in _STRANGE]
    places += [((), "k"), ((), "日"), (("a", "a", "a"), "k"), (("ab",), "k"), (("a!",), "k")]
    places = list(dict.fromkeys(places))
    await subject.write(
        *(
            subject.entry(key, namespace, record=repr((namespace, key)).encode())
            for namespace, key in places
        )
    )
    in_order = [repr(place) for place in sorted(places)]
    assert await subject.walk(limit=7) == in_order
    assert await subject.walk(limit=7, descending=True) == in_order[::-1]


@pytest.mark.asyncio
async def test_field_13_a_prefix_is_of_whole_labels(subject: Subject) -> None:
    """Prefix "acme" also read sibling "acme-corp"; `_` and `%` in a label were wildcards."""
    siblings = ["acme", "acme-corp", "acm", "Acme", "acmeX", "acme%", "acme_", "a%", "acme "]
    for label in siblings:
        await subject.write(
            subject.entry("k", namespace=(label,), record=label.encode()),
            subject.entry("k", namespace=(label, "deep"), record=f"{label} deep".encode()),
        )
    for label in siblings:
        scope = subject.scope(label)
        both = [label, f"{label} deep"]
        assert await subject.walk(scope) == both
        assert await subject.count(scope) == 2
        assert await subject.walk(subject.scope(label, exact=True)) == [label]
        if isinstance(subject, Points) and subject.capabilities.vector:
            assert await subject.search(scope, vector=vector(1.0)) == both
    assert await subject.store.delete_where(subject.scope("acme"), max_revision=1) == 2
    assert await subject.count() == 2 * (len(siblings) - 1)


@pytest.mark.asyncio
async def test_field_14_labels_do_not_run_together(subject: Subject) -> None:
    """["a","b:c"] and ["a","b","c"] were one key."""
    namespaces = [
        *(("a", "b:c"), ("a", "b", "c"), ("a:b", "c"), ("a:b:c",), ("a/b", "c"), ("a", "b/c")),
        *(("a", "b.c"), ("a.b", "c"), ("a\\", "b"), ("a", "\\b"), ("ab", "c"), ("a", "bc"), ()),
    ]
    for namespace in namespaces:
        await subject.write(
            subject.entry("k", namespace=namespace, record=repr(namespace).encode())
        )
    for namespace in namespaces:
        assert await subject.record(subject.address("k", namespace)) == repr(namespace).encode()
        assert await subject.walk(subject.scope(*namespace, exact=True)) == [repr(namespace)]


@pytest.mark.asyncio
async def test_labels_and_key_do_not_run_together(subject: Subject) -> None:
    places = [(("a", "b"), "c"), (("a",), "b"), (("a",), "c"), ((), "a"), (("a", "b", "c"), "d")]
    for namespace, key in places:
        await subject.write(subject.entry(key, namespace, record=repr((namespace, key)).encode()))
    assert await subject.count() == len(places)
    assert await subject.delete(subject.address("b", ("a",))) == ["applied"]
    assert await subject.count() == len(places) - 1


@pytest.mark.asyncio
async def test_field_15_case_and_order_of_labels_count(subject: Subject) -> None:
    """A lookup without case and order let a put delete another namespace's row."""
    tenant = "t"
    for namespace in [(tenant, "a"), (tenant, "A"), ("a", tenant)]:
        await subject.write(
            subject.entry("k", namespace=namespace, record=repr(namespace).encode())
        )
    for key in ["Key", "key", "KEY"]:
        await subject.write(subject.entry(key, namespace=("keys",)))
    assert await subject.count() == 6
    for namespace in [(tenant, "a"), (tenant, "A"), ("a", tenant)]:
        assert await subject.walk(subject.scope(*namespace)) == [repr(namespace)]
    assert await subject.walk(subject.scope("keys")) == ["KEY", "Key", "key"]
    assert await subject.delete(subject.address("key", ("keys",))) == ["applied"]
    assert await subject.walk(subject.scope("keys")) == ["KEY", "Key"]


@pytest.mark.asyncio
async def test_field_18_an_empty_prefix_stays_inside_the_tenant(subject: Subject) -> None:
    """An empty user or namespace on read meant everybody."""
    other = dataclasses.replace(subject, tenant=f"{subject.tenant}-2")
    for one in (subject, other):
        await one.write(one.entry("k", namespace=(), record=one.tenant.encode()))
        await one.write(one.entry("k", namespace=("deep",), record=one.tenant.encode()))
    assert await subject.walk() == [subject.tenant] * 2
    assert await subject.count() == 2
    if isinstance(subject, Points) and subject.capabilities.vector:
        assert await subject.search(vector=vector(1.0)) == [subject.tenant] * 2
    assert await subject.store.delete_where(subject.scope(), max_revision=1) == 2
    assert await other.count() == 2


@pytest.mark.parametrize("tenant", ["%", "a_b", "Tenant", "日本", "a/b", "'", " "])
@pytest.mark.asyncio
async def test_tenants_are_compared_literally(subject: Subject, tenant: str) -> None:
    tenants = [f"{subject.tenant}{tenant}", f"{subject.tenant}{tenant.upper()}x", subject.tenant]
    others = [dataclasses.replace(subject, tenant=name) for name in tenants]
    for one in others:
        await one.write(one.entry("k", record=one.tenant.encode()))
    for one in others:
        assert await one.walk() == [one.tenant]
        assert await one.record(one.address("k")) == one.tenant.encode()


@pytest.mark.asyncio
async def test_kinds_do_not_mix(subject: Subject) -> None:
    await subject.write(subject.entry("k"))
    for kind in set(Kind) - {subject.kind}:
        address = Address(subject.tenant, kind, ("suite",), "k")
        assert await subject.record(address) is None
        page = await subject.store.scan(Scan(scope=Scope(subject.tenant, kind, NOW)))
        assert page.rows == ()
