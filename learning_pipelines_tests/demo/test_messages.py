"""The sorted client messages and the experts' filings of the demo: counts, closed sets, no near-duplicates, and rules that hold on the stated facts.
Belongs here: what messages.jsonl and demonstrations.jsonl promise. Not here: the other rows (test_rows.py), or how anything learns from them."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections import Counter, defaultdict
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

import learning_pipelines

ROWS = Path(learning_pipelines.__file__).parent / "demo" / "rows"
PER_INTENT = 40
DEMONSTRATIONS = 150
LARGEST, CHANGE, FEW_DAYS, TO_OBJECT = 50_000, 0.25, 3, 30  # the limits of kb-filing-procedure
STEPS = {
    "submit_return", "request_documents", "request_extension", "send_for_approval", "escalate_partner",
    "register_first", "file_nil_return", "correct_return", "file_objection", "request_instalments",
}  # fmt: skip
CHECKS = {
    "check_registration", "read_file", "compare_figures", "check_documents", "count_days",
    "check_approval", "check_payment", "write_message", "set_reminder", "file_note",
}  # fmt: skip
TASKS = {"vat_return", "wage_statement", "corporate_return", "annual_accounts", "objection", "correction"}
EMAIL = re.compile(r"@([\w.-]+\w)")
IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}(?: ?[A-Z0-9]{1,3})?\b")
PHONE = re.compile(r"\+\d[\d ]{6,}\d")


@cache
def rows(kind: str) -> list[dict[str, Any]]:
    with (ROWS / f"{kind}.jsonl").open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def labels() -> set[str]:
    return next(set(row["labels"]) for row in rows("agents") if row["agent"] == "router")


def grams(text: str) -> set[str]:
    plain = re.sub(r"\W+", " ", text).strip().casefold()
    return {plain[start : start + 5] for start in range(len(plain) - 4)}


def alike(one: set[str], other: set[str], limit: float = 0.5) -> bool:
    if min(len(one), len(other)) < limit * max(len(one), len(other)):
        return False  # sets of so different sizes cannot reach the limit
    return len(one & other) >= limit * len(one | other)


def step_of(row: dict[str, Any]) -> str:
    return str(row["final_output"].partition(":")[0])


def working_days(today: dt.date, due: dt.date) -> int:
    """From the day after the request up to the due date."""
    return sum((today + dt.timedelta(days=n)).weekday() < 5 for n in range(1, (due - today).days + 1))


def objection_ends(state: dict[str, Any]) -> dt.date:
    last = dt.date.fromisoformat(state["notice_date"]) + dt.timedelta(days=TO_OBJECT + (3 if state["delivery"] == "post" else 0))
    return last + dt.timedelta(days=max(0, 7 - last.weekday()) if last.weekday() > 4 else 0)


def step_by_the_rules(state: dict[str, Any]) -> str:
    """The first rule of kb-filing-procedure that fits; a fact that is not stated is in order."""
    today = dt.date.fromisoformat(state["today"])
    tax, prior = abs(state.get("tax", 0)), state.get("prior_tax", 0)
    jump = prior != 0 and abs(state["tax"] - prior) > CHANGE * abs(prior) and state.get("note") != "yes"
    if state.get("registered", "yes") != "yes":
        return "register_first"
    if state.get("difference"):
        return "file_objection" if today <= objection_ends(state) else "escalate_partner"
    if "client_agrees" in state:
        return "correct_return" if state["client_agrees"] == "yes" else "escalate_partner"
    if "anomaly" in state or tax > LARGEST or jump:
        return "escalate_partner"
    if "missing" in state:
        return "request_extension" if working_days(today, dt.date.fromisoformat(state["due"])) <= FEW_DAYS else "request_documents"
    if state.get("sales") == 0 and state.get("purchases") == 0:
        return "file_nil_return"
    if state.get("approved_by", "approver") != "approver":
        return "send_for_approval"
    if state.get("can_pay") == "no":
        return "escalate_partner" if state.get("tax_kind") == "wage tax" else "request_instalments"
    return "submit_return"


def test_forty_messages_for_each_label_of_the_router() -> None:
    counts = Counter(row["intent"] for row in rows("messages"))
    assert counts == dict.fromkeys(labels(), PER_INTENT) and len(counts) >= 14


def test_messages_have_one_shape_and_running_ids() -> None:
    for number, row in enumerate(rows("messages"), 1):
        assert list(row) == ["message_id", "text", "intent", "user"] and row["message_id"] == f"msg-{number:04d}"
        assert re.fullmatch(r"c-[a-z]+(-[a-z]+)*", row["user"]), row


@pytest.mark.parametrize("kind", ["messages", "demonstrations"])
def test_files_are_compact_lines_of_utf8(kind: str) -> None:
    text = (ROWS / f"{kind}.jsonl").read_bytes().decode("utf-8")
    assert text.endswith("\n") and "\r" not in text and "\\u" not in text
    for line in text.splitlines():
        assert line == json.dumps(json.loads(line), ensure_ascii=False, separators=(",", ":"))


def test_messages_are_short_and_long() -> None:
    lengths = sorted(len(row["text"].split()) for row in rows("messages"))
    assert lengths[0] >= 5 and lengths[-1] <= 60
    assert lengths[len(lengths) // 10] <= 11 and lengths[-len(lengths) // 50] >= 40


def test_no_two_messages_are_alike_and_none_repeats_an_example() -> None:
    written = [(row["message_id"], grams(row["text"])) for row in rows("messages")]
    known = [(row["example_id"], grams(row["input_text"])) for row in rows("examples") if row["agent"] == "router"]
    near = [(a, b) for (a, one), (b, other) in combinations(written, 2) if alike(one, other)]
    near += [(a, b) for a, one in written for b, other in known if alike(one, other)]
    assert not near


def test_clients_write_several_messages_about_several_things() -> None:
    intents: dict[str, list[str]] = defaultdict(list)
    for row in rows("messages"):
        intents[row["user"]].append(row["intent"])
    counts = sorted(map(len, intents.values()), reverse=True)
    assert 80 <= len(counts) <= 100 and counts[-1] >= 2
    assert counts[0] >= 3 * counts[len(counts) // 2 + len(counts) // 4] and sum(counts[: len(counts) // 5]) >= 0.3 * sum(counts)
    assert min(len(set(values)) for values in intents.values()) >= 2


def test_a_tenth_of_every_intent_holds_the_word_of_another() -> None:
    hard: Counter[str] = Counter()
    for row in rows("messages"):
        words = set(re.findall(r"[a-z]+", row["text"].casefold()))
        hard[row["intent"]] += any(words & {other, other + "s", other.removesuffix("s")} for other in labels() - {row["intent"]})
    assert all(PER_INTENT // 10 <= hard[label] <= PER_INTENT // 3 for label in labels()), hard
    assert sum(hard.values()) >= 0.15 * len(rows("messages"))


def test_nothing_in_a_message_could_be_real() -> None:
    text = (ROWS / "messages.jsonl").read_text(encoding="utf-8")
    assert not EMAIL.search(text)
    assert not re.search(r"https?://|www\.|\b[\w-]+\.(?:com|org|net|io|eu|de|co\.uk)\b", text)
    assert {iban.replace(" ", "") for iban in IBAN.findall(text)} <= {"GB82WEST12345698765432"}
    assert all(re.fullmatch(r"\+44 20 7946 0\d{3}", phone) for phone in PHONE.findall(text))


def test_as_many_demonstrations_tasks_and_experts_as_promised() -> None:
    assert len(rows("demonstrations")) == DEMONSTRATIONS
    assert {row["task_type"] for row in rows("demonstrations")} == TASKS
    experts = Counter(row["expert"] for row in rows("demonstrations"))
    assert len(experts) >= 5 and min(experts.values()) >= 20 and all(re.fullmatch(r"u-[a-z]+-[a-z]+", expert) for expert in experts)
    steps = Counter(step_of(row) for row in rows("demonstrations"))
    assert set(steps) == STEPS and min(steps.values()) >= 8


def test_actions_come_from_a_closed_set_and_end_in_the_step() -> None:
    used: Counter[str] = Counter()
    for row in rows("demonstrations"):
        types = [action["type"] for action in row["actions"]]
        assert 2 <= len(types) <= 7 and set(types) <= STEPS | CHECKS, row["demonstration_id"]
        assert step_of(row) in types and types[0] in CHECKS, row["demonstration_id"]
        assert all(list(action) == ["type", "arguments", "context"] and action["context"]["found"] for action in row["actions"])
        used.update(set(types))
    assert set(used) == STEPS | CHECKS and min(used[check] for check in CHECKS) >= 20


def test_experts_have_habits() -> None:
    first: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows("demonstrations"):
        first[row["expert"]][row["actions"][0]["type"]] += 1
    assert len({counts.most_common(1)[0][0] for counts in first.values()}) >= 3


def test_the_step_follows_from_the_stated_facts() -> None:
    for row in rows("demonstrations"):
        assert step_by_the_rules(row["input_state"]) == step_of(row), row["demonstration_id"]


def test_the_deciding_amounts_and_days_are_in_the_request() -> None:
    for row in rows("demonstrations"):
        state, text = row["input_state"], row["task_description"]
        amounts = [abs(value) for value in state.values() if isinstance(value, int) and abs(value) >= 100]
        assert all(f"{amount:,}" in text or str(amount) in text for amount in amounts), row["demonstration_id"]
        days = {"request_documents": ["today", "due"], "request_extension": ["today", "due"], "file_objection": ["today", "notice_date"]}
        for key in days.get(step_of(row), []):
            assert re.search(rf"\b{dt.date.fromisoformat(state[key]).day}(st|nd|rd|th)?\b", text), (row["demonstration_id"], key)


def test_a_named_weekday_is_the_weekday_of_a_stated_date() -> None:
    for row in rows("demonstrations"):
        dates = [dt.date.fromisoformat(row["input_state"][key]) for key in ("today", "due", "notice_date") if key in row["input_state"]]
        stated = {(date.strftime("%A"), str(date.day)) for date in dates}
        found = re.findall(r"(Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday)(?: the)? (\d+)", row["task_description"])
        assert set(found) <= stated, row["demonstration_id"]


def test_both_sides_of_every_limit_occur() -> None:
    states = [(step_of(row), row["input_state"]) for row in rows("demonstrations")]
    left = {
        (step, working_days(dt.date.fromisoformat(state["today"]), dt.date.fromisoformat(state["due"])))
        for step, state in states
        if step in {"request_documents", "request_extension"}
    }
    assert {("request_extension", FEW_DAYS), ("request_documents", FEW_DAYS + 1)} <= left
    taxes = [abs(state["tax"]) for _, state in states if "tax" in state]
    assert any(0.95 * LARGEST <= tax <= LARGEST for tax in taxes) and any(LARGEST < tax <= 1.05 * LARGEST for tax in taxes)
    assert any(step == "file_objection" and dt.date.fromisoformat(state["today"]) == objection_ends(state) for step, state in states)


def test_requests_are_written_one_by_one() -> None:
    written = [(row["demonstration_id"], grams(row["task_description"])) for row in rows("demonstrations")]
    assert not [(a, b) for (a, one), (b, other) in combinations(written, 2) if alike(one, other)]
    assert len({row["reasoning"] for row in rows("demonstrations")}) == DEMONSTRATIONS
