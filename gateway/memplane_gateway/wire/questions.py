"""What makes two requests the same question."""

from __future__ import annotations

import hashlib

from google.protobuf.message import Message


def question_hash(rpc: str, message: Message, *without: str) -> bytes:
    """The rpc and a hash of a request, without the fields that may differ."""
    question = type(message)()
    question.CopyFrom(message)
    for field in without:
        question.ClearField(field)
    encoded = question.SerializeToString(deterministic=True)
    return rpc.encode() + b"\0" + hashlib.blake2b(encoded, digest_size=16).digest()
