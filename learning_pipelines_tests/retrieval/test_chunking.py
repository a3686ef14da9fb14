"""How texts are cut: whole within the window, at their own joints, under their headings, with ids that an edit elsewhere does not change.

Belongs here: retrieval/chunking.py, blocks.py, html_text.py without a database. Not here: storing chunks (test_knowledge.py).
"""

from __future__ import annotations

import gzip
import random
import re

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from learning_pipelines.retrieval.chunking import CAPACITY, Chunk, chunk, indexed, tokens
from learning_pipelines.retrieval.stated_headings import stated_headings
from learning_pipelines_tests.retrieval.judged import DATA

QUIET = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
WORDS = ["invoice", "VAT", "return", "ledger", "due", "the", "of", "posting", "account", "2024", "12,345.67", "receivable", "für", "Umsatzsteuer"]
MARKED = st.lists(
    st.one_of(
        st.builds(lambda level, text: "#" * level + " " + text, st.integers(1, 6), st.text("abc d", min_size=1, max_size=20)),
        st.lists(st.sampled_from(WORDS), min_size=1, max_size=300).map(" ".join),
        st.lists(st.sampled_from(WORDS), min_size=1, max_size=60).map(lambda words: "\n".join(f"- {word}" for word in words)),
        st.integers(1, 120).map(lambda rows: "| a | b |\n|---|---|\n" + "\n".join(f"| row{row} | {row} |" for row in range(rows))),
        st.text(max_size=200),
    ),
    max_size=25,
).map("\n\n".join)


def paragraph(seed: int, words: int) -> str:
    picker = random.Random(seed)
    return " ".join(picker.choice(WORDS) + str(picker.randrange(1_000)) for _ in range(words)) + "."


def finance_articles() -> list[dict[str, str]]:
    """60 articles of the finance documentation, as they come."""
    path = DATA / "bc_finance_docs" / "docs.jsonl.gz"
    if not path.is_file():
        pytest.skip(f"the data set bc_finance_docs is not at {DATA} (LEARNING_TEST_DATA)")
    with gzip.open(path) as lines:
        return [orjson.loads(line) for _, line in zip(range(60), lines, strict=False)]


def texts(chunks: tuple[Chunk, ...]) -> list[str]:
    return [one.text for one in chunks]


def words_of(text: str) -> set[str]:
    return set(re.findall(r"\w+", text))


@QUIET
@given(MARKED)
def test_no_chunk_is_too_long_and_no_word_is_lost(text: str) -> None:
    found = chunk("d", None, text)
    assert all(tokens(indexed(None, one.text)) <= CAPACITY * 1.3 for one in found.chunks)
    kept = words_of("\n".join(f"{one.heading}\n{one.text}" for one in found.chunks))
    assert set(re.findall(r"\b(?:row\d+|invoice|ledger|Umsatzsteuer|receivable)\b", text)) <= kept


@QUIET
@given(st.text(max_size=3_000), st.text(max_size=30))
def test_whatever_the_text_ids_differ_positions_count_and_cutting_again_gives_the_same(text: str, title: str) -> None:
    found = chunk("d", title, text)
    assert len({one.id for one in found.chunks}) == len(found.chunks)
    assert [one.position for one in found.chunks] == list(range(len(found.chunks)))
    assert (found.problem is None) == bool(found.chunks)
    assert chunk("d", title, text) == found


@pytest.mark.slow
@pytest.mark.parametrize("kept", ["headings", "paragraphs only"])
def test_an_edit_of_one_paragraph_keeps_nearly_all_other_chunks(kept: str) -> None:
    """Over 16 documents of 60 paragraphs: on average fewer than 2.5 of more than 25 chunks change when one paragraph grows."""
    changed, whole = 0, 0
    for seed in range(16):
        parts = [paragraph(100 * seed + number, 15 + 7 * (number % 5)) for number in range(60)]
        if kept == "headings":
            parts = [f"## Part {number}\n\n{part}" if number % 6 == 0 else part for number, part in enumerate(parts)]
        edited = [*parts]
        edited[10 + seed] += " " + paragraph(9_000 + seed, 12)
        before, after = ({one.id for one in chunk("d", "t", "\n\n".join(them)).chunks} for them in (parts, edited))
        changed, whole = changed + len(before - after), whole + len(before)
    assert changed / 16 < 2.5 and whole / 16 > 25


def test_an_insertion_at_the_beginning_does_not_move_the_rest() -> None:
    parts = [paragraph(number, 40) for number in range(50)]
    before, after = ({one.id for one in chunk("d", "t", "\n\n".join(them)).chunks} for them in (parts, ["A new first paragraph.", *parts]))
    assert len(before - after) <= 2


