"""Memplane's Python client: one contract for the memory of AI agents, whatever store is behind it.

```python
from memplane import Client, attr

with Client("localhost:50051") as client:
    ada = client.scope("support-bot", "user-42")                                 # namespace bound once
    ada.remember("Prefers tea in the morning", attributes={"topic": "food"})     # SEMANTIC
    ada.record("Asked for a refund", session_id="s-17")                          # EPISODIC
    ada.set("tone", {"style": "short"})                                          # PROCEDURAL
    for hit in ada.search("what does she drink?", filter=attr("topic") == "food"):
        print(hit.relevance, hit.memory.text)
```

`memplane.local("memories")` returns a client with a gateway of its own, where none runs.
`AsyncClient` is the same with `await`. The messages of the contract itself are in `memplane.v1`.
"""

from memplane import fields
from memplane._async.client import AsyncClient
from memplane._async.local import AsyncLocalClient, async_local
from memplane._async.overview import AsyncNamespaceList
from memplane._async.reading import AsyncMemoryList
from memplane._async.scope import AsyncScope
from memplane._async.session import AsyncSession
from memplane._async.state import AsyncState
from memplane._async.streaming import AsyncMemoryScan
from memplane._enums import (
    ConditionalWrite,
    Durability,
    EpisodeType,
    Health,
    Kind,
    Mode,
    Op,
    Order,
    OutboxOperation,
    Outcome,
    Pushdown,
    RouteState,
    SweepCause,
)
from memplane._errors import (
    Aborted,
    AlreadyExists,
    Cancelled,
    Code,
    DataLoss,
    DeadlineExceeded,
    FailedPrecondition,
    GatewayNotStarted,
    Internal,
    InvalidArgument,
    MemplaneError,
    NotFound,
    OutOfRange,
    PermissionDenied,
    ResourceExhausted,
    StateConflict,
    Unauthenticated,
    Unavailable,
    Unimplemented,
    Unknown,
    Violation,
)
from memplane._filter_dicts import FilterLike
from memplane._filters import Attribute, Expression, attr
from memplane._ingests import IngestAck, IngestFailure, IngestResult
from memplane._inputs import UNSET, Delete, Put, Query, Update
from memplane._lifecycle import (
    ConsolidateResult,
    ForgetResult,
    ForgottenMemory,
    MemoryGroup,
    MergedMemory,
)
from memplane._models import (
    Count,
    Embedding,
    Episode,
    Explanation,
    FilterReport,
    Hit,
    IndexedText,
    Memory,
    NamespacePage,
    Page,
    Provenance,
    PurgeResult,
    Ref,
    SearchResult,
    StateUpdate,
    Statistics,
    WriteResult,
    WriteResults,
)
from memplane._status import (
    Capabilities,
    ControlStatus,
    OutboxEntry,
    OutboxResult,
    OutboxStatus,
    RouteCapabilities,
    RouteStatus,
    Status,
)
from memplane._sweeps import (
    RenewalStatus,
    SweeperStatus,
    SweepExample,
    SweepFailure,
    SweepResult,
    SweepRule,
    SweepRun,
)
from memplane._sync.client import Client
from memplane._sync.local import LocalClient, local
from memplane._sync.overview import NamespaceList
from memplane._sync.reading import MemoryList
from memplane._sync.scope import Scope
from memplane._sync.session import Session
from memplane._sync.state import State
from memplane._sync.streaming import MemoryScan
from memplane._values import ValueLike
from memplane._vectors import VectorLike
from memplane._version import __version__

__all__ = [
    "UNSET",
    "Aborted",
    "AlreadyExists",
    "AsyncClient",
    "AsyncLocalClient",
    "AsyncMemoryList",
    "AsyncMemoryScan",
    "AsyncNamespaceList",
    "AsyncScope",
    "AsyncSession",
    "AsyncState",
    "Attribute",
    "Cancelled",
    "Capabilities",
    "Client",
    "Code",
    "ConditionalWrite",
    "ConsolidateResult",
    "ControlStatus",
    "Count",
    "DataLoss",
    "DeadlineExceeded",
    "Delete",
    "Durability",
    "Embedding",
    "Episode",
    "EpisodeType",
    "Explanation",
    "Expression",
    "FailedPrecondition",
    "FilterLike",
    "FilterReport",
    "ForgetResult",
    "ForgottenMemory",
    "GatewayNotStarted",
    "Health",
    "Hit",
    "IndexedText",
    "IngestAck",
    "IngestFailure",
    "IngestResult",
    "Internal",
    "InvalidArgument",
    "Kind",
    "LocalClient",
    "Memory",
    "MemoryGroup",
    "MemoryList",
    "MemoryScan",
    "MemplaneError",
    "MergedMemory",
    "Mode",
    "NamespaceList",
    "NamespacePage",
    "NotFound",
    "Op",
    "Order",
    "OutOfRange",
    "OutboxEntry",
    "OutboxOperation",
    "OutboxResult",
    "OutboxStatus",
    "Outcome",
    "Page",
    "PermissionDenied",
    "Provenance",
    "PurgeResult",
    "Pushdown",
    "Put",
    "Query",
    "Ref",
    "RenewalStatus",
    "ResourceExhausted",
    "RouteCapabilities",
    "RouteState",
    "RouteStatus",
    "Scope",
    "SearchResult",
    "Session",
    "State",
    "StateConflict",
    "StateUpdate",
    "Statistics",
    "Status",
    "SweepCause",
    "SweepExample",
    "SweepFailure",
    "SweepResult",
    "SweepRule",
    "SweepRun",
    "SweeperStatus",
    "Unauthenticated",
    "Unavailable",
    "Unimplemented",
    "Unknown",
    "Update",
    "ValueLike",
    "VectorLike",
    "Violation",
    "WriteResult",
    "WriteResults",
    "__version__",
    "async_local",
    "attr",
    "fields",
    "local",
]
