"""The conformance suite: what the contract promises, as pytest cases, shipped with the adapters.

`pytest --pyargs memplane_adapters.conformance.stores` holds one store to the contract; see there.
"""

import pytest

# So that a failing assertion shows its values, also in a test file that only imports the cases.
# Here and nowhere else: whatever imports a part of the suite comes by here first, and to register
# what is imported already is a warning of pytest.
pytest.register_assert_rewrite(
    "memplane_adapters.conformance.memories", "memplane_adapters.conformance.stores"
)
