"""Scope digests: a row carries the digest of exactly those scopes that cover it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from memplane_adapters.contract import Address, Kind, Scope
from memplane_adapters.kit.scopes import exact_digest, prefix_digests, scope_digest

LABELS = st.lists(st.sampled_from(["a", "b", "a:b", "A", ""]), max_size=3).map(tuple)
TENANTS = st.sampled_from(["t", "u", "ta"])
KINDS = st.sampled_from([Kind.SEMANTIC, Kind.EPISODIC])


SCOPES = st.builds(Scope, TENANTS, KINDS, st.just(0), LABELS, st.booleans())
ADDRESSES = st.builds(Address, TENANTS, KINDS, LABELS, st.just("k"))


@given(SCOPES, ADDRESSES)
def test_a_row_carries_the_digests_of_the_scopes_that_cover_it(
    scope: Scope, address: Address
) -> None:
    """Prefix "acme" also read sibling "acme-corp" (FIELD 13, 14, 15)."""
    carried = [*prefix_digests(address), exact_digest(address)]
    assert (scope_digest(scope) in carried) is scope.covers(address)
    assert len(set(carried)) == len(carried)
