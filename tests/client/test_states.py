"""The state of a workflow, against a real gateway, with writers that compete for it."""

from __future__ import annotations

import asyncio
import pickle
import threading
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any

import grpc
import pytest

import memplane
from memplane import AsyncClient, Client, Outcome, Scope, State, StateConflict

from .conftest import FakeGateway
from .resending import AsyncResending, Resending

WRITERS = 20
ROUNDS = 5


def bump(state: dict[str, Any]) -> int:
    """Count by one."""
    state["count"] = state.get("count", 0) + 1
    return int(state["count"])


def race(
    ours: State, mine: Callable[[dict[str, Any]], object], theirs: Callable[[], object]
) -> None:
    """A block of ours in which another writer is first."""
    with ours as state:
        mine(state)
        theirs()


def labels() -> tuple[str, str]:
    """A namespace of a test's own."""
    return "states", uuid.uuid4().hex


@pytest.fixture
def ada(served: str) -> Iterator[Scope]:
    with Client(served) as client:
        yield client.scope(*labels())


@pytest.fixture
def bob(served: str, ada: Scope) -> Iterator[Scope]:
    """The same namespace through another client."""
    with Client(served) as client:
        yield client.scope(*ada.namespace)


def etag(scope: Scope, key: str) -> str | None:
    memory = scope.get("procedural", key)
    return memory.etag if memory is not None else None


def test_a_block_reads_changes_and_writes(ada: Scope) -> None:
    checkout = ada.state("checkout")
    with checkout as state:
        assert state == {}
        state["step"] = 3
        state["cart"] = [{"sku": "tea", "n": 1}]
    assert checkout.result is not None
    assert (checkout.result.outcome, checkout.result.ref) == (Outcome.CREATED, checkout.ref)
    with ada.state("checkout") as state:
        assert state == {"step": 3, "cart": [{"sku": "tea", "n": 1}]}
        state["cart"][0]["n"] = 2  # deep inside
        del state["step"]
    assert (
        ada.value("checkout") == ada.state("checkout").value() == {"cart": [{"sku": "tea", "n": 2}]}
    )
    assert repr(checkout) == f"<State procedural:{list(ada.namespace)!r}/'checkout'>"


def test_nothing_is_written_when_nothing_has_changed(ada: Scope) -> None:
    with ada.state("never") as state:
        assert state == {}
    assert ada.get("procedural", "never") is None
    ada.set("there", {"a": [1, {"b": None}]})
    before = etag(ada, "there")
    there = ada.state("there")
    with there as state:
        state["a"].append(2)
        state["a"].pop()
    assert (there.result, etag(ada, "there")) == (None, before)


@pytest.mark.parametrize(
    ("before", "after"),
    [(1, True), (1, 1.0), (0.0, -0.0), (False, 0), ("1", 1), (None, []), ("a", b"a"), ([], {})],
)
def test_what_python_takes_for_equal_is_noticed(ada: Scope, before: Any, after: Any) -> None:
    ada.set("typed", {"deep": [before]})
    with ada.state("typed") as state:
        state["deep"][0] = after
    assert repr(ada.value("typed")) == repr({"deep": [after]})


def test_nothing_is_written_when_the_block_raises(ada: Scope) -> None:
    ada.set("checkout", {"step": 1})
    before = etag(ada, "checkout")
    with pytest.raises(ZeroDivisionError):
        race(ada.state("checkout"), lambda state: state.update(step=2), lambda: 1 / 0)
    assert etag(ada, "checkout") == before
    with pytest.raises(ZeroDivisionError):
        ada.state("checkout").update(lambda state: state.update(step=1 / 0))
    assert etag(ada, "checkout") == before


def test_what_else_the_memory_has_stays(ada: Scope) -> None:
    ada.set(
        "kept", {"n": 1}, text="a text", attributes={"a": 1}, importance=0.5, pinned=True, ttl=600
    )
    with ada.state("kept") as state:
        state["n"] = 2
    memory = ada.get("procedural", "kept")
    assert memory is not None
    assert memory.value == {"n": 2}
    assert (memory.text, memory.attributes) == ("a text", {"a": 1})
    assert (memory.importance, memory.pinned) == (0.5, True)
    assert memory.expire_time is not None
    # A memory without a value has an empty state.
    ada.put("procedural", "bare", attributes={"a": 1})
    with ada.state("bare") as state:
        assert state == {}
        state["n"] = 1
    memory = ada.get("procedural", "bare")
    assert memory is not None
    assert (memory.value, memory.attributes) == ({"n": 1}, {"a": 1})


