"""Text to words, the same for every language and every store.

A word is a run of letters, marks and digits: case-folded NFKC, digits as 0-9, so that what comes
out holds lower-case ASCII letters and digits, letters and marks beyond ASCII, and nothing else.
Scripts that put no blanks between words come out as overlapping pairs of characters.
"""

from __future__ import annotations

import re
import unicodedata
from itertools import pairwise
from typing import Final

VERSION: Final = "words-1"
"""Rises when other words are made: stored terms and hashed vectors then no longer fit."""

MAX_LENGTH: Final = 64
"""Characters of a word that count; the rest of a longer one is dropped, at both ends of a search."""

# "Caroline's", "I'm" and "you'll" are their first part and "don't" is one word. Any other apostrophe
# parts two words, which is what French (l'ami), Turkish (Ankara'da) and Irish (O'Brien) names need.
_CLITIC: Final = re.compile(r"(?<=[^\W_])'(?:s|m|re|ve|ll|d)(?![^\W_])")
_NEGATION: Final = re.compile(r"(?<=n)'(?=t(?![^\W_]))")
_ASCII_WORD: Final = re.compile(r"[a-z0-9]+")
_APOSTROPHES: Final = frozenset("'\u2018\u2019\u201b\u02b9\u02bb\u02bc\u02bd")

_WITHOUT_BLANKS: Final = (
    "\u0e00-\u0eff"  # Thai, Lao
    "\u1000-\u109f\ua9e0-\ua9ff\uaa60-\uaa7f"  # Myanmar
    "\u1780-\u17ff"  # Khmer
    "\u1100-\u11ff\u3130-\u318f\ua960-\ua97f\uac00-\ud7ff"  # Hangul
    "\u3031-\u3035\u3040-\u30ff\u31f0-\u31ff\U0001aff0-\U0001b16f"  # Hiragana, Katakana
    "\u3100-\u312f\u31a0-\u31bf"  # Bopomofo
    "\u2e80-\u2fdf\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Han
)
_RUN: Final = re.compile(f"[{_WITHOUT_BLANKS}]+|[^{_WITHOUT_BLANKS}]+")
_FIRST_OF_RUN: Final = re.compile(f"[{_WITHOUT_BLANKS}]")
# One character of these often is a word, so it is kept beside the pairs.
_STANDS_ALONE: Final = re.compile(
    "[\uac00-\ud7ff\u2e80-\u2fdf\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003ffff]"
)
_IDEOGRAPHIC_ZERO: Final = "\u3007"
_ZERO_WIDTH_SPACE: Final = "\u200b"
_DROPPED: Final = re.compile(
    "[\u0640\ufe00-\ufe0f\U000e0100-\U000e01ef"  # tatweel, variation selectors
    # Vowel points, which Hebrew and Arabic leave out as often as not.
    "\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7"
    "\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06dc\u06df-\u06e4\u06e7\u06e8\u06ea-\u06ed]"
)

_KEPT_CHARACTERS: Final = 65_536
_ACCENTS: Final = re.compile(
    "(?<=[a-z\u00e6-\u02af\u03b1-\u03c9\u1d00-\u1d7f])[\u0300-\u036f]+"  # Latin and Greek
)
# Latin letters that Unicode does not take apart, written as people without the key write them.
_PLAIN_LATIN: Final = str.maketrans(
    dict(zip("øđðħıłŧŋ", "oddhiltn", strict=True)) | {"æ": "ae", "œ": "oe", "þ": "th"}
)


class _Characters(dict[int, str]):
    """What becomes of each character of a case-folded text, filled as characters turn up."""

    def __missing__(self, code: int) -> str:
        made = _character(chr(code))
        if len(self) < _KEPT_CHARACTERS:
            self[code] = made
        return made


def _character(character: str) -> str:
    if character in _APOSTROPHES:
        return "'"
    if _DROPPED.match(character):
        return ""
    category = unicodedata.category(character)
    if category == "Nd":
        return str(unicodedata.decimal(character))
    if category[0] == "L" or category in {"Mn", "Mc"} or character == _IDEOGRAPHIC_ZERO:
        return character
    # Joiners, soft hyphens and marks of direction stand inside words.
    return "" if category == "Cf" and character != _ZERO_WIDTH_SPACE else " "


_CHARACTERS: Final = _Characters()


def split(text: str, *, storing: bool, turkish: bool = False) -> list[str]:
    """The words of a text, in order.

    For storing, single Han and Hangul characters come beside the pairs that they are in, so that a
    search for one character finds it.
    """
    if turkish:
        text = text.replace("I", "\u0131").replace("İ", "i")
    if text.isascii():
        return [word[:MAX_LENGTH] for word in _ASCII_WORD.findall(_join(text.lower()))]
    # An acute accent on its own is an apostrophe of sorts, but NFKC makes a blank and a mark of it.
    text = unicodedata.normalize("NFKC", text.replace("\u00b4", "'")).casefold()
    text = _join(unicodedata.normalize("NFKC", text).translate(_CHARACTERS)).replace("'", " ")
    words: list[str] = []
    for piece in text.split():
        for run in _RUN.findall(piece):
            if _FIRST_OF_RUN.match(run):
                words += _pairs(run, storing=storing)
            elif not run.isascii() and not any(map(str.isalnum, run)):
                continue  # marks without a letter
            else:
                words.append(run[:MAX_LENGTH])
    return words


def _join(text: str) -> str:
    return _NEGATION.sub("", _CLITIC.sub("", text)) if "'" in text else text


def _pairs(run: str, *, storing: bool) -> list[str]:
    characters: list[str] = []
    for character in run:
        if characters and unicodedata.category(character)[0] == "M":
            characters[-1] += character
        else:
            characters.append(character)
    if len(characters) == 1:
        return [run[:MAX_LENGTH]]
    words: list[str] = []
    for first, second in pairwise(characters):
        if storing and _STANDS_ALONE.match(first):
            words.append(first[:MAX_LENGTH])
        words.append((first + second)[:MAX_LENGTH])
    if storing and _STANDS_ALONE.match(characters[-1]):
        words.append(characters[-1][:MAX_LENGTH])
    return words


def fold(word: str) -> str:
    """A word without the accents of Latin and Greek letters."""
    if word.isascii():
        return word
    plain = _ACCENTS.sub("", unicodedata.normalize("NFD", word))
    return unicodedata.normalize("NFC", plain).translate(_PLAIN_LATIN)
