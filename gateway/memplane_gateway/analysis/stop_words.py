"""Words that a search leaves out, because they stand in every text and in none for its topic.

Words that can carry the point of a question stay in: before, after, again, most, same, against,
May (the month), us (the country).
"""

from __future__ import annotations

from typing import Final

_ENGLISH: Final = """
    a an the this that these those some any each every such
    i me my mine myself we our ours ourselves you your yours yourself yourselves
    he him his himself she her hers herself it its itself they them their theirs themselves
    am is are was were be been being have has had having do does did doing
    can could will would shall should might must
    arent cant couldnt didnt doesnt dont hadnt hasnt havent isnt shouldnt wasnt werent wont wouldnt
    what which who whom whose when where why how
    of in on at by for from to with about as into than
    and or but if because so then not no nor there here
"""
ENGLISH: Final = frozenset(_ENGLISH.split())
