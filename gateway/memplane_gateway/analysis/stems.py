"""Words to stems, by the Snowball algorithms."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache, lru_cache
from typing import Any, Final

_SUFFIX: Final = "_stemmer"


@cache
def algorithms() -> tuple[str, ...]:
    """Names of the algorithms, e.g. "german"."""
    package = importlib.import_module("snowballstemmer")
    modules = (module.name for module in pkgutil.iter_modules(package.__path__))
    return tuple(sorted(name.removesuffix(_SUFFIX) for name in modules if name.endswith(_SUFFIX)))


@cache
def release() -> str:
    """Version of the algorithms, e.g. "3.1"; patch releases leave them alone."""
    from importlib.metadata import version

    return ".".join(version("snowballstemmer").split(".")[:2])


@cache
def _class_of(algorithm: str) -> Any:
    # Not snowballstemmer.stemmer(): where PyStemmer is installed, that is another implementation,
    # and often one of another version, which stems otherwise.
    module = importlib.import_module(f"snowballstemmer.{algorithm}{_SUFFIX}")
    return getattr(module, "".join(map(str.capitalize, algorithm.split("_"))) + "Stemmer")


def stem(algorithm: str, word: str) -> str:
    """The stem of a word; never empty. Callable from any thread."""
    # Numbers have no endings, and there are more of them than a cache of words should hold. The
    # first comparison is there to be quick: hardly a word begins with a digit.
    if word < ":" and word.isascii() and word.isdigit():
        return word
    return _stemmed(algorithm, word)


@lru_cache(maxsize=65_536)
def _stemmed(algorithm: str, word: str) -> str:
    # A stemmer holds the word that it works on, so each word gets one of its own.
    made: str = _class_of(algorithm)().stemWord(word)
    return made or word
