"""What is asked of every store, to hold the answers against each other."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeAlias

from bench import report
from bench.agreement import Agreement, Reply, Row, name_of, reply_of
from bench.conversations import Conversation, Question

from memplane import AsyncClient, FilterLike, Kind, Mode, Order, attr

LABEL: Final = "locomo"
"""The first label of every namespace; the second is the conversation's name."""
DEPTHS: Final = (10, 20)
DEEP: Final = 60
"""How deep the exact store is asked, so that ties at a border are seen."""
AT_ONCE: Final = 4
PAGE: Final = 200
"""Of a listing; smaller than most conversations, so that pages are turned."""

Ask: TypeAlias = Callable[[AsyncClient, int], Awaitable[Reply]]


@dataclass(frozen=True, slots=True)
class Asked:
    """One question to all stores."""

    text: str
    ask: Ask
    """Takes how many rows are wanted."""


@dataclass(frozen=True, slots=True)
class Case:
    """Questions of one sort."""

    name: str
    depth: int
    """How many rows are compared; 0 means all, of a listing."""
    questions: Sequence[Asked]


def cases(conversations: Sequence[Conversation], *, exact: bool = False) -> list[Case]:
    """All of them.

    Args:
        conversations: What was written.
        exact: Whether stores that answer approximately are asked for exact answers; searches by
            vector alone then.
    """
    pairs = [(each, question) for each in conversations for question in each.questions]
    first, last = DEPTHS

    def case(name: str, depth: int, made: Iterable[Asked]) -> Case:
        return Case(f"{name}, exact" if exact else name, depth, list(made))

    chosen = [
        *(
            case("one conversation", k, (_turns(*pair, exact=exact) for pair in pairs))
            for k in DEPTHS
        ),
        case("no namespace", last, (_everywhere(one, exact=exact) for _, one in pairs)),
        case("@session_id", first, (_session(*pair, exact=exact) for pair in pairs)),
        case("speaker, SEMANTIC", first, (_speaker(*pair, exact=exact) for pair in pairs)),
    ]
    if exact:
        return chosen
    return [
        *chosen,
        case("RECENT", last, (one for each in conversations for one in _recent(each))),
        case("list", 0, (one for each in conversations for one in _lists(each))),
    ]


async def ask_all(
    client: AsyncClient, chosen: Sequence[Case], *, depth: int | None = None
) -> list[list[Reply]]:
    """The replies to all cases, some at a time.

    Args:
        client: The gateway to ask.
        chosen: What to ask.
        depth: How many rows instead of as many as the case says.
    """
    total = sum(len(case.questions) for case in chosen)
    busy = asyncio.Semaphore(AT_ONCE)
    with report.progress("asking, to compare", total) as advance:

        async def one(asked: Asked, rows: int) -> Reply:
            async with busy:
                reply = await asked.ask(client, rows)
            advance()
            return reply

        replies: list[list[Reply]] = []
        for case in chosen:
            rows = case.depth if depth is None else depth
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(one(asked, rows)) for asked in case.questions]
            replies.append([task.result() for task in tasks])
    return replies


def agree(
    chosen: Sequence[Case], expected: Sequence[Sequence[Reply]], found: Sequence[Sequence[Reply]]
) -> list[Agreement]:
    """Holds all replies against those of the exact store."""
    made: list[Agreement] = []
    for case, theirs, ours in zip(chosen, expected, found, strict=True):
        agreement = Agreement(case.name, case.depth)
        for asked, right, reply in zip(case.questions, theirs, ours, strict=True):
            agreement.add(asked.text, right, reply)
        made.append(agreement)
    return made


def _turns(conversation: Conversation, question: Question, *, exact: bool) -> Asked:
    return _search(question, Kind.EPISODIC, (LABEL, conversation.name), exact=exact)


def _everywhere(question: Question, *, exact: bool) -> Asked:
    return _search(question, Kind.EPISODIC, (), exact=exact)


