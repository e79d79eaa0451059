"""The limits of the contract, once. GetCapabilities shows them, validation enforces them.

The unit is the last word of each name. Limits of a filter stand with the filter itself.
"""

from memplane_adapters.contract import MAX_CONDITIONS, MAX_DEPTH, MAX_OPERANDS

BATCH_ITEMS = 1000
QUERY_ITEMS = 16
NAMESPACE_LABELS = 16
LABEL_BYTES = 256
KEY_BYTES = 512
TEXT_BYTES = 65_536
INDEXED_TEXT_ITEMS = 16
INDEXED_TEXT_PATH_BYTES = 64
ATTRIBUTE_ITEMS = 64
ATTRIBUTE_NAME_BYTES = 128
STRING_BYTES = 262_144
VALUE_DEPTH = 32
VALUE_ITEMS = 10_000
MEMORY_BYTES = 4 * 1024 * 1024
SHORT_STRING_BYTES = 512
REQUEST_ID_BYTES = 128
INGEST_ID_BYTES = 100
"""With the sequence behind it, it is the request id of a batch."""
PATH_NAMES = 16
VECTOR_DIMENSIONS = 16_384
DEFAULT_PAGE_ITEMS = 50
MAX_PAGE_ITEMS = 1000
PAGE_BYTES = 3 * 1024 * 1024
REPLY_BYTES = 16 * 1024 * 1024
SCAN_BYTES = 64 * 1024 * 1024
TTL_YEARS = 100

SHOWN: dict[str, int] = {
    "batch_items": BATCH_ITEMS,
    "query_items": QUERY_ITEMS,
    "namespace_labels": NAMESPACE_LABELS,
    "label_bytes": LABEL_BYTES,
    "key_bytes": KEY_BYTES,
    "text_bytes": TEXT_BYTES,
    "indexed_text_items": INDEXED_TEXT_ITEMS,
    "indexed_text_path_bytes": INDEXED_TEXT_PATH_BYTES,
    "attribute_items": ATTRIBUTE_ITEMS,
    "attribute_name_bytes": ATTRIBUTE_NAME_BYTES,
    "string_bytes": STRING_BYTES,
    "value_depth": VALUE_DEPTH,
    "value_items": VALUE_ITEMS,
    "memory_bytes": MEMORY_BYTES,
    "vector_dimensions": VECTOR_DIMENSIONS,
    "page_items": MAX_PAGE_ITEMS,
    "page_bytes": PAGE_BYTES,
    "reply_bytes": REPLY_BYTES,
    "filter_depth": MAX_DEPTH,
    "filter_conditions": MAX_CONDITIONS,
    "filter_operands": MAX_OPERANDS,
}
