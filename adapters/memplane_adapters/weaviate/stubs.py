"""Weaviate's own messages and stub, as its client library ships them.

Only these are used of the library. Its client retries for a minute what is to be answered now, tells
the codes of errors only in words, has no say over its connection, and takes vectors apart into Python
floats: five times the processor time for a batch of a hundred. Nor is it loaded: it takes ten times
as long as its stubs, and warns of what it imports itself.
"""

from __future__ import annotations

import contextlib
import importlib.util
import sys
import types
from collections.abc import Iterator


@contextlib.contextmanager
def _bare(name: str) -> Iterator[None]:
    """What is below a package can be imported without the package itself, which stays as it was."""
    if name in sys.modules:
        yield
        return
    spec = importlib.util.find_spec(name)
    if spec is None or spec.submodule_search_locations is None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    bare = types.ModuleType(name)
    bare.__path__ = list(spec.submodule_search_locations)
    sys.modules[name] = bare
    try:
        yield
    finally:
        del sys.modules[name]


with _bare("weaviate"):
    from weaviate.proto.v1 import (
        aggregate_pb2,
        base_pb2,
        base_search_pb2,
        batch_delete_pb2,
        batch_pb2,
        health_weaviate_pb2,
        properties_pb2,
        search_get_pb2,
        tenants_pb2,
        weaviate_pb2_grpc,
    )

__all__ = [
    "aggregate_pb2",
    "base_pb2",
    "base_search_pb2",
    "batch_delete_pb2",
    "batch_pb2",
    "health_weaviate_pb2",
    "properties_pb2",
    "search_get_pb2",
    "tenants_pb2",
    "weaviate_pb2_grpc",
]