def test_sections_are_chunks_under_the_path_of_their_headings() -> None:
    text = f"# Guide\n\n{paragraph(1, 30)}\n\n## Setup\n\n{paragraph(2, 30)}\n\n### Options\n\n{paragraph(3, 30)}\n\n## Use\n\n{paragraph(4, 30)}"
    found = chunk("d", "VAT", text).chunks
    assert [one.heading for one in found] == ["VAT > Guide", "VAT > Guide > Setup", "VAT > Guide > Setup > Options", "VAT > Guide > Use"]
    assert not any("#" in one.text for one in found)


def test_short_sections_share_a_chunk_and_keep_their_headings_in_it() -> None:
    (only,) = chunk("d", "Questions", "# Questions\n\n## When?\n\nIn May.\n\n## Where?\n\nAt the office.").chunks
    assert (only.heading, only.text) == ("Questions", "## When?\n\nIn May.\n\n## Where?\n\nAt the office.")


def test_headings_that_the_metadata_states_stand_between_the_title_and_those_of_the_text() -> None:
    above = stated_headings({"section_headers": ["After a viral test", "Isolation"], "uri": "https://example.org", "Header 1": "Testing", "n": 3})
    assert above == ("After a viral test", "Isolation", "Testing")
    found = chunk("d", "Tests", "# How long\n\nTen days.", above)
    assert [one.heading for one in found.chunks] == ["Tests > After a viral test > Isolation > Testing > How long"]
    assert [one.id for one in found.chunks] == [one.id for one in chunk("d", "Tests", "# How long\n\nTen days.").chunks]


@pytest.mark.parametrize("metadata", [None, {}, {"headings": None}, {"headings": {"a": "b"}}, {"headings": [1, "", "x" * 300]}, {"theheading": "no"}])
def test_metadata_without_usable_headings_states_none(metadata: dict[str, object] | None) -> None:
    assert stated_headings(metadata) == ()


def test_a_title_that_the_text_repeats_is_said_once() -> None:
    (only,) = chunk("d", "Taxes", "# taxes\n\nDue in May.").chunks
    assert only.heading == "taxes"


def test_a_table_within_the_size_stays_whole_and_a_longer_one_repeats_its_head() -> None:
    head = "| Account | Amount |\n|---|---|"
    small = head + "".join(f"\n| {number} | {number * 3} |" for number in range(12))
    found = texts(chunk("d", None, f"{paragraph(1, 60)}\n\n{small}\n\n{paragraph(2, 60)}").chunks)
    assert any(small in text for text in found)
    long = head + "".join(f"\n| {number} | {number * 3} |" for number in range(200))
    pieces = texts(chunk("d", None, long).chunks)
    assert len(pieces) > 3 and all(piece.startswith(head + "\n") for piece in pieces)
    assert [line for piece in pieces for line in piece.split("\n")[2:]] == long.split("\n")[2:]


def test_a_head_that_is_repeated_counts_against_the_size() -> None:
    head = "| " + " | ".join(f"column {number}" for number in range(40)) + " |\n|" + "---|" * 40
    found = chunk("d", "Wide", head + "".join(f"\n| {number} |" + " x |" * 39 for number in range(60))).chunks
    assert len(found) > 5 and all(tokens(indexed(one.heading, one.text)) + 2 <= 256 for one in found)


def test_a_long_list_is_cut_between_its_items() -> None:
    items = [f"{number}. {paragraph(number, 12)}" for number in range(1, 40)]
    pieces = texts(chunk("d", None, "\n".join(items)).chunks)
    assert len(pieces) > 3 and [line for piece in pieces for line in piece.split("\n")] == items


def test_a_number_of_a_list_or_a_hash_in_code_is_no_heading() -> None:
    (only,) = chunk("d", None, "```\n# a comment\nx = 1\n```\n\nText.").chunks
    assert (only.heading, only.text) == ("", "```\n# a comment\nx = 1\n```\n\nText.")


def test_equal_paragraphs_of_one_document_have_ids_of_their_own() -> None:
    same = paragraph(1, 45)
    found = chunk("d", None, "\n\n".join([f"# {name}\n\n{same}" for name in "ab"])).chunks
    assert (len({one.id for one in found}), len({one.text for one in found})) == (2, 1)
    assert {one.id for one in found}.isdisjoint({one.id for one in chunk("e", None, same).chunks})


def test_what_is_indexed_says_heading_and_words_without_markup() -> None:
    said = indexed("VAT > Dates", "See **the** [dates](../media/a_(b).md) ![icon](x.png \"Icon\") in `vat_return`.<br>Now.\n\n|---|:-:|")
    assert " ".join(said.split()) == "VAT > Dates See the dates icon in vat_return . Now."


