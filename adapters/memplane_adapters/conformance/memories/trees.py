"""Filters of the contract as a client writes them, and memories as the oracle sees them."""

from __future__ import annotations

import operator
import random
from collections.abc import Callable
from functools import reduce
from typing import Any

from memplane import (
    AsyncScope,
    Attribute,
    Episode,
    EpisodeType,
    Expression,
    Kind,
    Memory,
    Put,
    Ref,
    attr,
)
from memplane_adapters.conformance.memories.helpers import at
from memplane_adapters.conformance.strategies import population
from memplane_adapters.contract import All, Condition, Fields, Filter, Negation, Op, Value


def expression(tree: Filter) -> Expression:
    """What a caller writes for a tree. A list of parts that is empty has no form on the wire."""
    if isinstance(tree, Condition):
        return _condition(tree)
    if isinstance(tree, Negation):
        return ~expression(tree.part)
    if not tree.parts:
        return attr("@key").exists(isinstance(tree, All))
    parts = [expression(part) for part in tree.parts]
    if isinstance(tree, All):
        return reduce(lambda left, right: left & right, parts)
    return reduce(lambda left, right: left | right, parts)


def _condition(condition: Condition) -> Expression:
    attribute = attr(list(condition.path))
    operand: Any = condition.operand
    if condition.op in (Op.EXISTS, Op.IS_NULL):
        operand = operand is not False
    made: Expression = _WRITTEN[condition.op](attribute, operand)
    return made


_WRITTEN: dict[Op, Callable[[Any, Any], Any]] = {
    Op.EQ: operator.eq,
    Op.NE: operator.ne,
    Op.GT: operator.gt,
    Op.GTE: operator.ge,
    Op.LT: operator.lt,
    Op.LTE: operator.le,
    Op.IN: Attribute.is_in,
    Op.NOT_IN: Attribute.not_in,
    Op.CONTAINS: Attribute.contains,
    Op.CONTAINS_ANY: Attribute.contains_any,
    Op.CONTAINS_ALL: Attribute.contains_all,
    Op.STARTS_WITH: Attribute.starts_with,
    Op.EXISTS: Attribute.exists,
    Op.IS_NULL: Attribute.is_null,
}


def seen_by_filters(memory: Memory) -> Fields:
    """What a filter sees of a memory that was read, by the contract and not by the gateway."""
    fields: dict[str, Value] = dict(memory.attributes)
    fields["@key"] = memory.key
    fields["@create_time"] = memory.create_time
    fields["@update_time"] = memory.update_time
    fields["@pinned"] = memory.pinned
    if memory.importance is not None:
        fields["@importance"] = memory.importance
    if memory.episode is not None:
        fields["@event_time"] = memory.episode.event_time
        fields["@episode_type"] = memory.episode.type.value
        if memory.episode.session_id:
            fields["@session_id"] = memory.episode.session_id
        if memory.episode.agent_id:
            fields["@agent_id"] = memory.episode.agent_id
    return fields


ROOMS = ("0", "1", "2")


def peopled(space: AsyncScope, kind: Kind, rows: int = 60, vector: Any = None) -> list[Put]:
    """Memories of every shape, always the same ones, in three rooms; `vector` is that of all."""
    chance = random.Random(20260102)
    puts = []
    for number, fields in enumerate(population(rows)):
        episode = None
        if kind is Kind.EPISODIC:
            episode = Episode(
                type=chance.choice(list(EpisodeType)),
                event_time=at(chance.randrange(3)),
                session_id=chance.choice(["", "s-1", "S-1"]),
                agent_id=chance.choice(["", "a"]),
            )
        puts.append(
            Put(
                Ref(kind, (*space.namespace, ROOMS[number % len(ROOMS)]), f"m{number:03}"),
                attributes={n: v for n, v in fields.items() if not n.startswith("@")},
                importance=chance.choice([None, 0.0, 0.5, 1.0]),
                pinned=chance.random() < 0.3,
                episode=episode,
                vector=vector,
            )
        )
    return puts