def _session(conversation: Conversation, question: Question, *, exact: bool) -> Asked:
    """Among the turns of the session where the first piece of evidence is."""
    first = min(question.evidence)
    (session,) = {turn.session for turn in conversation.turns if turn.dia_id == first}
    where = attr("@session_id") == session
    return _search(question, Kind.EPISODIC, (LABEL, conversation.name), where, exact=exact)


def _speaker(conversation: Conversation, question: Question, *, exact: bool) -> Asked:
    """Among the observations about the one who is named first, else about anyone else."""
    named = [name for name in conversation.speakers if name in question.text]
    first = next(iter(conversation.speakers))
    where = attr("speaker") == named[0] if named else attr("speaker") != first
    return _search(question, Kind.SEMANTIC, (LABEL, conversation.name), where, exact=exact)


def _search(
    question: Question,
    kind: Kind,
    namespace: Sequence[str],
    where: FilterLike | None = None,
    *,
    exact: bool,
) -> Asked:
    async def ask(client: AsyncClient, rows: int) -> Reply:
        scope = client.scope(*namespace)
        return reply_of(
            await scope.search(
                question.text, kind=kind, mode=Mode.VECTOR, limit=rows, filter=where, exact=exact
            )
        )

    return Asked(question.text, ask)


def _recent(conversation: Conversation) -> Iterator[Asked]:
    """The newest of all, of each session, of each speaker, and before the middle."""
    middle = conversation.turns[len(conversation.turns) // 2].time
    sessions = sorted({turn.session for turn in conversation.turns})
    asked: list[tuple[str, Kind, FilterLike | None, datetime | None]] = [
        ("newest turns", Kind.EPISODIC, None, None),
        ("newest turns before the middle", Kind.EPISODIC, None, middle),
        ("newest observations", Kind.SEMANTIC, None, None),
        *((f"of {one}", Kind.EPISODIC, attr("@session_id") == one, None) for one in sessions),
        *(
            (f"about {one}", Kind.SEMANTIC, attr("speaker") == one, None)
            for one in conversation.speakers
        ),
    ]
    for text, kind, where, end in asked:
        yield Asked(
            f"{conversation.name}: {text}", _newest((LABEL, conversation.name), kind, where, end)
        )


def _newest(
    namespace: Sequence[str], kind: Kind, where: FilterLike | None, end: datetime | None
) -> Ask:
    async def ask(client: AsyncClient, rows: int) -> Reply:
        scope = client.scope(*namespace)
        return reply_of(await scope.recent(rows, kind=kind, filter=where, time_to=end))

    return ask


def _lists(conversation: Conversation) -> Iterator[Asked]:
    """Everything, page by page, in each order, and what lies in one session."""
    session = conversation.turns[-1].session
    for kind, order, descending, where in (
        (Kind.EPISODIC, Order.EVENT_TIME, False, None),
        (Kind.EPISODIC, Order.EVENT_TIME, True, None),
        (Kind.EPISODIC, Order.EVENT_TIME, True, attr("@session_id") == session),
        (Kind.EPISODIC, Order.KEY, False, None),
        (Kind.SEMANTIC, Order.UPDATE_TIME, True, None),
        (Kind.SEMANTIC, Order.KEY, True, attr("speaker") == next(iter(conversation.speakers))),
    ):
        way = "descending" if descending else "ascending"
        text = f"{conversation.name}: {kind.value} by {order.value}, {way}"
        yield Asked(
            text if where is None else f"{text}, {where!r}",
            _walk((LABEL, conversation.name), kind, order, where, descending=descending),
        )


def _walk(
    namespace: Sequence[str],
    kind: Kind,
    order: Order,
    where: FilterLike | None,
    *,
    descending: bool,
) -> Ask:
    async def ask(client: AsyncClient, _rows: int) -> Reply:
        listed = client.scope(*namespace).list(
            kind, filter=where, order=order, descending=descending, page_size=PAGE
        )
        return Reply(tuple([Row(name_of(memory)) async for memory in listed]))

    return ask