PAGE = """<!DOCTYPE html><html><head><title>Opening hours</title><style>p {color: red}</style></head><body><script>var x = "no";</script>
<h1>Offices</h1><p>We are open<br>on <b>weekdays</b>&nbsp;only.</p><ul><li>Berlin<ul><li>Mitte</ul><li>Paris</ul>
<table><tr><th>Day<th>Hours<tr><td>Monday<td>9&ndash;17</table><h2>Holidays</h2><div>Closed &amp; quiet.</div></body></html>"""


def test_html_becomes_text_with_its_structure() -> None:
    (only,) = chunk("d", None, PAGE).chunks
    assert only.text.split("\n") == [
        "# Opening hours", "", "# Offices", "", "We are open", "on weekdays only.", "", "- Berlin", "   - Mitte", "- Paris", "",
        "| Day | Hours |", "| --- | --- |", "| Monday | 9–17 |", "", "## Holidays", "", "Closed & quiet.",
    ]  # fmt: skip


def test_markdown_with_a_few_tags_stays_markdown() -> None:
    text = 'Use <b>Save</b>.<br>\n\n<a name="x"></a>\n\n- one\n- two'
    assert texts(chunk("d", None, text).chunks) == [text]


@pytest.mark.parametrize("tag", ["svg", "noscript", "template", "object", "math"])
def test_a_tag_that_is_left_out_and_never_closed_takes_nothing_else_with_it(tag: str) -> None:
    (only,) = chunk("d", None, f"<html><body><p>Before.</p><{tag} id='a'><p>After.</p><script>var x;</script></body></html>").chunks
    assert "Before." in only.text and "After." in only.text and "var" not in only.text
    (only,) = chunk("d", None, f"<html><body><p>Before.</p><{tag} id='a'>left out</{tag}><p>After.</p></body></html>").chunks
    assert only.text.split() == ["Before.", "After."]


@pytest.mark.parametrize("text", ["<p>Unclosed <b>bold<p>next", "<div" * 50 + "word</div>", "<table><td>cell", "<!-- <p>x</p>"])
def test_broken_html_gives_its_words(text: str) -> None:
    assert chunk("d", None, text).problem is None or "<!--" in text


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "no words"), (" \n\t \n", "no words"), ("| | |\n|---|---|\n| | |", "no words"), ("---\n***\n!!!", "no words"),
        ("\x00\x01\x02PNG\x03\x04" * 50, "binary"), ("\ufffd\ufffdabc" * 100, "binary"), ("long " * 1_000_000, "too long"),
    ],
)  # fmt: skip
def test_what_cannot_be_searched_for_says_why(text: str, problem: str) -> None:
    found = chunk("d", "Title", text)
    assert found.chunks == () and found.problem is not None and found.problem.startswith(f"{problem}:")


def test_a_few_control_characters_are_left_out() -> None:
    (only,) = chunk("d", None, "VAT\x07 is due\r\nin \x1b[1mMay\x1b[0m. " + paragraph(1, 20)).chunks
    assert only.text.startswith("VAT is due\nin [1mMay[0m.")


@pytest.mark.parametrize(
    "text",
    ["财务报表显示收入增长。" * 300, "Die Umsatzsteuervoranmeldung ist am 10. des Folgemonats fällig. " * 80, "налоговая декларация подаётся ежемесячно. " * 80,
     "שלום עולם. " * 300, "🙂 word " * 500, "a" * 30_000, "a\u0301\u0302\u0303" * 3_000],
)  # fmt: skip
def test_no_language_and_no_missing_blank_makes_a_chunk_too_long(text: str) -> None:
    found = chunk("d", None, text).chunks
    assert len(found) > 2 and all(tokens(one.text) <= CAPACITY * 1.3 for one in found)


@pytest.mark.parametrize(
    "text",
    ["Die Umsatzsteuervoranmeldung ist am 10. des Folgemonats fällig. " * 80, "财务报表显示收入增长。" * 300, paragraph(5, 2_000),
     "| Account | Amount |\n|---|---|\n" + "\n".join(f"| {number * 37} | {number * 1234.5:,.2f} |" for number in range(400))],
)  # fmt: skip
def test_with_its_heading_a_chunk_fits_the_window_of_the_packaged_encoder(text: str) -> None:
    made = [tokens(indexed(one.heading, one.text)) + 2 for one in chunk("d", "A title of some words", f"# Part\n\n## Chapter\n\n{text}").chunks]
    assert max(made) <= 256 and sum(made) / len(made) > 100


def test_the_articles_of_a_real_corpus_fit_the_window() -> None:
    documents = finance_articles()
    made = [tokens(indexed(one.heading, one.text)) + 2 for row in documents for one in chunk(row["_id"], row["title"], row["text"]).chunks]
    assert sum(length > 256 for length in made) <= 0.002 * len(made)
