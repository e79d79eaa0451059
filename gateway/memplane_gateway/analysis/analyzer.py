"""Text to terms: what KEYWORD search compares, on every store."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import InitVar, dataclass, field
from difflib import get_close_matches
from typing import Final

from memplane_gateway.analysis import stems
from memplane_gateway.analysis.stop_words import ENGLISH
from memplane_gateway.analysis.words import VERSION, fold, split

MAX_QUERY_TERMS: Final = 1_000

# Snowball froze Porter's algorithm, so that no upgrade of the library can part a question from what
# was stored before. Measured, it finds as much as "english" (Porter 2), which is revised every year.
_ENGLISH: Final = "porter"
_NOT_LANGUAGES: Final = frozenset({_ENGLISH, "dutch_porter"})
# Their stemmers know no accents, so these fall first ("café" is "cafe"); others need them.
_PLAIN: Final = frozenset({"english", "indonesian", "sesotho"})

LANGUAGES: Final = ("none", *(name for name in stems.algorithms() if name not in _NOT_LANGUAGES))


@dataclass(frozen=True)
class Analyzer:
    """Makes terms of texts. Pure: the same text gives the same terms, in any process and thread.

    A term is made of lower-case ASCII letters, digits, and letters and marks beyond ASCII.
    `stop_words` None is the list of the language (English has one); an empty one is none at all.
    """

    language: str = "english"
    stop_words: InitVar[Iterable[str] | None] = None
    left_out: frozenset[str] = field(init=False, repr=False)
    """The stop words, as words of a text come."""

    def __post_init__(self, stop_words: Iterable[str] | None) -> None:
        if self.language not in LANGUAGES:
            raise ValueError(_unknown(self.language))
        if isinstance(stop_words, str):
            raise TypeError("stop_words is a list of words, not one text")
        if stop_words is None:
            stop_words = ENGLISH if self.language == "english" else ()
        words = (word for text in stop_words for word in self._words(text, storing=False))
        object.__setattr__(self, "left_out", frozenset(words))

    @property
    def name(self) -> str:
        """Changes when stored terms would; stop words are only left out of searches."""
        match self.language:
            case "none":
                return f"{VERSION}/none"
            case "english":
                return f"{VERSION}/english/{_ENGLISH}"
            case language:
                return f"{VERSION}/{language}/snowball-{stems.release()}"

    def terms(self, text: str) -> tuple[str, ...]:
        """The terms to store, in order, repeats kept."""
        return tuple(map(self._term, self._words(text, storing=True)))

    def query_terms(self, text: str) -> tuple[str, ...]:
        """The terms to search, each once: without stop words, unless there is nothing else."""
        words = self._words(text, storing=False)
        kept = [word for word in words if word not in self.left_out] or words
        return tuple(dict.fromkeys(map(self._term, kept)))[:MAX_QUERY_TERMS]

    def _words(self, text: str, *, storing: bool) -> list[str]:
        words = split(text, storing=storing, turkish=self.language == "turkish")
        if self.language in _PLAIN and not text.isascii():
            return [fold(word) for word in words]
        return words

    def _term(self, word: str) -> str:
        if self.language == "none":
            return fold(word)
        if self.language == "english":
            return stems.stem(_ENGLISH, word)
        return fold(stems.stem(self.language, word))


def _unknown(language: str) -> str:
    near = get_close_matches(language.lower(), LANGUAGES, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else f"; known are {', '.join(LANGUAGES)}"
    return f"no language {language!r}{hint}"
