"""Texts into the terms that the lexical leg matches: folded, stemmed, without the words that say nothing. Queries and chunks go the same way.

Belongs here: what a term is, in which language. Not here: scoring (bm25.py), postings (lexical.py, storage/lexical.py).

The name of an analyzer says all that it does: postings of one name may be searched with terms of that name only. One organization's chunks share
one analyzer, that of the language most of them are in; words of other languages are stemmed oddly, but on both sides alike.
"""

from __future__ import annotations

import re
import threading
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache

from learning_pipelines.errors import BadInput, LearningError
from learning_pipelines.retrieval.stopwords import STOPWORDS

VERSION = 1
"""Goes up with every change of what a term is: postings of another version are made again."""
NO_LANGUAGE = "none"
DETECTED_FROM = 500
"""Texts that are looked at to tell the language."""
_DETECTED_CHARS = 2_000
_LEAST_STOPWORDS = 0.04
"""Share of a text's words that have to be stopwords of the language: below it (tables, code, a language without a list) nothing is stemmed."""
_REMEMBERED_WORDS = 400_000
_LONGEST_TERM = 64

# Marks that Python's \w leaves out though they are within words (vowel signs), and scripts that write no spaces between words.
_MARKS = r"\u0300-\u036f\u0591-\u05c7\u064b-\u065f\u0670\u0900-\u0963\u0966-\u0dff\u200c\u200d"
_UNSPACED = r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_TOKEN = re.compile(
    rf"""\d{{1,3}}(?:,\d{{3}})+(?:\.\d+)?(?![\w,])  # 1,234.5
    | \d+(?:\.\d+)+(?!\w)  # 1.5, 12.05.2020, 3.1.4
    | [{_UNSPACED}]+
    | (?:(?![{_UNSPACED}])(?:[^\W_]|[{_MARKS}]))+""",
    re.VERBOSE,
)
_CLITICS = re.compile(r"(?<=\w)'(?:s|t|d|m|ll|re|ve)\b|\b(?:[cdjlmnst]|qu|dell|nell|all|un)'(?=\w)")
_APOSTROPHES = str.maketrans({"\u2019": "'", "\u02bc": "'", "\u2018": "'", "\u00ad": None})
_IS_UNSPACED = re.compile(rf"[{_UNSPACED}]")
_FOLDED = re.compile(r"[\u0300-\u036f\u0591-\u05c7\u064b-\u065f\u0670\u0640\u200c\u200d]+")


@dataclass(frozen=True)
class Analyzer:
    """Texts into terms in one language. Threads may share one."""

    language: str
    _words: _Words = field(repr=False, compare=False)

    @property
    def name(self) -> str:
        return f"{self.language}-{VERSION}"

    def terms(self, text: str) -> list[str]:
        """The terms of a text in their order, repeated as often as they occur. Numbers are terms; 1,234 and 1234 are the same one."""
        return [term for token in _tokens(text) if (term := self._words[token])]


def analyzer_for(language: str) -> Analyzer:
    """`language`: a Snowball language by its English name, or `none`: nothing is stemmed or left out. Raises BadInput for an unknown one."""
    return _made(language.strip().lower())


def analyzer_named(name: str) -> Analyzer:
    """The analyzer that postings were made by. Raises LearningError for one of another version of this software."""
    language, _, version = name.rpartition("-")
    if version != str(VERSION) or language not in languages():
        raise LearningError(f"The lexical index was made by the analyzer {name}, which this version does not have.", "Run `run index_refresh`.")
    return _made(language)


@lru_cache(maxsize=1)
def languages() -> frozenset[str]:
    """Every language there is a stemmer for, and `none`."""
    import Stemmer

    return frozenset(Stemmer.algorithms()) | {NO_LANGUAGE}


def detect_language(texts: Iterable[str]) -> str:
    """The language most of the texts are in, told by their stopwords; English if there are no texts; `none` where no list fits."""
    votes: Counter[str] = Counter()
    for position, text in enumerate(texts):
        if position >= DETECTED_FROM:
            break
        votes[_language_of(text[:_DETECTED_CHARS])] += 1
    del votes[""]
    if not votes:
        return "english"
    return max(sorted(votes), key=lambda language: votes[language])


def _language_of(text: str) -> str:
    """'' where a text is too short to tell."""
    words = [word.casefold() for word in _tokens(text)]
    if len(words) < 5:
        return ""
    found = {language: sum(word in listed for word in words) / len(words) for language, listed in STOPWORDS.items()}
    best = max(sorted(found), key=lambda language: found[language])
    return best if found[best] >= _LEAST_STOPWORDS else NO_LANGUAGE


def _tokens(text: str) -> list[str]:
    """Words and numbers, folded in case and compatibility. Runs of scripts without spaces become their pairs of characters."""
    text = _CLITICS.sub(" ", unicodedata.normalize("NFKC", text).casefold().translate(_APOSTROPHES))
    tokens: list[str] = _TOKEN.findall(text)
    if "," in text:
        tokens = [token.replace(",", "") for token in tokens]
    if text.isascii() or not _IS_UNSPACED.search(text):
        return tokens
    return [part for token in tokens for part in (_pairs(token) if _IS_UNSPACED.match(token) else (token,))]


def _pairs(run: str) -> list[str]:
    return [run] if len(run) == 1 else [run[start : start + 2] for start in range(len(run) - 1)]


@lru_cache(maxsize=64)
def _made(language: str) -> Analyzer:
    if language not in languages():
        raise BadInput(f"There is no stemmer for the language {language!r}.", f"Known: {', '.join(sorted(languages()))}.")
    return Analyzer(language, _Words(language))


class _Words(dict[str, str]):
    """Folded word -> term, '' for a stopword: a corpus has few different words, so each is stemmed once. Emptied when it grows too large."""

    def __init__(self, language: str) -> None:
        import Stemmer

        self._stemmer = None if language == NO_LANGUAGE else Stemmer.Stemmer(language, 0)
        self._stopwords = STOPWORDS.get(language, frozenset())
        self._stemming = threading.Lock()  # Snowball's stemmers are not re-entrant

    def __missing__(self, word: str) -> str:
        term = "" if word in self._stopwords else self._stem(word)
        if len(self) >= _REMEMBERED_WORDS:
            self.clear()
        self[word] = term
        return term

    def _stem(self, word: str) -> str:
        """Stemmed first and freed of accents after: stemmers know their language's accents."""
        word = word[:_LONGEST_TERM]
        if self._stemmer is not None and not word.isdecimal():
            with self._stemming:
                word = self._stemmer.stemWord(word)
        return word if word.isascii() else unicodedata.normalize("NFC", _FOLDED.sub("", unicodedata.normalize("NFD", word)))