def test_time_to_live(ada: Scope) -> None:
    day = timedelta(days=1)
    created = ada.state("short", ttl=day).update(bump).result
    assert created is not None
    assert created.expire_time is not None
    assert created.update_time is not None
    assert abs(created.expire_time - created.update_time - day) < timedelta(seconds=1)
    kept = ada.state("short").update(bump).result
    assert kept is not None
    assert kept.expire_time == created.expire_time
    with ada.state("short", ttl=0) as state:
        state["for"] = "ever"
    memory = ada.get("procedural", "short")
    assert memory is not None
    assert memory.expire_time is None


def test_different_names_are_merged(ada: Scope, bob: Scope) -> None:
    ada.set("plan", {"ada": 1, "bob": 1, "old": 1})
    plan = ada.state("plan")
    with plan as state:
        state["ada"] = 2
        state["new"] = {"deep": True}
        del state["old"]
        with bob.state("plan") as other:
            other["bob"] = 2
    assert bob.value("plan") == {"ada": 2, "bob": 2, "new": {"deep": True}}
    assert plan.result is not None
    assert plan.result.etag == etag(ada, "plan")
    # Both made it.
    with ada.state("born") as state, bob.state("born") as other:
        state["ada"] = 1
        other["bob"] = 1
    assert ada.value("born") == {"ada": 1, "bob": 1}
    # Another writer changed something else than the value.
    with ada.state("plan") as state:
        bob.update("procedural", "plan", attributes={"a": 1})
        state["ada"] = 3
    memory = ada.get("procedural", "plan")
    assert memory is not None
    assert (memory.value["ada"], memory.attributes) == (3, {"a": 1})


def test_the_same_name_is_a_conflict(ada: Scope, bob: Scope) -> None:
    ada.set("visits", {"count": 1, "rest": 0})

    def mine(state: dict[str, Any]) -> None:
        state["count"] += 1
        state["rest"] = 1

    with pytest.raises(StateConflict, match="both touched 'count'; run the block again") as caught:
        race(ada.state("visits"), mine, lambda: bob.state("visits").update(bump))
    # Both have counted to 2: to take that for the same change would lose one.
    error = caught.value
    assert bob.value("visits") == {"count": 2, "rest": 0}
    assert error.keys == ("count",)
    assert (error.base, error.mine) == ({"count": 1, "rest": 0}, {"count": 2, "rest": 1})
    assert error.theirs == {"count": 2, "rest": 0}
    assert isinstance(error, memplane.Aborted)
    assert (error.code, error.reason) == ("ABORTED", "ETAG_MISMATCH")
    assert error.metadata == {"etag": etag(ada, "visits")}
    assert isinstance(error.__cause__, memplane.Aborted)
    twin = pickle.loads(pickle.dumps(error))
    assert (twin.keys, twin.mine, twin.theirs) == (error.keys, error.mine, error.theirs)
    assert (twin.base, twin.message, twin.details()) == (error.base, error.message, error.details())


def test_a_state_that_is_gone_is_a_conflict(ada: Scope, bob: Scope) -> None:
    merges: list[Any] = ["keys", "never", lambda base, mine, theirs: mine]
    for merge in merges:
        ada.set("gone", {"count": 1})
        gone = ada.state("gone", merge=merge)
        with pytest.raises(
            StateConflict, match="is gone: it was deleted, or has expired"
        ) as caught:
            race(gone, lambda state: state.update(b=1), lambda: bob.delete("procedural", "gone"))
        assert (caught.value.theirs, caught.value.metadata) == (None, {})
        assert ada.get("procedural", "gone") is None
    ada.set("gone", {"count": 7})

    def change(state: dict[str, Any]) -> None:
        bob.delete("procedural", "gone")
        bump(state)

    done = ada.state("gone").update(change)
    assert (done.value, done.attempts) == ({"count": 1}, 2)


def test_merging_as_the_caller_says(ada: Scope, bob: Scope) -> None:
    def add_up(
        base: dict[str, Any], mine: dict[str, Any], theirs: dict[str, Any]
    ) -> dict[str, Any]:
        return {"count": mine["count"] + theirs["count"] - base["count"]}

    def once_more() -> None:
        bob.state("visits").update(bump)

    ada.set("visits", {"count": 5})
    race(ada.state("visits", merge=add_up), lambda state: state.update(count=15), once_more)
    assert ada.value("visits") == {"count": 16}
    # A merge that comes to what is there needs no write.
    yielding = ada.state("visits", merge=lambda base, mine, theirs: theirs)
    race(yielding, lambda state: state.update(count=0), once_more)
    assert (yielding.result, ada.value("visits")) == (None, {"count": 17})
    with pytest.raises(StateConflict, match="update") as caught:
        race(ada.state("visits", merge="never"), lambda state: state.update(b=1), once_more)
    assert caught.value.keys == ()
    wrong: Any = {"merge": lambda base, mine, theirs: None}
    with pytest.raises(memplane.InvalidArgument, match="merge: must be a mapping"):
        race(ada.state("visits", **wrong), lambda state: state.update(b=1), once_more)
    assert ada.value("visits") == {"count": 19}


