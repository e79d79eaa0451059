"""Models of a few kilobytes in the form that fastembed loads: ONNX, written by hand, with random weights.

A text's vector is the mean of its words' vectors, so texts with the same words have the same vector.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

WORDS = ("[PAD]", "[UNK]", *(f"w{number}" for number in range(30)), "tea", "coffee", "morning")
_FLOAT, _INT64 = 1, 7


def write_bge(directory: Path, dimension: int = 384, *, weights: float = 1.0) -> Path:
    """Files for BAAI/bge-small-en-v1.5, which takes the first token's or one vector a text."""
    nodes = [
        _node("Gather", ["weights", "input_ids"], "words"),
        _node("ReduceMean", ["words"], "out", axes=[1], keepdims=0),
    ]
    return _write(directory / "model_optimized.onnx", dimension, weights, nodes)


def write_jina(directory: Path) -> Path:
    """Files for jinaai/jina-embeddings-v3, which is told what a text is for."""
    nodes = [
        _node("Gather", ["weights", "input_ids"], "words"),
        _node("Gather", ["weights", "task_id"], "task"),
        _node("Add", ["words", "task"], "out"),
    ]
    return _write(directory / "onnx" / "model.onnx", 1024, 1.0, nodes, inputs=["task_id"])


def _write(
    file: Path, dimension: int, weights: float, nodes: Sequence[bytes], inputs: Sequence[str] = ()
) -> Path:
    file.parent.mkdir(parents=True)
    numbers = np.random.default_rng(7).normal(size=(len(WORDS), dimension)) * weights
    numbers[0] = 0.0  # padding
    graph = b"".join(
        (
            *(_field(1, node) for node in nodes),
            _text(2, "tiny"),
            _field(5, _tensor("weights", numbers.astype("<f4"))),
            _field(11, _value("input_ids", _INT64, ("batch", "words"))),
            *(_field(11, _value(name, _INT64, ())) for name in inputs),
            _field(12, _value("out", _FLOAT, None)),
        )
    )
    file.write_bytes(_number(1, 8) + _field(7, graph) + _field(8, _number(2, 13)))
    root = file.parent.parent if inputs else file.parent
    tokenizer = {
        "version": "1.0",
        "added_tokens": [],
        "normalizer": {"type": "Lowercase"},
        "pre_tokenizer": {"type": "Whitespace"},
        "model": {
            "type": "WordLevel",
            "vocab": {word: number for number, word in enumerate(WORDS)},
            "unk_token": "[UNK]",
        },
    }
    (root / "tokenizer.json").write_text(json.dumps(tokenizer))
    limits = {"model_max_length": 512, "pad_token": "[PAD]"}
    (root / "tokenizer_config.json").write_text(json.dumps(limits))
    return root


# --- protocol buffers, as ONNX lays them out ----------------------------------------------------


def _varint(number: int) -> bytes:
    made = bytearray()
    while number > 127:
        made.append(number & 127 | 128)
        number >>= 7
    return bytes([*made, number])


def _number(field: int, number: int) -> bytes:
    return _varint(field << 3) + _varint(number)


def _field(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _text(field: int, text: str) -> bytes:
    return _field(field, text.encode())


def _node(
    operator: str, inputs: Iterable[str], output: str, **attributes: int | list[int]
) -> bytes:
    parts = [_text(1, name) for name in inputs] + [_text(2, output), _text(4, operator)]
    for name, value in attributes.items():
        if isinstance(value, list):
            content = b"".join(_number(8, each) for each in value) + _number(20, 7)
        else:
            content = _number(3, value) + _number(20, 2)
        parts.append(_field(5, _text(1, name) + content))
    return b"".join(parts)


def _tensor(name: str, numbers: npt.NDArray[np.float32]) -> bytes:
    shape = b"".join(_number(1, size) for size in numbers.shape)
    return shape + _number(2, _FLOAT) + _text(8, name) + _field(9, numbers.tobytes())


def _value(name: str, element: int, shape: Sequence[str] | None) -> bytes:
    tensor = _number(1, element)
    if shape is not None:
        tensor += _field(2, b"".join(_field(1, _text(2, size)) for size in shape))
    return _text(1, name) + _field(2, _field(1, tensor))
