"""The demo's questions in clients' own words, read as a plain file: counts, references, words and figures against the articles.
Belongs here: what demo/rows/questions.jsonl promises about itself and its articles. Not here: retrieval, the encoder, what a model answers."""

from __future__ import annotations

import json
import re
import statistics
from collections import Counter
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import learning_pipelines

ROWS = Path(learning_pipelines.__file__).parent / "demo" / "rows"
KEYS = ["question_id", "text", "document_id", "answer", "user"]
COMMON = frozenset(re.findall(r"\w+", """
    a about after all already also am an and any are as at be because before being both but by can could did do does doing don down each either else every
    for from get gets getting go goes got had has have having he her here him his how i if in into is isn it its just let like ll may me might more most
    much must my no nor not now of off on once one only or other our out over own per put re s same see shall she should so some such t than that the
    their them then there these they thing this those to too two until up us ve very was we well were what when where which while who whom whose why will
    with won would yes yet you your
"""))  # fmt: skip
FIGURE = re.compile(r"\d+(?:[.,:]\d+)*(?: ?%)?")
SPELT = re.compile(r"\b(?:two|three|four|five|six|seven|eight|nine|ten|twelve)(?: working| full| calendar)* (?:hours?|days?|weeks?|months?|years?)\b")


def read(name: str) -> list[dict[str, Any]]:
    with (ROWS / f"{name}.jsonl").open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


@cache
def questions() -> list[dict[str, Any]]:
    return read("questions")


@cache
def articles() -> dict[str, str]:
    return {row["document_id"]: row["text"] for row in read("documents")}


def grams(text: str) -> set[str]:
    plain = re.sub(r"\W+", " ", text).strip().casefold()
    return {plain[start : start + 5] for start in range(len(plain) - 4)}


def likeness(one: set[str], other: set[str]) -> float:
    return len(one & other) / len(one | other)


def content_words(text: str) -> set[str]:
    """The words that carry the meaning, without the commonest endings, so that `paid leave` and `leaves` share a word."""
    words = {word for word in re.findall(r"[^\W_]+", text.casefold()) if word not in COMMON and len(word) > 1}
    return {re.sub(r"(?<=\w{3})(?:ing|ies|es|ed|s)$", "", word) for word in words}


def test_the_file_is_compact_lines_with_keys_in_one_order() -> None:
    text = (ROWS / "questions.jsonl").read_bytes().decode("utf-8")
    assert text.endswith("\n") and "\r" not in text and "\\u" not in text
    for line in text.splitlines():
        row = json.loads(line)
        assert line == json.dumps(row, ensure_ascii=False, separators=(",", ":"))
        assert list(row) == [key for key in KEYS if key != "answer" or "answer" in row]
        assert all(isinstance(value, str) and value == value.strip() and value for value in row.values()), row


def test_counts_and_ids() -> None:
    assert [row["question_id"] for row in questions()] == [f"q-{number:03}" for number in range(1, 301)]
    assert len(articles()) == 60
    assert sum("answer" in row for row in questions()) == 120


def test_every_article_answers_three_to_eight_questions_and_has_an_approved_answer() -> None:
    asked = Counter(row["document_id"] for row in questions())
    assert set(asked) == set(articles())
    assert min(asked.values()) >= 3 and max(asked.values()) <= 8
    answered = Counter(row["document_id"] for row in questions() if "answer" in row)
    assert set(answered) == set(articles()) and max(answered.values()) <= 3


def test_some_clients_ask_far_more_than_others() -> None:
    users = Counter(row["user"] for row in questions())
    assert all(re.fullmatch(r"c-[a-z]+(?:-[a-z]+)*", user) for user in users)
    assert 70 <= len(users) <= 90
    assert statistics.median(users.values()) <= 4 and 12 <= max(users.values()) <= 20


def test_half_of_those_who_ask_also_write_messages() -> None:
    asking = {row["user"] for row in questions()}
    assert 2 * len(asking & {row["user"] for row in read("messages")}) >= len(asking)


def test_neighbours_in_the_file_are_not_about_the_same_article() -> None:
    ids = [row["document_id"] for row in questions()]
    assert sum(one == following for one, following in pairwise(ids)) <= 12


def test_no_question_is_nearly_another_one() -> None:
    asked = [(row["text"], grams(row["text"])) for row in questions()]
    near = [(a, b) for i, (a, one) in enumerate(asked) for b, other in asked[:i] if likeness(one, other) >= 0.5]
    assert not near


def test_no_question_is_nearly_an_input_of_the_other_files() -> None:
    inputs = [row[key] for name, key in (("messages", "text"), ("examples", "input_text"), ("retrieval_feedback", "query")) for row in read(name)]
    seen = [(text, grams(text)) for text in inputs]
    asked = [(row["text"], grams(row["text"])) for row in questions()]
    near = [(a, b) for a, one in asked for b, other in seen if likeness(one, other) >= 0.5]
    assert not near


def test_clients_do_not_use_the_words_of_the_articles() -> None:
    words = {document: content_words(text) for document, text in articles().items()}
    shares = []
    for row in questions():
        asked = content_words(row["text"])
        assert len(asked) >= 2, row
        shares.append(len(asked & words[row["document_id"]]) / len(asked))
    assert statistics.median(shares) <= 0.25
    assert statistics.quantiles(shares, n=10)[-1] <= 0.5 and max(shares) <= 0.7


def test_answers_are_short_and_not_copied_into_two_rows() -> None:
    answers = [row["answer"] for row in questions() if "answer" in row]
    assert len(set(answers)) == len(answers)
    for answer in answers:
        sentences = re.findall(r"[.?!](?=\s|$)", answer)
        assert 1 <= len(sentences) <= 3 and answer.endswith("."), answer
        assert 6 <= len(answer.split()) <= 60, answer


def test_every_figure_of_an_answer_stands_in_its_article() -> None:
    for row in questions():
        answer, article = row.get("answer", ""), articles()[row["document_id"]]
        figures = {figure.replace(" ", "") for figure in FIGURE.findall(article)}
        assert {figure.replace(" ", "") for figure in FIGURE.findall(answer)} <= figures, row
        assert all(period in article.casefold() for period in SPELT.findall(answer.casefold())), row


def test_most_answers_name_a_figure() -> None:
    answers = [row["answer"] for row in questions() if "answer" in row]
    assert sum(bool(FIGURE.search(answer) or SPELT.search(answer)) for answer in answers) >= len(answers) * 0.6