def test_update_runs_again(ada: Scope, bob: Scope) -> None:
    seen: list[int] = []

    def change(state: dict[str, Any]) -> str:
        seen.append(state.get("count", 0))
        if len(seen) < 4:
            bob.state("visits").update(bump)
        bump(state)
        return f"try {len(seen)}"

    done = ada.state("visits").update(change)
    assert (done.value, done.attempts, done.returned) == ({"count": 4}, 4, "try 4")
    assert seen == [0, 1, 2, 3]
    assert done.result is not None
    assert done.result.outcome is Outcome.UPDATED
    unchanged = ada.state("visits").update(lambda state: state["count"])
    assert (unchanged.result, unchanged.returned, unchanged.attempts) == (None, 4, 1)

    def hopeless(state: dict[str, Any]) -> None:
        bob.state("visits").update(bump)
        bump(state)

    with pytest.raises(StateConflict, match="in each of 3 tries") as caught:
        ada.state("visits").update(hopeless, attempts=3)
    assert caught.value.keys == ("count",)
    assert ada.value("visits") == {"count": 7}
    for attempts in (0, -1, True, 1.5):
        with pytest.raises(memplane.InvalidArgument, match="attempts"):
            ada.state("visits").update(bump, attempts=attempts)  # type: ignore[arg-type]


def test_a_decorator(ada: Scope) -> None:
    @ada.state("visits").updating
    def visit(state: dict[str, Any], by: int, *, name: str = "") -> int:
        """A visit."""
        state["count"] = state.get("count", 0) + by
        state["name"] = name
        return int(state["count"])

    assert (visit.__name__, visit.__doc__) == ("visit", "A visit.")
    visit(2)
    assert visit(3, name="ada").returned == 5
    assert ada.value("visits") == {"count": 5, "name": "ada"}


