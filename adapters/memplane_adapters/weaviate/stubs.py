"""Weaviate's own messages and stub, as its client library ships them.

Only these are used of the library. Its client retries for a minute what is to be answered now, tells
the codes of errors only in words, has no say over its connection, and takes vectors apart into Python
floats: five times the processor time for a batch of a hundred.
"""

from __future__ import annotations

import warnings

# What it imports warns of itself, and has set its own filters: nobody here can mend that.
with warnings.catch_warnings(record=True):
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
