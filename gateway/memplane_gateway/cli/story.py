"""What `memplane demo` remembers: a conversation of our own, the facts in it, and some settings."""

from __future__ import annotations

from typing import Any, NamedTuple

NAMESPACE = ("bike-workshop", "nora")
SESSION = "call-2024-05-14"


class Turn(NamedTuple):
    """One turn of the conversation."""

    minute: int
    actor: str
    text: str


CONVERSATION = (
    Turn(0, "nora", "Hello, my cargo bike squeals whenever I brake on the way to kindergarten."),
    Turn(1, "agent", "Sorry to hear that. Does it come from the front wheel or from the rear?"),
    Turn(2, "nora", "From the front, and only when it has rained overnight."),
    Turn(3, "agent", "Wet rotors do that for a minute. Worn pads do it all the way. Which is it?"),
    Turn(4, "nora", "All the way down the hill. People turn their heads."),
    Turn(5, "agent", "Then the brake pads are due. We have them in stock for 24 euros a pair."),
    Turn(7, "nora", "Fine. Could you also look at the child seat? One of its straps is frayed."),
    Turn(8, "agent", "Of course. I have put both on one order. When can you bring the bike?"),
    Turn(9, "nora", "Thursday before eight, I drop the twins off at half past seven."),
    Turn(10, "agent", "Thursday at 7:45 is yours. It will be ready by four in the afternoon."),
    Turn(11, "nora", "Perfect. Please send me a text message, I never hear the phone at work."),
    Turn(12, "agent", "Noted: text messages, no calls. See you on Thursday, Nora."),
)

FACTS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("bike", "Nora rides a cargo bike with disc brakes", {"topic": "bike", "wheels": 3}),
    ("family", "Nora has twins who go to kindergarten", {"topic": "family", "children": 2}),
    ("contact", "Nora wants text messages and no phone calls", {"topic": "contact"}),
    ("mornings", "Nora is free on weekdays before eight in the morning", {"topic": "time"}),
)

SETTINGS: tuple[tuple[str, Any], ...] = (
    ("tone", {"style": "short and friendly", "emoji": False}),
    ("order-4711", {"state": "booked", "items": ["brake pads", "seat strap"], "euros": 43}),
)

QUESTIONS: tuple[tuple[str, str], ...] = (
    ("semantic", "phone or text messages?"),
    ("episodic", "which strap is frayed?"),
    ("episodic", "price of the brake pads"),
)
