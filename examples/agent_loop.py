"""An agent loop with three kinds of memory, and no LLM: what would be its answers is scripted.

python examples/agent_loop.py [DIRECTORY]    (again with the same directory: it still knows)
"""

from __future__ import annotations

import sys
import tempfile

import memplane

SCRIPT = (
    # What the user says, and what a model would make of it: a fact to keep, if there is one.
    ("Hello, I am Nora and I ride a cargo bike.", ("bike", "Nora rides a cargo bike")),
    ("Please send text messages, I never hear the phone.", ("contact", "Nora wants text messages")),
    ("Which bike do I ride?", None),
    ("Calls or text messages?", None),
)


def answer(agent: memplane.Scope, talk: memplane.Session, said: str) -> str:
    """One turn: look up what is known, answer by the instructions, and keep what happened."""
    rules = agent.value("instructions")  # PROCEDURAL: how to behave
    known = agent.search(said, limit=1) if said.endswith("?") else ()  # SEMANTIC: what is true
    facts = [hit.memory.text for hit in known]
    reply = f"{rules['greeting']} {facts[0] if facts else 'Noted.'}"
    talk.append(said, actor="user")  # EPISODIC: what happened
    talk.append(reply, actor="agent", attributes={"facts": len(facts)})
    return reply


def run(directory: str) -> None:
    """A visit: greets, goes through the script, and shows what is remembered."""
    with memplane.local(directory) as client:
        agent = client.scope("bike-shop", "nora")
        agent.set("instructions", {"greeting": "Sure!"})
        visit = (agent.value("visits") or 0) + 1
        agent.set("visits", visit)
        talk = agent.session(f"visit-{visit}", agent_id="shop")
        for said, fact in SCRIPT:
            print(f"user:  {said}")
            print(f"agent: {answer(agent, talk, said)}")
            if fact is not None:
                key, text = fact
                agent.remember(text, key=key)  # under a key: said again, it is the same fact
        print(f"visit {visit}: {agent.count()} facts, {talk.count()} turns, the last ones:")
        for turn in talk.history(2):
            print(f"  {turn.episode.actor if turn.episode else '?'}: {turn.text}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        run(sys.argv[1])
    else:
        with tempfile.TemporaryDirectory() as place:
            run(place)
