"""SIGKILL in the midst of sweeps: what is left in the end is what the policy keeps, to the row."""

from __future__ import annotations

import json
import os
import random
import time
from pathlib import Path

from tests.faults.figures import say
from tests.faults.process import Gateway, until
from tests.thorough import THOROUGH

from memplane import Client, Kind, Put, Ref, SweepCause, SweepRule

ROUNDS = int(os.environ.get("MEMPLANE_TEST_KILL_ROUNDS", "15" if THOROUGH else "3"))
SEED = int(os.environ.get("MEMPLANE_TEST_SEED", "0")) or random.SystemRandom().getrandbits(32)
USERS = [f"user-{number:02}" for number in range(25)]
CAP = 5
MORE = 15
KIND = Kind.SEMANTIC
POLICY = {"kind": KIND, "namespace": ["chat", "*"], "max_items": CAP}
RULE = SweepRule(KIND, SweepCause.MAX_ITEMS, ("chat", "*"))


def gateway_in(root: Path, interval: float) -> Gateway:
    """A gateway that sweeps all the time, or not by itself; in slices of a few rows."""
    return Gateway(
        root,
        environ={
            "MEMPLANE_RETENTION": json.dumps([POLICY]),
            "MEMPLANE_SWEEP__INTERVAL_SECONDS": str(interval),
            "MEMPLANE_SWEEP__GRACE_SECONDS": "0",
            "MEMPLANE_SCAN_BUDGET": "25",
        },
    )


def test_kill_while_sweeping(place: Path) -> None:
    """Each round writes while the gateway sweeps, and kills it once something has gone."""
    say(f"MEMPLANE_TEST_SEED={SEED}")
    chance = random.Random(SEED)
    left = []
    for number in range(ROUNDS):
        with gateway_in(place, 0.02) as gateway, Client(gateway.address) as client:
            if not number:
                client.put(Ref(KIND, ("chat", USERS[0]), "0-pinned"), text="kept", pinned=True)
            _write(client, number)
            before = len(USERS) * (CAP + MORE)
            until(lambda count=client.count, most=before: count(KIND) < most, 30, "a sweep")  # type: ignore[misc]
            time.sleep(chance.random() * 0.05)  # not to wait, but to hit any moment
            left.append(client.count(KIND))
            gateway.kill()
    with gateway_in(place, 0) as gateway, Client(gateway.address) as client:
        left.append(client.count(KIND))
        done = client.sweep()
        assert not done.failures
        for user in USERS:
            newest = [f"{n:06}" for n in range(ROUNDS * MORE)][-CAP:]
            if user == USERS[0]:
                newest = ["0-pinned", *newest[1:]]
            listed = client.scope("chat", user).list(KIND, page_size=1000)
            assert [memory.key for memory in listed] == newest
        keep = len(USERS) * CAP
        assert done.counts[RULE] == left[-1] - keep
        assert client.status()[KIND].rows == keep, "what has expired is gone"
        assert client.sweep().count == 0
        assert gateway.stop() == 0
        assert "bug in" not in gateway.log
    say(f"{ROUNDS} kills of sweeps, which left {left} memories of which {keep} are to be kept")


def _write(client: Client, number: int) -> None:
    """The next memories of everybody, and as many that have expired."""
    keys = [f"{n:06}" for n in range(number * MORE, (number + 1) * MORE)]
    puts = [Put(Ref(KIND, ("chat", user), key), text=key) for key in keys for user in USERS]
    puts += [
        Put(Ref(KIND, ("gone", user), key), text=key, ttl=0.001) for key in keys for user in USERS
    ]
    for begin in range(0, len(puts), 250):
        client.put_many(puts[begin : begin + 250]).raise_for_error()
