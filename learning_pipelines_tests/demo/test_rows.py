"""The demo's written rows, read as plain files: counts, references, allowed values, times, and nothing that looks like a real person.
Belongs here: what the files in demo/rows promise. Not here: importing them into a database or running the demo."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections import Counter, defaultdict
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import learning_pipelines
from learning_pipelines.feedback.kinds import KINDS

ROWS = Path(learning_pipelines.__file__).parent / "demo" / "rows"
MINIMUM = {"agents": 3, "executions": 240, "feedback": 220, "examples": 48, "documents": 60, "demonstrations": 150, "retrieval_feedback": 20}
NEVER_ARRIVE = {"desk-9001", "desk-9002"}
STEPS = {
    "submit_return", "request_documents", "request_extension", "send_for_approval", "escalate_partner",
    "register_first", "file_nil_return", "correct_return", "file_objection", "request_instalments",
}  # fmt: skip
FIRST_DAY, LAST_DAY = dt.date(2026, 9, 21), dt.date(2026, 11, 20)

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
def executions() -> dict[str, dict[str, Any]]:
    return {row["execution_id"]: row for row in rows("executions")}


@cache
def documents() -> set[str]:
    return {row["document_id"] for row in rows("documents")}


def moment(row: dict[str, Any]) -> dt.datetime:
    assert row["created_at"].endswith("Z"), row
    return dt.datetime.fromisoformat(row["created_at"])


def answer(text: str) -> str:
    """What an answer says, for comparing: the step of a filing, else the words without case and punctuation."""
    step = text.partition(":")[0]
    return step if step in STEPS else re.sub(r"\W+", " ", text).strip().casefold()


@pytest.mark.parametrize("kind", MINIMUM)
def test_enough_rows_of_every_kind(kind: str) -> None:
    assert len(rows(kind)) >= MINIMUM[kind]


@pytest.mark.parametrize("kind", MINIMUM)
def test_rows_have_the_shape_of_their_kind(kind: str) -> None:
    known = KINDS[kind].model_fields
    for row in rows(kind):
        KINDS[kind].model_validate(row)
        assert set(row) <= set(known), row


@pytest.mark.parametrize("kind", MINIMUM)
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
    ("agents", "agent"), ("executions", "execution_id"), ("feedback", "feedback_id"), ("examples", "example_id"),
    ("documents", "document_id"), ("demonstrations", "demonstration_id"),
])  # fmt: skip
def test_ids_occur_once(kind: str, key: str) -> None:
    assert max(Counter(row[key] for row in rows(kind)).values()) == 1


def test_the_readme_counts_are_the_counts() -> None:
    table = dict(re.findall(r"^\| (\w+)\.jsonl \| (\d+) \|", (ROWS / "README.md").read_text(encoding="utf-8"), re.MULTILINE))
    assert {kind: int(n) for kind, n in table.items()} == {kind: len(rows(kind)) for kind in MINIMUM}


def test_agents_and_their_closed_labels() -> None:
    agents = {row["agent"]: row for row in rows("agents")}
    assert set(agents) == {"router", "knowledge", "filing"}
    assert agents["router"]["metric"] == {"type": "exact_match"}
    labels = agents["router"]["labels"]
    assert len(labels) >= 12 and all(re.fullmatch(r"[a-z]+", label) for label in labels)
    assert all(label in agents["router"]["system_prompt"] for label in labels)
    assert all(step in agents["filing"]["system_prompt"] for step in STEPS)


def test_answers_stay_in_their_closed_sets() -> None:
    labels = set(rows("agents")[0]["labels"])
    for row in rows("executions"):
        if row["agent"] == "router":
            assert row["output"] in labels, row
        if row["agent"] == "filing":
            assert row["output"].partition(":")[0] in STEPS, row
    for row in rows("examples"):
        if row["agent"] == "router":
            assert row["expected_output"] in labels, row
        if row["agent"] == "filing":
            assert row["expected_output"] in STEPS, row


def test_a_filing_answer_contains_only_its_own_step() -> None:
    for row in rows("executions"):
        if row["agent"] == "filing":
            assert [step for step in STEPS if step in row["output"]] == [row["output"].partition(":")[0]], row


def test_every_label_and_step_is_answered_somewhere() -> None:
    assert {row["output"] for row in rows("executions") if row["agent"] == "router"} == set(rows("agents")[0]["labels"])
    assert {row["output"].partition(":")[0] for row in rows("executions") if row["agent"] == "filing"} == STEPS


def test_executions_per_agent_and_users() -> None:
    per_agent = Counter(row["agent"] for row in rows("executions"))
    assert per_agent["router"] >= 115 and per_agent["knowledge"] >= 78 and per_agent["filing"] >= 40
    users = Counter(row["user"] for row in rows("executions"))
    assert 40 <= len(users) <= 55 and all(user.startswith(("c-", "u-")) for user in users)


def test_executions_are_in_order_within_business_hours_and_cover_every_week() -> None:
    times = [moment(row) for row in rows("executions")]
    assert times == sorted(times)
    assert all(FIRST_DAY <= time.date() <= LAST_DAY and time.weekday() < 5 for time in times)
    assert all(dt.time(8, 30) <= time.time() <= dt.time(17, 30) for time in times)
    mondays = {time.date() - dt.timedelta(days=time.weekday()) for time in times}
    assert mondays == {FIRST_DAY + dt.timedelta(weeks=week) for week in range(9)}


def test_every_input_is_written_once() -> None:
    inputs = [row["input"] for row in rows("executions")] + [row["input_text"] for row in rows("examples")]
    assert len(inputs) == len(set(inputs))


def test_knowledge_executions_name_articles_in_rank_order() -> None:
    for row in rows("executions"):
        if row["agent"] != "knowledge":
            assert "retrieved" not in row
            continue
        found = row["retrieved"]
        assert [hit["rank"] for hit in found] == list(range(1, len(found) + 1)) and found
        assert all(hit["document_id"] in documents() for hit in found)
        scores = [hit["score"] for hit in found]
        assert scores == sorted(scores, reverse=True) and all(0 < score < 1 for score in scores)


def test_feedback_refers_to_executions_except_the_intended_two() -> None:
    assert {row["execution_id"] for row in rows("feedback")} - set(executions()) == NEVER_ARRIVE
    for row in rows("feedback"):
        if row["execution_id"] in NEVER_ARRIVE:
            assert row["agent"] in {"router", "knowledge", "filing"}
        elif "agent" in row:
            assert row["agent"] == executions()[row["execution_id"]]["agent"]
    assert sum("agent" in row for row in rows("feedback")) == 4


def test_feedback_comes_in_order_and_after_its_execution() -> None:
    times = [moment(row) for row in rows("feedback")]
    assert times == sorted(times)
    for row in rows("feedback"):
        if row["execution_id"] in executions():
            assert moment(row) > moment(executions()[row["execution_id"]]), row


def test_feedback_has_all_types_on_about_two_thirds_of_the_executions() -> None:
    types = Counter(row["feedback_type"] for row in rows("feedback"))
    assert len(types) == 6 and min(types.values()) >= 10
    share = len({row["execution_id"] for row in rows("feedback")} & set(executions())) / len(executions())
    assert 0.6 <= share <= 0.75
    assert sum("user" not in row for row in rows("feedback")) >= 5


def test_some_people_change_their_mind() -> None:
    said: dict[tuple[str, str], list[Any]] = defaultdict(list)
    for row in rows("feedback"):
        if row["feedback_type"] in {"thumbs_up", "thumbs_down", "star_rating"} and "user" in row:
            facet = "stars" if row["feedback_type"] == "star_rating" else "thumb"
            said[f"{row['execution_id']} {facet}", row["user"]].append(row.get("rating", row["feedback_type"]))
    assert sum(len(set(values)) > 1 for values in said.values()) >= 4


def test_corrections_differ_from_the_outputs_and_stay_in_the_closed_sets() -> None:
    labels = set(rows("agents")[0]["labels"])
    corrections = [row for row in rows("feedback") if "correction_text" in row]
    assert {row["feedback_type"] for row in corrections} == {"correction"}
    for row in corrections:
        execution = executions()[row["execution_id"]]
        assert answer(row["correction_text"]) != answer(execution["output"]), row
        if execution["agent"] == "router":
            assert row["correction_text"] in labels, row
        if execution["agent"] == "filing":
            assert row["correction_text"] in STEPS, row


def test_ratings_agree_with_corrections() -> None:
    corrected = {row["execution_id"] for row in rows("feedback") if "correction_text" in row}
    stars: dict[bool, list[int]] = {True: [], False: []}
    for row in rows("feedback"):
        if "rating" in row and row["execution_id"] in executions():
            stars[row["execution_id"] in corrected].append(row["rating"])
    assert sum(stars[True]) / len(stars[True]) < 2.6
    assert sum(stars[False]) / len(stars[False]) > 4


def test_some_feedback_holds_personal_data_for_the_scrub_step() -> None:
    texts = "\n".join(f"{row.get('feedback_text', '')}\n{row.get('correction_text', '')}" for row in rows("feedback"))
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

    def grams(text: str) -> set[str]:
        plain = re.sub(r"\W+", " ", text).strip().casefold()
        return {plain[start : start + 5] for start in range(len(plain) - 4)}

    for agent in ("router", "knowledge", "filing"):
        texts = [grams(row["input_text"]) for row in rows("examples") if row["agent"] == agent]
        near = sum(len(a & b) / len(a | b) >= 0.6 for i, a in enumerate(texts) for b in texts[:i])
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


@pytest.mark.parametrize("kind", MINIMUM)
def test_no_address_number_or_account_that_could_be_real(kind: str) -> None:
    text = (ROWS / f"{kind}.jsonl").read_text(encoding="utf-8")
    assert all(SAFE_DOMAIN.search(domain) for domain in EMAIL.findall(text))
    assert not WEB_ADDRESS.search(EMAIL.sub("", text))
    assert {iban.replace(" ", "") for iban in IBAN.findall(text)} <= TEST_IBANS
    assert {re.sub(r"\D", "", card) for card in CARD.findall(IBAN.sub("", text))} <= {"4111111111111111"}
    assert all(FICTION_PHONE.fullmatch(phone) for phone in PHONE.findall(text))
