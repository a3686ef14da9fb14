"""Tests of names of persons, of the second labelled set, and of texts that are JSON.

Belongs here: what the rules for names promise. Not here: other personal data (test_privacy.py), examples as stored (examples/test_rescrub.py).
"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learning_pipelines.feedback.privacy import JSON, scrub, scrub_json
from learning_pipelines.feedback.privacy_placeholders import renamed_json, renumbered, strings
from learning_pipelines_tests.feedback.labelled import held_out, scored

FLOORS = {"PERSON": (0.90, 0.95), "EMAIL": (0.94, 0.94)}  # precision, recall; every other entity has none wrong


def test_the_second_set_is_large_and_half_of_it_holds_nothing_personal() -> None:
    sentences = held_out()
    assert len(sentences) >= 250
    assert 0.3 < sum(not one.personal for one in sentences) / len(sentences) < 0.6


def test_precision_and_recall_on_the_second_set_stay_above_their_floors() -> None:
    score = scored(held_out())
    for entity in score.hits | score.misses | score.extra:
        precision, recall = FLOORS.get(entity, (1.0, 1.0))
        assert (score.precision(entity) >= precision, score.recall(entity) >= recall) == (True, True), f"{entity}\n{score.table()}"


@pytest.mark.parametrize(
    ("text", "scrubbed"),
    [
        ("Anna Schmidt called. Frau Schmidt waits; ask Anna.", "<PERSON_1> called. Frau <PERSON_1> waits; ask <PERSON_1>."),
        ("Frau Schmidt called. Anna Schmidt waits.", "Frau <PERSON_1> called. <PERSON_1> waits."),
        ("Weber, Ute\nUte Weber's mail", "<PERSON_1>\n<PERSON_1>'s mail"),
        ("Schmidt is late, says Frau Schmidt. Schmidts Brief fehlt.", "<PERSON_1> is late, says Frau <PERSON_1>. <PERSON_1> Brief fehlt."),
        ("Anna Schmidt and Peter Brandt, then Mr Brandt", "<PERSON_1> and <PERSON_2>, then Mr <PERSON_2>"),
        ("Mark Fielding: please mark it, Mark.", "<PERSON_1>: please mark it, Mark."),
    ],
)
def test_one_person_has_one_placeholder_however_named(text: str, scrubbed: str) -> None:
    assert scrub(text).texts == (scrubbed,)


def test_a_name_found_in_one_text_is_replaced_in_the_others() -> None:
    assert scrub("Lohmann writes again", "Mr Lohmann, hello", '{"by": "lohmann", "who": "Lohmann"}').texts == (
        "<PERSON_1> writes again", "Mr <PERSON_1>, hello", '{"by": "lohmann", "who": "<PERSON_1>"}',
    )  # fmt: skip


def test_the_key_of_a_form_announces_a_name() -> None:
    assert scrub_json({"name": "Uwe Tiedemann", "surname": "Lindemann", "product_name": "Blue Widget", "note": "ask Tiedemann"}) == {
        "name": "<PERSON_1>", "surname": "<PERSON_2>", "product_name": "Blue Widget", "note": "ask <PERSON_1>",
    }  # fmt: skip


@pytest.mark.parametrize(
    "text", ["Mark the invoice as paid", "Schmidt AG", "Albert-Einstein-Straße 12", "Dear customer, hello", "Will you bill May?", "My name is wrong"]
)
def test_words_that_look_like_names_stay(text: str) -> None:
    assert scrub(text).texts == (text,)


@pytest.mark.parametrize(
    "text",
    [
        '{"card": 4111111111111111, "n": 1.50}',
        '[4111111111111111, "Mr Miller"]',
        '{"a": {"name": "Anna Schmidt", "mail": "a@x.de"}, "tel": "+49 171 1234567"}',
        '  {"Anna Schmidt": ["a@x.de", null, true]}\n',
    ],
)
def test_a_text_that_is_json_stays_json_and_keeps_its_shape(text: str) -> None:
    before, after = json.loads(text), json.loads(scrub(text).texts[0] or "")
    assert (type(after), len(after)) == (type(before), len(before))
    assert not {"4111111111111111", "Miller", "Schmidt", "a@x.de"} & {part for part in text.split() if part in (scrub(text).texts[0] or "")}
    assert scrub(scrub(text).texts[0]).texts == scrub(text).texts


VALUES = st.sampled_from(["Anna Schmidt", "Mr Miller", "a@b.de", 4111111111111111, "Tel. 030 1234567", 'say "Hi Anna,"', 1.5, None, True, "Schmidt"])
KEYS = st.sampled_from(["name", "card", "x"])
DOCUMENTS = st.recursive(VALUES, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3)))


@settings(max_examples=150, deadline=None)
@given(st.one_of(st.lists(DOCUMENTS, max_size=4), st.dictionaries(KEYS, DOCUMENTS, max_size=3)))
def test_json_in_a_text_stays_json_and_scrubbing_it_twice_is_scrubbing_it_once(value: JSON) -> None:
    once = scrub(json.dumps(value)).texts[0] or ""
    json.loads(once)
    assert scrub(once).texts == (once,)


def test_placeholders_are_numbered_in_order_of_appearance() -> None:
    value: JSON = ["see <EMAIL_7> and <PERSON_3>", {"<EMAIL_2>": "<EMAIL_7>"}]
    assert renamed_json(value, renumbered(strings([value]))) == ["see <EMAIL_1> and <PERSON_1>", {"<EMAIL_2>": "<EMAIL_1>"}]


def test_the_lists_of_names_are_read_at_the_first_text_and_not_before() -> None:
    code = "import sys, learning_pipelines.feedback.privacy as p; before = 'faker' in sys.modules; p.scrub('Hi'); print(before, 'faker' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split() == ["False", "True"]
