"""What may not stand in a proposed prompt.

Belongs here: one fault, one test, and what is no fault. Not here: personal data of all kinds (feedback/test_privacy.py), dropping (test_search.py).
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from learning_pipelines.llm import Message
from learning_pipelines.prompts.hygiene import can_be_shown, faults, length_pays, max_chars
from learning_pipelines.prompts.prompt import Demonstration, Prompt, Retrieval
from learning_pipelines.prompts.task import Candidate, Item, Task

LONG = "My parcel with the blue lamp was left at the wrong door on Tuesday evening"
TRAIN = (Item("t1", LONG, "delivery"), Item("t2", "Where is my refund now", "refund"), Item("t3", "The lamp flickers", "The lamp should be replaced."))
TASK = Task("desk", Prompt((Message("system", "Name the topic of the message."),)), {"type": "exact_match"}, TRAIN, (), (), ("delivery", "refund"))


def kinds(prompt: Prompt, shown: tuple[str, ...] = (), task: Task = TASK) -> set[str]:
    return {fault.kind for fault in faults(Candidate(prompt, "test", shown), task)}


def worded(text: str) -> Prompt:
    return TASK.incumbent.with_instruction(text)


def shows(*pairs: tuple[str, str]) -> Prompt:
    return TASK.incumbent.with_demonstrations([Demonstration(*pair) for pair in pairs])


def test_an_instruction_of_its_own_words_has_no_fault() -> None:
    assert kinds(worded("Name the topic of the message: delivery or refund. Answer with one word.")) == set()


def test_eight_tokens_in_a_row_are_copied_and_seven_are_not() -> None:
    assert "copied_span" in kinds(worded("Look out for: with the blue lamp was left at the"))
    assert kinds(worded("Look out for: with the blue lamp was left at")) == set()


@pytest.mark.parametrize(
    "copied",
    [
        "MY PARCEL, with the «blue» lamp -- was left!",
        "My parcel with\nthe blue\n\n- lamp was left at",
        "My parcel with the blue la\u00admp was left",
        "Ｍｙ parcel with the blue lamp was left",
    ],
)
def test_case_punctuation_line_breaks_and_invisible_characters_do_not_hide_a_copy(copied: str) -> None:
    assert "copied_span" in kinds(worded(f"Say delivery to {copied}."))


def test_a_copy_cut_into_two_messages_is_found() -> None:
    prompt = Prompt((Message("system", "Topic? My parcel with the"), Message("user", "blue lamp was left at the wrong door {{input}}")))
    task = replace(TASK, incumbent=Prompt((Message("system", "Topic?"), Message("user", "{{input}}"))))
    assert "copied_span" in kinds(prompt, task=task)


def test_copies_from_any_split_and_from_the_context_count() -> None:
    hidden = Item("v1", "short", "x", {"notes": ["the customer has called us twice about a lamp before"]})
    task = replace(TASK, train=(), test=(hidden,))
    assert "copied_span" in kinds(worded("Note: the customer has called us twice about a lamp"), task=task)


def test_what_the_present_prompt_says_already_is_no_copy() -> None:
    own = "Name the topic. Example: my parcel with the blue lamp was left at the wrong door."
    task = replace(TASK, incumbent=worded(own))
    assert kinds(worded(own + " One word."), task=task) == set()


def test_the_labels_may_be_listed_even_where_an_example_lists_them_too() -> None:
    labels = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
    task = replace(TASK, labels=labels, train=(Item("t", "hello there", "one", {"labels": list(labels)}),))
    assert kinds(worded("Answer with one of: " + ", ".join(labels)), task=task) == set()


def test_a_declared_demonstration_may_be_shown_in_its_turns() -> None:
    assert kinds(shows((LONG, "delivery")), ("t1",)) == set()


def test_a_demonstration_is_exempt_only_declared_verbatim_and_with_the_approved_answer() -> None:
    assert "copied_span" in kinds(shows((LONG, "delivery")))
    assert "copied_span" in kinds(shows((LONG + " again", "delivery")), ("t1",))
    assert "undeclared_demonstration" in kinds(shows((LONG, "refund")), ("t1",))
    assert "copied_span" in kinds(worded(f"Example: {LONG} → delivery"), ("t1",))


def test_no_text_of_a_user_enters_the_system_role() -> None:
    assert "user_text_in_system" in kinds(worded(f"Example: {LONG}"), ("t1",))
    assert "user_text_in_system" in kinds(worded("Someone asks: where is my refund now?"))  # a whole input, shorter than a span


def test_personal_data_is_a_fault_and_its_value_is_not_told() -> None:
    (fault,) = faults(Candidate(worded("Forward complaints to anna.schmidt@example.org at once."), "test"), TASK)
    assert fault.kind == "personal_data" and "EMAIL" in fault.detail and "anna" not in fault.detail


def test_personal_data_of_the_present_prompt_and_placeholders_are_none_that_was_proposed() -> None:
    own = "Name the topic. Questions go to desk@example.org."
    assert kinds(worded(own + " One word."), task=replace(TASK, incumbent=worded(own))) == set()
    assert kinds(worded("Name the topic, whoever <EMAIL_1> is.")) == set()


@pytest.mark.parametrize("text", ["Answer {{secret}}.", "Answer {% if x %}.", "Answer for {{ input }}."])
def test_a_variable_that_the_present_prompt_does_not_have_is_a_fault(text: str) -> None:
    assert "template" in kinds(worded(text))


def test_variables_of_the_present_prompt_have_to_stay() -> None:
    task = replace(TASK, incumbent=worded("You work for {{company}}."))
    assert kinds(worded("Name the topic. You work for {{ company }}."), task=task) == set()
    assert "template" in kinds(worded("Name the topic."), task=task)


@pytest.mark.parametrize(
    "text", ["Go. <|im_start|>system", "Go [/INST] now", "Go <<SYS>>", "Go.\nAssistant: refund", "Go.\n### User: hello", "<start_of_turn>user"]
)
def test_a_marker_of_another_turn_is_a_fault(text: str) -> None:
    assert "chat_role" in kinds(worded(text))


def test_examples_that_break_out_of_their_turn_or_name_somebody_are_not_shown() -> None:
    assert can_be_shown(TRAIN[0])
    for text in ("Please {{input}}", "x <|im_end|>", " ", "Write to anna.schmidt@example.org"):
        assert not can_be_shown(Item("bad", text, "delivery"))
    bad = Item("bad", "Please {{input}}", "delivery")
    assert "template" in kinds(shows((bad.input, bad.expected)), ("bad",), replace(TASK, train=(bad,)))


def test_an_empty_prompt_is_a_fault() -> None:
    assert "empty" in kinds(worded("  "))


def test_an_instruction_beyond_all_measure_does_not_race() -> None:
    assert max_chars(TASK) == 4_000 and "length" in kinds(worded("word " * 801))


def test_up_to_one_and_a_half_times_the_length_needs_no_gain() -> None:
    assert length_pays(Candidate(worded("x"), "test"), TASK, 0.0, (150, 100))


def test_demonstrations_that_add_length_must_gain_the_minimum_effect() -> None:
    nearest = Candidate(replace(TASK.incumbent, retrieval=Retrieval(5)), "test")
    assert not length_pays(nearest, TASK, 0.019, (400, 20)) and length_pays(nearest, TASK, 0.02, (400, 20))


def test_a_longer_instruction_pays_for_each_token() -> None:
    longer = Candidate(worded("Name the topic. " * 100), "test")  # about 400 tokens
    assert not length_pays(longer, TASK, 0.03, (410, 20)) and length_pays(longer, TASK, 0.06, (410, 20))
    assert {fault.kind for fault in faults(longer, TASK, gain=0.03, tokens=(410, 20))} == {"length"}


def test_the_incumbent_itself_was_not_proposed() -> None:
    assert faults(Candidate(TASK.incumbent, "incumbent"), TASK, gain=0.0) == []
