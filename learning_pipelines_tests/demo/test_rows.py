"""The demo's written rows, read as plain files: counts, references, allowed values, and nothing that looks like a real person.
Belongs here: what all files in demo/rows promise. Not here: how messages and questions are worded (test_messages.py, test_questions.py), running the demo."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

import learning_pipelines
from learning_pipelines.feedback.kinds import KINDS

ROWS = Path(learning_pipelines.__file__).parent / "demo" / "rows"
COUNTS = {
    "agents": 3, "messages": 560, "questions": 300, "filing_requests": 40, "comments": 40,
    "examples": 84, "documents": 60, "demonstrations": 150, "retrieval_feedback": 28,
}  # fmt: skip
IMPORTED = sorted(set(COUNTS) & set(KINDS))
STEPS = {
    "submit_return", "request_documents", "request_extension", "send_for_approval", "escalate_partner",
    "register_first", "file_nil_return", "correct_return", "file_objection", "request_instalments",
}  # fmt: skip

EMAIL = re.compile(r"[\w.+-]+@([\w.-]+\w)")
SAFE_DOMAIN = re.compile(r"(^|\.)example\.(com|org|net)$")
WEB_ADDRESS = re.compile(r"https?://|www\.|\b[\w-]+\.(?:com|org|net|io|eu|de|co\.uk)\b")
IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}(?: ?[A-Z0-9]{1,3})?\b")
TEST_IBANS = {"DE89370400440532013000", "GB82WEST12345698765432"}
CARD = re.compile(r"\b(?:\d{4}[ -]?){3}\d{4}\b")
PHONE = re.compile(r"\+\d[\d ]{6,}\d")
FICTION_PHONE = re.compile(r"\+44 20 7946 0\d{3}")


@cache
def rows(kind: str) -> list[dict[str, Any]]:
    with (ROWS / f"{kind}.jsonl").open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


@cache
def documents() -> set[str]:
    return {row["document_id"] for row in rows("documents")}


@cache
def labels(agent: str) -> set[str]:
    return next(set(row["labels"]) for row in rows("agents") if row["agent"] == agent)


def grams(text: str) -> set[str]:
    plain = re.sub(r"\W+", " ", text).strip().casefold()
    return {plain[start : start + 5] for start in range(len(plain) - 4)}


def likeness(one: set[str], other: set[str]) -> float:
    return len(one & other) / len(one | other)


def answer(text: str) -> str:
    """What an answer says, for comparing: the step of a filing, else the words without case and punctuation."""
    step = text.partition(":")[0]
    return step if step in STEPS else re.sub(r"\W+", " ", text).strip().casefold()


def test_the_folder_holds_these_files_and_no_others() -> None:
    assert {path.name for path in ROWS.iterdir()} == {f"{kind}.jsonl" for kind in COUNTS} | {"README.md"}


@pytest.mark.parametrize("kind", COUNTS)
def test_as_many_rows_as_promised(kind: str) -> None:
    assert len(rows(kind)) == COUNTS[kind]


@pytest.mark.parametrize("kind", IMPORTED)
def test_rows_have_the_shape_of_their_kind(kind: str) -> None:
    known = KINDS[kind].model_fields
    for row in rows(kind):
        KINDS[kind].model_validate(row)
        assert set(row) <= set(known), row


@pytest.mark.parametrize("kind", COUNTS)
def test_files_are_compact_utf8_lines_with_keys_in_one_order(kind: str) -> None:
    text = (ROWS / f"{kind}.jsonl").read_bytes().decode("utf-8")
    assert text.endswith("\n") and "\r" not in text and "\\u" not in text
    for line in text.splitlines():
        assert line == json.dumps(json.loads(line), ensure_ascii=False, separators=(",", ":"))
    followers: dict[str, set[str]] = defaultdict(set)
    for row in rows(kind):
        keys = list(row)
        for place, key in enumerate(keys):
            followers[key].update(keys[place + 1 :])
    assert not [(a, b) for a in followers for b in followers[a] if a in followers[b]]


@pytest.mark.parametrize(("kind", "key"), [
    ("agents", "agent"), ("messages", "message_id"), ("questions", "question_id"), ("filing_requests", "request_id"), ("comments", "text"),
    ("examples", "example_id"), ("documents", "document_id"), ("demonstrations", "demonstration_id"),
])  # fmt: skip
def test_ids_occur_once(kind: str, key: str) -> None:
    assert max(Counter(row[key] for row in rows(kind)).values()) == 1


def test_the_readme_counts_are_the_counts() -> None:
    table = dict(re.findall(r"^\| (\w+)\.jsonl \| (\d+) \|", (ROWS / "README.md").read_text(encoding="utf-8"), re.MULTILINE))
    assert {kind: int(n) for kind, n in table.items()} == COUNTS


def test_agents_and_their_closed_labels() -> None:
    agents = {row["agent"]: row for row in rows("agents")}
    assert set(agents) == {"router", "knowledge", "filing"} and "labels" not in agents["knowledge"]
    assert len(labels("router")) >= 12 and all(re.fullmatch(r"[a-z]+", label) for label in labels("router"))
    assert labels("filing") == STEPS
    for agent in ("router", "filing"):
        assert agents[agent]["metric"] == {"type": "exact_match"}
        assert all(re.search(rf"\b{label}\b", agents[agent]["system_prompt"]) for label in labels(agent))


def test_every_row_is_about_an_agent_that_exists() -> None:
    known = {row["agent"] for row in rows("agents")}
    for kind in ("examples", "demonstrations", "retrieval_feedback"):
        assert {row["agent"] for row in rows(kind)} <= known


def test_approved_answers_stay_in_their_closed_sets() -> None:
    for row in rows("examples"):
        if row["agent"] != "knowledge":
            assert row["expected_output"] in labels(row["agent"]), row
    assert {row["intent"] for row in rows("messages")} == labels("router")


def test_every_input_is_written_once() -> None:
    keys = {
        "messages": "text", "questions": "text", "filing_requests": "text", "examples": "input_text",
        "demonstrations": "task_description", "retrieval_feedback": "query",
    }  # fmt: skip
    inputs = Counter(row[key] for kind, key in keys.items() for row in rows(kind))
    assert [text for text, count in inputs.items() if count > 1] == []


def test_people_are_clients_or_staff() -> None:
    for kind in ("messages", "questions", "filing_requests", "examples", "retrieval_feedback"):
        assert all(re.fullmatch(r"[cu]-[a-z]+(-[a-z]+)*", row["user"]) for row in rows(kind) if "user" in row), kind


def test_filing_requests_have_one_shape_and_running_ids() -> None:
    for number, row in enumerate(rows("filing_requests"), 1):
        assert list(row) == ["request_id", "text", "step", "user"] and row["request_id"] == f"filing-{number:03}"
        assert 10 <= len(row["text"].split()) <= 60, row


def test_filing_requests_call_for_every_step() -> None:
    steps = Counter(row["step"] for row in rows("filing_requests"))
    assert set(steps) == STEPS and min(steps.values()) >= 2 and max(steps.values()) <= 10


def test_filing_requests_come_from_the_staff_who_show_filings() -> None:
    assert {row["user"] for row in rows("filing_requests")} <= {row["expert"] for row in rows("demonstrations")}


def test_no_filing_request_is_nearly_another_one_or_something_learnt() -> None:
    asked = [grams(row["text"]) for row in rows("filing_requests")]
    learnt = [grams(row["input_text"]) for row in rows("examples")] + [grams(row["task_description"]) for row in rows("demonstrations")]
    assert max(likeness(one, other) for one, other in combinations(asked, 2)) < 0.5
    assert max(likeness(one, other) for one in asked for other in learnt) < 0.5


def test_comments_are_half_on_right_and_half_on_wrong_answers() -> None:
    assert all(list(row) == ["on", "text"] and row["text"].strip() for row in rows("comments"))
    assert Counter(row["on"] for row in rows("comments")) == {"right answers": 20, "wrong answers": 20}


def test_some_comments_hold_personal_data_for_the_scrub_step() -> None:
    texts = "\n".join(row["text"] for row in rows("comments"))
    assert EMAIL.search(texts) and PHONE.search(texts) and IBAN.search(texts) and CARD.search(texts)


def test_examples_are_approved_and_enough_for_each_agent() -> None:
    per_agent = Counter(row["agent"] for row in rows("examples"))
    assert set(per_agent) == {"router", "knowledge", "filing"} and min(per_agent.values()) >= 16
    for row in rows("examples"):
        assert row["review_status"] == "approved" and row["domain"] == "service_desk"
        assert row["example_type"] in {"correction", "positive", "demonstration", "edge_case"}
        assert (row["example_type"] == "correction") == ("original_output" in row), row
        if "original_output" in row:
            assert answer(row["original_output"]) != answer(row["expected_output"]), row


def test_examples_give_the_splits_something_to_do() -> None:
    pairs = Counter((row["agent"], row["user"]) for row in rows("examples") if "user" in row)
    assert sum(count >= 2 for count in pairs.values()) >= 6
    for agent in ("router", "knowledge", "filing"):
        texts = [grams(row["input_text"]) for row in rows("examples") if row["agent"] == agent]
        near = sum(likeness(a, b) >= 0.6 for i, a in enumerate(texts) for b in texts[:i])
        assert 1 <= near <= 4, agent


def test_documents_are_articles() -> None:
    for row in rows("documents"):
        assert row["document_id"].startswith("kb-") and row["text"].startswith(f"# {row['title']}\n")
        assert "\n## " in row["text"], row["document_id"]
        assert 120 <= len(row["text"].split()) <= 300, row["document_id"]
        assert row["metadata"]["topic"]


def test_demonstrations_lead_to_different_steps() -> None:
    decided: Counter[str] = Counter()
    for row in rows("demonstrations"):
        step = row["final_output"].partition(":")[0]
        assert row["agent"] == "filing" and row["expert"].startswith("u-") and step in STEPS
        assert step in {action["type"] for action in row["actions"]} and row["reasoning"] and row["input_state"]
        decided[step] += 1
    assert len(decided) >= 8 and max(decided.values()) <= len(rows("demonstrations")) * 0.4


def test_retrieval_feedback_names_articles() -> None:
    for row in rows("retrieval_feedback"):
        assert set(row["retrieved"]) | set(row["relevant"]) <= documents() and row["helped"] == bool(row["relevant"])
        assert set(row["relevant"]) <= set(row["retrieved"]), row
    assert any(not row["relevant"] for row in rows("retrieval_feedback"))


@pytest.mark.parametrize("kind", COUNTS)
def test_no_address_number_or_account_that_could_be_real(kind: str) -> None:
    text = (ROWS / f"{kind}.jsonl").read_text(encoding="utf-8")
    assert all(SAFE_DOMAIN.search(domain) for domain in EMAIL.findall(text))
    assert not WEB_ADDRESS.search(EMAIL.sub("", text))
    assert {iban.replace(" ", "") for iban in IBAN.findall(text)} <= TEST_IBANS
    assert {re.sub(r"\D", "", card) for card in CARD.findall(IBAN.sub("", text))} <= {"4111111111111111"}
    assert all(FICTION_PHONE.fullmatch(phone) for phone in PHONE.findall(text))
