"""Text to terms."""

from __future__ import annotations

import json
import subprocess
import sys
import unicodedata
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memplane_gateway.analysis import LANGUAGES, MAX_QUERY_TERMS, Analyzer, stems
from memplane_gateway.analysis.words import MAX_LENGTH

ENGLISH = Analyzer()
PLAIN = Analyzer("none")
TEXTS = st.text() | st.text(
    alphabet="aAbß'\u2019 -_.\u0301éİ\u0131Iøæ猫お茶ー한국ไทยשָׁمَ٣²🎉\ufe0f\u200d\u200b\x00"
)


def is_term(term: str) -> bool:
    return bool(term) and all(
        ("a" <= character <= "z" or "0" <= character <= "9")
        if character.isascii()
        else unicodedata.category(character)[0] in "LM" or character == "\u3007"
        for character in term
    )


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("Hello, World!", ["hello", "world"]),
        ("Caroline's dog; I'm, you'll, we've", ["caroline", "dog", "i", "you", "we"]),
        ("Caroline\u2019s don\u2019t CAN'T", ["caroline", "dont", "cant"]),
        (
            "l'ami Ankara'da O'Brien rock'n'roll",
            ["l", "ami", "ankara", "da", "o", "brien", "rock", "n", "roll"],
        ),
        ("'quoted' dogs' ''", ["quoted", "dogs"]),
        ("it\u00b4s", ["it"]),
        (
            "snake_case e-mail a.b@c.org C++",
            ["snake", "case", "e", "mail", "a", "b", "c", "org", "c"],
        ),
        ("3.5 km, 1,000 m\u00b2, \u0663\u0664", ["3", "5", "km", "1", "000", "m2", "34"]),
        ("Ünïcödé naïve Ærø Łódź đường", ["unicode", "naive", "aero", "lodz", "duong"]),
        ("e\u0301cole \ufb01ne \uff21\uff22", ["ecole", "fine", "ab"]),
        ("STRASSE Straße", ["strasse", "strasse"]),
        ("Ελλάδα ΟΔΟΣ", ["ελλαδα", "οδοσ"]),
        ("Йод ёж", ["йод", "ёж"]),
        ("שָׁלוֹם מַרְחָבָא", ["שלום", "מרחבא"]),
        ("مَرْحَبًا كتـاب", ["مرحبا", "كتاب"]),
        ("हिन्दी में खोज", ["हिन्दी", "में", "खोज"]),
        ("می\u200cروم so\u00adft zero\u200bwidth", ["میروم", "soft", "zero", "width"]),
        ("🎉 ❤\ufe0f party 1\ufe0f\u20e3", ["party", "1"]),
        ("\u0301 \ufe0f ... '", []),
        ("a\x00b", ["a", "b"]),
        ("", []),
    ],
)
def test_words(text: str, terms: list[str]) -> None:
    assert list(PLAIN.terms(text)) == terms
    assert list(PLAIN.query_terms(text)) == list(dict.fromkeys(terms))


@pytest.mark.parametrize(
    ("stored", "question"),
    [
        ("黒猫がお茶を飲む", "茶"),
        ("黒猫がお茶を飲む", "黒猫"),
        ("我喜欢喝绿茶", "绿茶"),
        ("カタカナのテスト", "ﾃｽﾄ"),
        ("학교에 갔다", "학교"),
        ("물을 마셨다", "물"),
        ("ฉันชอบดื่มชา", "ดื่ม"),
        ("ខ្ញុំចូលចិត្តតែ", "ចិត្ត"),
        ("iPhone15を買った", "iphone15"),
        ("二〇二三年", "二〇"),
    ],
)
def test_languages_without_blanks(stored: str, question: str) -> None:
    asked = PLAIN.query_terms(question)
    assert asked
    assert set(asked) <= set(PLAIN.terms(stored))


def test_pairs_are_searched_and_single_characters_stored_beside_them() -> None:
    assert PLAIN.terms("お茶です") == ("お茶", "茶", "茶で", "です")
    assert PLAIN.query_terms("お茶です") == ("お茶", "茶で", "です")
    assert PLAIN.terms("茶") == ("茶",)


def test_english_stems_and_accents() -> None:
    assert ENGLISH.terms("connected connections connecting") == ("connect",) * 3
    assert ENGLISH.terms("résumé cafés") == ENGLISH.terms("resume cafes")
    assert ENGLISH.terms("The dog's dogs") == ("the", "dog", "dog")


def test_stop_words_are_stored_but_not_searched() -> None:
    assert "about" in ENGLISH.terms("What is it about?")
    assert ENGLISH.query_terms("What does she drink in the morning?") == ("drink", "morn")
    assert ENGLISH.query_terms("Don't you know?") == ("know",)
    assert set(ENGLISH.query_terms("to be or not to be")) == {"to", "be", "or", "not"}
    assert ENGLISH.query_terms("...") == ()


