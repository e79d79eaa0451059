"""Further texts: messages to domain values and back."""

from __future__ import annotations

from collections.abc import Sequence

from memplane.v1 import indexed_text_pb2 as pb
from memplane.v1 import memory_pb2
from memplane_adapters.contract import Kind, Vector
from memplane_gateway import limits
from memplane_gateway.memory.model import FurtherVectors, IndexedText, Memory
from memplane_gateway.wire.vectors import digest_of, packed, read_vector
from memplane_gateway.wire.violations import Violations


def read_texts(
    messages: Sequence[pb.IndexedText], kind: Kind, path: str, violations: Violations
) -> tuple[tuple[IndexedText, ...], FurtherVectors]:
    """The further texts of a memory, and the vectors that the caller gave."""
    if messages and kind is Kind.PROCEDURAL:
        violations.add(path, "PROCEDURAL memories have none")
    violations.count(messages, path, 0, limits.INDEXED_TEXT_ITEMS)
    texts: list[IndexedText] = []
    vectors: list[Vector | None] = []
    first: dict[str, int] = {}
    for index, message in enumerate(messages[: limits.INDEXED_TEXT_ITEMS]):
        at = f"{path}[{index}]"
        violations.name(message.path, f"{at}.path", limits.INDEXED_TEXT_PATH_BYTES, what="the path")
        other = first.setdefault(message.path, index)
        if other != index:
            violations.add(f"{at}.path", f"the same path as {path}[{other}]")
        violations.short(message.text, f"{at}.text", limits.TEXT_BYTES)
        vector = None
        if message.text and message.vector:
            violations.add(f"{at}.vector", "is given beside a text; give one of them")
        elif message.vector:
            vector = read_vector(message.vector, f"{at}.vector", violations)
        elif not message.text:
            violations.add(f"{at}.text", "is empty; give a text or a vector")
        texts.append(IndexedText(message.path, message.text, digest_of(vector)))
        vectors.append(vector)
    return tuple(texts), tuple(vectors)


def write_texts(memory: Memory, message: memory_pb2.Memory, *, vectors: bool) -> None:
    """Add to a message the further texts of a memory."""
    for number, each in enumerate(memory.record.content.indexed_texts):
        text = message.indexed_texts.add(path=each.path, text=each.text)
        vector = memory.further[number] if vectors and memory.further else None
        if vector is not None:
            text.vector = packed(vector)
