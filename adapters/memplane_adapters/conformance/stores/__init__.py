"""The suite that holds a store to the two Protocols of `memplane_adapters.contract`.

Cases are selected by what the store declares: one that needs a capability is skipped with the
capability's name, and where a store declares that it lacks something, a case shows that it refuses.
Every case works in a tenant of its own, so a real server can be used again and again; the kinds
SEMANTIC and PROCEDURAL must be ensured by nothing but this suite.

Against any store that is installed::

    MEMPLANE_CONFORMANCE_STORE=redis+redis://localhost:6379/0 \
        pytest --pyargs memplane_adapters.conformance.stores

(the adapter's name, and behind "+" what its `from_url` takes; without the variable the embedded
store in a temporary directory). Or as the test file of an adapter::

    from memplane_adapters.conformance.stores import *

    @pytest.fixture
    def backend_factory(tmp_path: Path) -> BackendFactory:
        return Configured(ADAPTER, Settings(...), tmp_path)
"""

from memplane_adapters.conformance.stores.fixtures import (
    BackendFactory,
    Configured,
    backend,
    key_values,
    points,
    random_filters,
    subject,
)
from memplane_adapters.conformance.stores.test_cancelling import *  # noqa: F403
from memplane_adapters.conformance.stores.test_expiry import *  # noqa: F403
from memplane_adapters.conformance.stores.test_filters import *  # noqa: F403
from memplane_adapters.conformance.stores.test_keywords import *  # noqa: F403
from memplane_adapters.conformance.stores.test_lifecycle import *  # noqa: F403
from memplane_adapters.conformance.stores.test_limits import *  # noqa: F403
from memplane_adapters.conformance.stores.test_places import *  # noqa: F403
from memplane_adapters.conformance.stores.test_purges import *  # noqa: F403
from memplane_adapters.conformance.stores.test_reach import *  # noqa: F403
from memplane_adapters.conformance.stores.test_readiness import *  # noqa: F403
from memplane_adapters.conformance.stores.test_refusals import *  # noqa: F403
from memplane_adapters.conformance.stores.test_removal import *  # noqa: F403
from memplane_adapters.conformance.stores.test_scans import *  # noqa: F403
from memplane_adapters.conformance.stores.test_values import *  # noqa: F403
from memplane_adapters.conformance.stores.test_vectors import *  # noqa: F403
from memplane_adapters.conformance.stores.test_writes import *  # noqa: F403

__all__ = [
    "BackendFactory",
    "Configured",
    "backend",
    "key_values",
    "points",
    "random_filters",
    "subject",
]
__all__ += [name for name in dir() if name.startswith("test_") and callable(globals()[name])]