def test_writers_that_compete_lose_nothing(served: str) -> None:
    place = labels()
    with Client(served) as one, Client(served) as other:
        start = threading.Barrier(WRITERS)
        counted: list[int] = []
        tries: list[int] = []

        def write(client: Client) -> None:
            state = client.state(place, "visits")
            start.wait()
            for _ in range(ROUNDS):
                done = state.update(bump)
                counted.append(done.returned)
                tries.append(done.attempts)

        threads = [
            threading.Thread(target=write, args=((one, other)[number % 2],))
            for number in range(WRITERS)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        # No number was given to two, and none was left out.
        assert sorted(counted) == list(range(1, WRITERS * ROUNDS + 1))
        assert one.state(place, "visits").value() == {"count": WRITERS * ROUNDS}
        assert max(tries) > 1, "they never met"


async def test_async_writers_that_compete_lose_nothing(served: str) -> None:
    place = labels()
    async with AsyncClient(served) as one, AsyncClient(served) as other:

        async def later(state: dict[str, Any]) -> int:
            await asyncio.sleep(0)
            return bump(state)

        async def write(client: AsyncClient) -> list[int]:
            state = client.state(place, "visits")
            return [(await state.update(later)).returned for _ in range(ROUNDS)]

        counted = await asyncio.gather(
            *(write((one, other)[number % 2]) for number in range(WRITERS))
        )
        assert sorted(chain(*counted)) == list(range(1, WRITERS * ROUNDS + 1))


async def test_async_blocks(served: str) -> None:
    async with AsyncClient(served) as client:
        ada = client.scope(*labels())
        async with ada.state("checkout") as state:
            state["step"] = {"n": 1}
        async with ada.state("checkout") as state:
            state["step"]["n"] += 1
        assert await ada.value("checkout") == {"step": {"n": 2}}
        assert await ada.state("checkout").value() == {"step": {"n": 2}}

        async def race(end: BaseException | None) -> None:
            async with ada.state("checkout") as state:
                state["step"] = 0
                if end is not None:
                    raise end
                await ada.state("checkout").update(lambda other: other.update(step=1))

        with pytest.raises(StateConflict):
            await race(None)
        with pytest.raises(asyncio.CancelledError):
            await race(asyncio.CancelledError())
        assert await ada.value("checkout") == {"step": 1}

        @ada.state("checkout").updating
        async def advance(state: dict[str, Any], by: int) -> None:
            state["step"] += by

        assert (await advance(4)).value == {"step": 5}


def test_an_answer_that_gets_lost_does_not_count_twice(served: str) -> None:
    transport = Resending(served)
    with Client(transport=transport) as client:
        ada = client.scope(*labels())
        created, updated = (ada.state("visits").update(bump) for _ in range(2))
        assert (updated.value, ada.value("visits")) == ({"count": 2}, {"count": 2})
        assert (created.attempts, updated.attempts) == (1, 1)
        for done in (created, updated):
            assert done.result is not None
            assert (done.result.ok, done.result.replayed, done.result.ref.key) == (
                True,
                True,
                "visits",
            )
        assert updated.result is not None
        assert updated.result.etag == etag(ada, "visits")
        with ada.state("visits") as state:
            bump(state)
        assert ada.value("visits") == {"count": 3}
    transport.close()


async def test_an_answer_that_gets_lost_does_not_count_twice_async(served: str) -> None:
    transport = AsyncResending(served)
    async with AsyncClient(transport=transport) as client:
        state = client.state(labels(), "visits")
        for number in (1, 2, 3):
            assert (await state.update(bump)).value == {"count": number}
    await transport.close()


def test_what_is_still_under_way_is_asked_again(gateway: FakeGateway) -> None:
    with Client(gateway.target) as client:
        gateway.faults.append(lambda context: None)
        gateway.fail(grpc.StatusCode.ABORTED, grpc.StatusCode.ABORTED)
        assert client.state("visits").update(bump).value == {"count": 1}
    read, *writes = gateway.requests
    assert len(writes) == 3
    assert writes[0] == writes[1] == writes[2]
    assert read.refs[0].key == writes[0].puts[0].memory.ref.key == "visits"


def test_a_failure_is_no_conflict(gateway: FakeGateway) -> None:
    with Client(gateway.target) as client:
        gateway.fail(grpc.StatusCode.PERMISSION_DENIED)
        with pytest.raises(memplane.PermissionDenied), client.state("visits"):
            pytest.fail("the block ran without a state")
        gateway.faults.append(lambda context: None)
        gateway.fail(grpc.StatusCode.DEADLINE_EXCEEDED)
        with pytest.raises(memplane.DeadlineExceeded) as caught, client.state("visits") as state:
            bump(state)
        assert caught.value.ambiguous
        assert len(gateway.requests) == 3


def test_what_is_no_state(ada: Scope) -> None:
    for value in ([1], None, "text"):
        ada.set("odd", value)
        with pytest.raises(memplane.InvalidArgument, match="no map, so it is no state"):
            ada.state("odd").value()
    naive = datetime(2026, 1, 1)  # noqa: DTZ001 (what is to be refused)
    states: list[Any] = [{1: 2}, {"a": {1, 2}}, {"a": float("nan")}, {"a": naive}]
    for wrong in states:
        with pytest.raises(memplane.InvalidArgument, match="state"), ada.state("s") as state:
            state.update(wrong)
    assert ada.get("procedural", "s") is None
    with ada.state("s") as state:
        state["when"] = datetime(2026, 1, 1, tzinfo=UTC)
        state["blob"] = (b"\0", 2**53 + 1)
    assert ada.value("s") == {"when": datetime(2026, 1, 1, tzinfo=UTC), "blob": [b"\0", 2**53 + 1]}


def test_what_is_asked_in_a_wrong_way(ada: Scope, gateway: FakeGateway) -> None:
    with pytest.raises(memplane.InvalidArgument, match="key: is empty"):
        ada.state("")
    with Client("h:1") as client, pytest.raises(memplane.InvalidArgument, match="key: is empty"):
        client.state(("a",), "")
    wrong: Any = ada
    merges: list[Any] = ["key", None, []]
    for merge in merges:
        with pytest.raises(memplane.InvalidArgument, match="merge"):
            wrong.state("k", merge=merge)

    async def change(state: dict[str, Any]) -> None:
        raise AssertionError

    with pytest.raises(memplane.InvalidArgument, match="change: is an async function"):
        ada.state("k").update(change)
    twice = ada.state("k")
    with twice, pytest.raises(RuntimeError, match="make one for each block"), twice:
        pass
    with twice as state:  # one after the other is fine
        bump(state)
    assert ada.value("k") == {"count": 1}


def test_namespaces(served: str) -> None:
    with Client(served) as client:
        place = labels()
        key = uuid.uuid4().hex
        states: list[State] = [
            client.state(place, key),
            client.state(namespace=place, key=key),
            client.scope(*place).state(key),
            client.scope(place[0]).scope(place[1]).state(key=key),
        ]
        assert {state.ref for state in states} == {client.scope(*place).ref("procedural", key)}
        assert client.state(key).ref == client.state(key=key).ref == client.ref("procedural", key)
        with pytest.raises(memplane.InvalidArgument, match="namespace: must be a sequence"):
            client.state("letters", key)