def test_stop_words_of_the_users() -> None:
    german = Analyzer("german", ["und", "die", "Für"])
    assert german.query_terms("die Häuser und die Gärten für mich") == ("haus", "gart", "mich")
    assert Analyzer("german").query_terms("und die") == ("und", "die")
    assert "the" in Analyzer(stop_words=[]).query_terms("the tea")
    assert Analyzer(stop_words=["don't"]).query_terms("don't go") == ("go",)
    with pytest.raises(TypeError, match="list"):
        Analyzer(stop_words="und")


def test_turkish_i() -> None:
    turkish = Analyzer("turkish")
    assert turkish.terms("ISPARTA") == turkish.terms("\u0131sparta")
    assert turkish.terms("İZMİR") == turkish.terms("izmir")


def test_names() -> None:
    assert ENGLISH.name == "words-1/english/porter"
    assert PLAIN.name == "words-1/none"
    assert Analyzer("french").name == f"words-1/french/snowball-{stems.release()}"
    # Leaving out other words asks for no other terms in the store.
    assert Analyzer(stop_words=["tea"]).name == ENGLISH.name
    assert len({Analyzer(language).name for language in LANGUAGES}) == len(LANGUAGES)


def test_stored_terms_never_change_unnoticed() -> None:
    """If this fails, the terms in users' stores no longer fit: raise words.VERSION."""
    text = "Caroline's LGBTQ support-group met at 3.30 pm on 7 May; naïve 黒猫 skies news running."
    assert " ".join(ENGLISH.terms(text)) == (
        "carolin lgbtq support group met at 3 30 pm on 7 mai naiv 黒 黒猫 猫 ski new run"
    )


@pytest.mark.parametrize(
    ("wrong", "says"),
    [("englsh", "'english'"), ("German", "'german'"), ("klingon-x", "known are none, arabic")],
)
def test_unknown_language(wrong: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Analyzer(wrong)


def test_equality_and_hash() -> None:
    assert Analyzer() == ENGLISH
    assert hash(Analyzer(stop_words=["a"])) == hash(Analyzer(stop_words=("a",)))
    assert Analyzer(stop_words=["a"]) != ENGLISH


def test_limits() -> None:
    many = " ".join(f"word{number}" for number in range(3 * MAX_QUERY_TERMS))
    assert len(PLAIN.query_terms(many)) == MAX_QUERY_TERMS
    assert len(PLAIN.terms(many)) == 3 * MAX_QUERY_TERMS
    long = "x" * 100_000
    assert PLAIN.terms(long) == ("x" * MAX_LENGTH,)
    assert PLAIN.query_terms(long) == PLAIN.terms(long)
    assert all(len(term) <= MAX_LENGTH for term in PLAIN.terms("ท" + "\u0e34" * 1_000 + "ม"))


@pytest.mark.parametrize("language", LANGUAGES)
@settings(deadline=None)
@given(text=TEXTS)
def test_terms_are_plain(language: str, text: str) -> None:
    analyzer = Analyzer(language)
    stored, asked = analyzer.terms(text), analyzer.query_terms(text)
    assert all(map(is_term, stored))
    # A text is found by itself.
    assert set(asked) <= set(stored)
    assert len(set(asked)) == len(asked)
    assert bool(asked) == bool(stored)


@settings(deadline=None)
@given(TEXTS)
def test_terms_of_terms(text: str) -> None:
    terms = PLAIN.query_terms(text)
    assert PLAIN.query_terms(" ".join(terms)) == terms


@settings(deadline=None)
@given(st.text(alphabet="aeiouäöüßnst'é-. "))
def test_case_and_composition_do_not_matter(text: str) -> None:
    for analyzer in (PLAIN, ENGLISH, Analyzer("german")):
        terms = analyzer.terms(text)
        assert analyzer.terms(text.upper()) == terms
        assert analyzer.terms(unicodedata.normalize("NFD", text)) == terms


@pytest.mark.parametrize("algorithm", stems.algorithms())
def test_numbers_are_their_own_stems(algorithm: str) -> None:
    """So none of the algorithms has to be asked."""
    made = stems._class_of(algorithm)()
    for number in ("0", "7", "11", "2026", "000", "999999999999", "10" * 20):
        assert made.stemWord(number) == number
        assert stems.stem(algorithm, number) == number


def test_the_same_in_every_process_and_thread() -> None:
    text = "Running skies, naïve cafés and 黒猫 don't matter: Möglichkeiten " * 3
    languages = ("english", "german", "none", "arabic")
    expected = [list(Analyzer(language).terms(text)) for language in languages]
    code = (
        "import json, sys; from memplane_gateway.analysis import Analyzer; print(json.dumps("
        "[Analyzer(language).terms(sys.argv[1]) for language in sys.argv[2:]]))"
    )
    for seed in ("0", "1"):
        output = subprocess.run(
            [sys.executable, "-c", code, text, *languages],
            capture_output=True,
            check=True,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path), "PYTHONUTF8": "1"},
        ).stdout
        assert json.loads(output) == expected
    words = [f"word{number}ing relationships{number}" for number in range(500)]
    one_by_one = [ENGLISH.terms(word) for word in words]
    stems._stemmed.cache_clear()
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ENGLISH.terms, words)) == one_by_one
