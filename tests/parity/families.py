"""Kinds that the same stores can keep, and Hypothesis strategies for requests about these kinds.

A run is about one family, so that its steps are not spread over kinds that its stores have not got.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from hypothesis import strategies as st
from tests.faults import samples
from tests.faults.hostile import variants
from tests.parity import lifecycle, vectors
from tests.parity import strategies as given
from tests.parity.lifecycle import Forgetting, Merging
from tests.parity.reads import Listing, Search, Survey, Tally
from tests.parity.requests import (
    READERS,
    Change,
    Condition,
    Erasure,
    Hostile,
    Item,
    Name,
    Place,
    Removal,
    Where,
)
from tests.parity.sides import Request
from tests.parity.strategies import brief, of

from memplane import Episode, EpisodeType, Kind, Mode, Order
from memplane.v1 import memory_pb2, search_pb2
from memplane_adapters.conformance import strategies as contract
from memplane_adapters.conformance.memories.helpers import at

_TOGETHER = (
    *[[name for name in given.NAMES if name[1] == ("",)]] * 3,
    [name for name in given.NAMES if name[1] == ("", "a")],
    given.NAMES,
)
"""What atomic batches are about: names of one namespace, and sometimes of many, which is refused."""


_FURTHER: Sequence[tuple[tuple[str, str], ...]] = (
    (),
    (),
    (),
    (("p", "coffee and tea"),),
    (("p", "@east"), ("é", "Bob repaired his bicycle")),
)
"""Further texts of the population."""


def _name_of(part: Item | Change | Removal) -> Name:
    return part.name


def _change(
    name: Name, attributes: Mapping[str, Any], remove: Sequence[str], **more: Any
) -> Change:
    """An update; one that both sets and removes an attribute, which is refused, only sometimes."""
    if "absent" not in remove:
        attributes = {name: value for name, value in attributes.items() if name not in remove}
    return Change(name, attributes=attributes, remove=tuple(remove), **more)


def _own_affairs(message: Any) -> None:
    """Clear what stores may answer each in their own way."""
    for name in ("min_durability", "consistency_token"):
        if name in message.DESCRIPTOR.fields_by_name:
            message.ClearField(name)
    for query in getattr(message, "queries", ()):
        if query.mode == search_pb2.SEARCH_MODE_KEYWORD:  # whose match set is compared
            query.page_size = 1000


def _with_kinds(message: Any) -> Iterator[Any]:
    """The messages in this one, itself included, that say a kind."""
    for each, value in message.ListFields():
        if each.name == "kind":
            yield message
        elif each.message_type is not None and not each.message_type.GetOptions().map_entry:
            for inner in value if each.is_repeated else [value]:
                yield from _with_kinds(inner)


def _some(number: int) -> st.SearchStrategy[list[int]]:
    """Some of the first memories of the population, by their numbers."""
    drawn = st.tuples(*[st.booleans()] * number)
    return brief(drawn.map(lambda bits: [number for number, bit in enumerate(bits) if bit]))


class Family:
    """Kinds, and what is asked about them."""

    def __init__(self, name: str, *kinds: Kind) -> None:
        self.name = name
        self.kinds = kinds
        self.searched = Kind.PROCEDURAL not in kinds
        """Whether its memories have vectors."""
        self._kinds = brief(st.sampled_from(kinds))
        self._names = self._named(given.NAMES)

    def __str__(self) -> str:
        return self.name

    def _named(self, names: Sequence[tuple[str, Place]]) -> st.SearchStrategy[Name]:
        name = of(lambda at, kind: Name(at[0], kind, at[1]), st.sampled_from(names), self._kinds)
        return brief(name)

    # --- writes -------------------------------------------------------------------------------

    @cached_property
    def items(self) -> st.SearchStrategy[list[Item]]:
        """Memories to put."""
        minted = of(Name, st.just(""), self._kinds, given.places)
        return self._items(self._names | self._names | self._names | minted)

    def _items(
        self,
        names: st.SearchStrategy[Name],
        fewest: int = 1,
        conditions: st.SearchStrategy[Condition] = given.conditions,
    ) -> st.SearchStrategy[list[Item]]:
        item = of(
            Item,
            names,
            text=given.texts,
            vector=given.any_vector if self.searched else st.just(""),
            texts=given.further_texts if self.searched else st.just(()),
            attributes=given.attributes,
            value=given.payloads,
            importance=given.importances,
            pinned=st.booleans(),
            episode=given.episodes if self.searched else st.none(),
            ttl=given.ttls,
            condition=conditions,
        )
        return brief(st.lists(item, min_size=fewest, max_size=4, unique_by=_name_of))

    @cached_property
    def changes(self) -> st.SearchStrategy[list[Change]]:
        """Updates."""
        change = of(
            _change,
            self._names,
            text=st.none() | given.texts,
            texts=given.changed_texts if self.searched else st.none(),
            attributes=given.attributes,
            remove=given.removed,
            value=given.payloads,
            importance=given.importances,
            pinned=st.none() | st.booleans(),
            ttl=given.ttls,
            condition=given.change_conditions,
        )
        return brief(st.lists(change, min_size=1, max_size=3, unique_by=_name_of))

    @cached_property
    def removals(self) -> st.SearchStrategy[list[Removal]]:
        """Deletes."""
        return self._removals(self._names)

    def _removals(self, names: st.SearchStrategy[Name]) -> st.SearchStrategy[list[Removal]]:
        removal = of(Removal, names, given.conditions.filter(lambda each: not each.if_absent))
        return brief(st.lists(removal, min_size=1, max_size=3, unique_by=_name_of))

    @cached_property
    def items_together(self) -> st.SearchStrategy[list[Item]]:
        """Memories to put as one."""
        conditions = given.rare_conditions  # one that fails refuses all
        return st.one_of(*(self._items(self._named(names), 2, conditions) for names in _TOGETHER))

    @cached_property
    def removals_together(self) -> st.SearchStrategy[list[Removal]]:
        """Deletes as one."""
        return st.one_of(*(self._removals(self._named(names)) for names in _TOGETHER))

    # --- reads --------------------------------------------------------------------------------

    @cached_property
    def reads(self) -> st.SearchStrategy[list[Name]]:
        """Memories to get."""
        return brief(st.lists(self._names, min_size=1, max_size=6))

    @cached_property
    def _wheres(self) -> st.SearchStrategy[Where]:
        return brief(
            of(
                Where,
                self._kinds,
                st.just(("",)) | st.just(("",)) | given.places,
                st.sampled_from((False, False, True)),
                given.filters,
            )
        )

    @cached_property
    def tallies(self) -> st.SearchStrategy[Tally]:
        """Counts."""
        return brief(of(Tally, self._wheres))

    @cached_property
    def surveys(self) -> st.SearchStrategy[Survey]:
        """Figures and namespaces."""
        depths = st.none() | st.integers(1, 3)
        suffixes = st.sampled_from(((), ("a",), ("*", "*")))
        return brief(of(Survey, self._wheres, depths, suffixes))

    @cached_property
    def erasures(self) -> st.SearchStrategy[Erasure]:
        """Purges; half of them only look, so that there is something left."""
        return brief(of(Erasure, self._wheres, st.booleans()))

    @cached_property
    def forgettings(self) -> st.SearchStrategy[Forgetting]:
        """Forgets."""
        return lifecycle.forgettings(self._wheres)

    @cached_property
    def mergings(self) -> st.SearchStrategy[Merging]:
        """Consolidations."""
        return lifecycle.mergings(self._wheres)

    @cached_property
    def listings(self) -> st.SearchStrategy[Listing]:
        """Walks."""
        return brief(
            of(
                Listing,
                self._wheres,
                st.sampled_from(Order),
                st.booleans(),
                st.sampled_from((0, 2, 3, 7, 1000)),
                st.booleans(),
            )
        )

    @cached_property
    def searches(self) -> st.SearchStrategy[Search]:
        """Searches that the family has."""
        recent = of(
            Search,
            self._wheres,
            st.sampled_from((Mode.RECENT, Mode.AUTO)),
            limit=given.limits,
            window=given.windows,
        )
        if not self.searched:
            return brief(recent)
        modes = st.sampled_from((Mode.VECTOR, Mode.AUTO))
        by_vector = of(
            Search,
            self._wheres,
            modes,
            vector=given.some_vector,
            limit=given.limits,
            min_relevance=given.floors,
            exact=st.booleans(),
            with_vectors=st.booleans(),
            window=given.windows,
        )
        by_text = of(
            Search,
            self._wheres,
            modes,
            text=st.sampled_from(given.QUESTIONS),
            limit=given.limits,
            min_relevance=given.floors,
            exact=st.booleans(),
            window=given.windows,
        )
        by_words = of(
            Search,
            self._wheres,
            st.sampled_from((Mode.KEYWORD, Mode.HYBRID)),
            text=st.sampled_from(given.QUESTIONS),
            limit=st.just(1000),  # of words the match set is compared, which a limit would cut
            window=given.windows,
            importance_weight=st.sampled_from((0.0, 0.0, 0.5)),
        )
        return brief(st.one_of(by_vector, by_text, by_words, recent, self._reranked))

    @cached_property
    def _reranked(self) -> st.SearchStrategy[Search]:
        """Searches by vector whose hits the gateway ranks anew, and such by another memory's."""
        questions = (
            {"vector": given.some_vector},
            {"text": st.sampled_from(given.QUESTIONS)},
            {"like": self._names},
        )
        weighed = [
            of(
                Search,
                self._wheres,
                st.just(Mode.VECTOR),
                limit=given.limits,
                min_relevance=given.floors,
                half_life=st.sampled_from((None, 60.0, 3600.0)),
                importance_weight=st.sampled_from((0.0, 0.3, 1.0)),
                exact=st.booleans(),
                **question,
            )
            for question in questions
        ]
        # A limit would cut what the order decides, which is not compared.
        diverse = of(
            Search,
            self._wheres,
            st.just(Mode.VECTOR),
            vector=given.some_vector,
            limit=st.just(1000),
            diversity=st.sampled_from((0.3, 1.0)),
            half_life=st.sampled_from((None, 3600.0)),
        )
        return st.one_of(*weighed, diverse)

    # --- what is refused ----------------------------------------------------------------------

    @cached_property
    def hostile(self) -> st.SearchStrategy[Request]:
        """What may be wrong."""
        searches = of(
            Search,
            self._wheres,
            st.sampled_from(Mode).filter(lambda mode: mode not in (Mode.UNKNOWN, Mode.KEYWORD)),
            text=st.sampled_from((None, "", "tea")),
            vector=st.sampled_from(("", "north", *vectors.BAD)),
            limit=st.sampled_from((-1, 0, 1001, 2**31 - 1)),
            min_relevance=st.sampled_from((None, -0.1, 1.1)),
        )
        return brief(
            st.one_of(searches, st.deferred(lambda: st.sampled_from(self._wrong_messages)))
        )

    @cached_property
    def _wrong_messages(self) -> Sequence[Hostile]:
        """Good messages with one thing wrong, in an order without meaning."""
        made = []
        for method, good in samples.requests().items():
            if method in READERS:
                for message in variants(self._of_these_kinds(good)):
                    _own_affairs(message)
                    made.append(Hostile(method, message))
        random.Random(20260103).shuffle(made)
        return made

    def _of_these_kinds(self, good: Sequence[Any]) -> Any:
        """The first message about this family; where there is none, the first with its kind."""
        numbers = [memory_pb2.Kind.Value(f"KIND_{kind.name}") for kind in self.kinds]
        for message in good:
            if {each.kind for each in _with_kinds(message)} <= set(numbers):
                return message
        made = type(good[0])()
        made.CopyFrom(good[0])
        for each in _with_kinds(made):
            each.kind = numbers[0]
        return made

    # --- what an example begins with ----------------------------------------------------------

    @cached_property
    def population(self) -> Sequence[Item]:
        """A memory of each name and kind, of every shape, always the same ones."""
        chance = random.Random(20260104)
        names = [Name(key, kind, place) for key, place in given.NAMES for kind in self.kinds]
        chance.shuffle(names)
        shapes = contract.population(len(names))
        return [self._one(chance, *both) for both in zip(names, shapes, strict=True)]

    def _one(self, chance: random.Random, name: Name, fields: Mapping[str, Any]) -> Item:
        return Item(
            name,
            text=chance.choice(given.TEXTS),
            vector=chance.choice(("", "", *vectors.GOOD)) if self.searched else "",
            texts=chance.choice(_FURTHER) if self.searched else (),
            attributes={name: value for name, value in fields.items() if not name.startswith("@")},
            importance=chance.choice((None, 0.0, 0.5, 1.0)),
            pinned=chance.random() < 0.3,
            episode=Episode(
                type=chance.choice(list(EpisodeType)),
                event_time=at(chance.randrange(4)),
                session_id=chance.choice(("", "s-1", "S-1")),
                agent_id=chance.choice(("", "a")),
            ),
        )

    @cached_property
    def beginnings(self) -> st.SearchStrategy[list[int]]:
        """Some of the population, by their numbers."""
        return _some(len(self.population))

    small_beginnings = _some(12)
    """Which are shrunk sooner."""


VECTORS = Family("vectors", Kind.SEMANTIC, Kind.EPISODIC)
KEY_VALUES = Family("key-values", Kind.PROCEDURAL)
FAMILIES = (VECTORS, KEY_VALUES)
