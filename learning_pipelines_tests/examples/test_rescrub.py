"""Examples that older rules scrubbed: scrubbed again by themselves, with id, review, split and support kept, and joined where they became the same.

Belongs here: examples as stored before and after. Not here: what the rules find (feedback/test_privacy.py), datasets as assets (defs/).
"""

from __future__ import annotations

import datetime as dt
from dataclasses import fields
from typing import Any

import pytest

from learning_pipelines.examples.datasets import refresh_dataset
from learning_pipelines.examples.refresh import refresh_examples
from learning_pipelines.examples.rescrub import raw_account_numbers, rescrub_examples, settle
from learning_pipelines.examples.scrubbing import Content, scrubbed
from learning_pipelines.examples.similarity import DuplicateRule
from learning_pipelines.feedback import privacy_patterns
from learning_pipelines.feedback.privacy import RULES_VERSION
from learning_pipelines.storage import rescrub as storage
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.rescrub import CONTENT, Holder
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.feedback.rows import AGENT, Row, agent_ref, execution, said, table

Older = Any


@pytest.fixture(autouse=True)
def _agent(load: Load) -> None:
    load("agents", [AGENT])


@pytest.fixture
def by_older_rules(load: Load, pipeline: Connection, monkeypatch: pytest.MonkeyPatch) -> Older:
    """`by_older_rules(corrections)`: execution → (input, correction) become examples as rules that knew no names made them."""

    def make(corrections: dict[str, tuple[str, str]]) -> list[Row]:
        load("executions", [execution(name, user=f"asker-{name}") | {"input": asked} for name, (asked, _) in corrections.items()])
        moments = (f"2026-03-02T08:00:{second:02}Z" for second in range(60))
        said_so = [(name, text, next(moments)) for name, (_, text) in corrections.items()]
        load("feedback", [said(f"f-{name}", name, "correction", user=f"rater-{name}", correction_text=text, created_at=at) for name, text, at in said_so])
        with monkeypatch.context() as patched:
            patched.setattr(privacy_patterns, "names", lambda text: iter(()))
            refresh_examples(pipeline, agent_ref(pipeline))
        pipeline.execute("UPDATE learning_examples SET scrub_rules = '1'")
        return examples(pipeline)

    return make


def examples(connection: Connection) -> list[Row]:
    return sorted(table(connection, "learning_examples"), key=lambda row: str(row["source_id"]))


def again(connection: Connection, **options: int) -> Any:
    return rescrub_examples(connection, agent_ref(connection), **options)


def test_an_example_of_older_rules_is_scrubbed_by_the_next_refresh(by_older_rules: Older, pipeline: Connection) -> None:
    (before,) = by_older_rules({"e1": ("Where is Frau Schmidt's parcel? Mail a@x.de", "Tell Anna Schmidt it is here.")})
    assert "Schmidt" in before["input_text"]
    done = refresh_examples(pipeline, agent_ref(pipeline)).again
    (after,) = examples(pipeline)
    assert (after["input_text"], after["expected_output"]) == ("Where is Frau <PERSON_1>'s parcel? Mail <EMAIL_1>", "Tell <PERSON_1> it is here.")
    assert (after["scrub_rules"], after["scrubbed_entities"], done.replaced) == (RULES_VERSION, {"EMAIL": 1, "PERSON": 1}, {"PERSON": 1})


def test_id_review_and_split_are_kept(by_older_rules: Older, pipeline: Connection) -> None:
    by_older_rules({"e1": ("Hi Anna,", "Dear Mr Miller, form 7.")})
    pipeline.execute("UPDATE learning_examples SET review_status = 'approved', reviewed_at = now(), review_notes = 'Ask Peter Brandt.'")
    dataset(pipeline)
    (before,), splits = examples(pipeline), table(pipeline, "example_splits")
    again(pipeline)
    (after,) = examples(pipeline)
    kept = ("id", "review_status", "reviewed_at", "user_id", "source_id", "created_at", "is_active")
    assert [after[name] for name in kept] == [before[name] for name in kept]
    assert after["content_hash"] != before["content_hash"]
    assert after["review_notes"] == "Ask <PERSON_3>."
    assert table(pipeline, "example_splits") == splits


def test_scrubbing_again_twice_is_scrubbing_again_once(by_older_rules: Older, pipeline: Connection) -> None:
    by_older_rules({f"e{i}": (f"Hi Anna, {i}?", f"Dear Mr Miller, form {i}.") for i in range(7)})
    assert again(pipeline, batch=3).examples == 7
    before = examples(pipeline)
    assert again(pipeline).examples == 0
    assert examples(pipeline) == before


def test_text_without_personal_data_keeps_its_content_and_gets_the_new_mark(by_older_rules: Older, pipeline: Connection) -> None:
    (before,) = by_older_rules({"e1": ("Which form?", "Form 7.")})
    done = again(pipeline)
    (after,) = examples(pipeline)
    assert (done.examples, done.changed) == (1, 0)
    assert {name for name in before if before[name] != after[name]} == {"scrub_rules", "updated_at"}


def test_examples_of_newer_rules_are_left_alone(by_older_rules: Older, pipeline: Connection) -> None:
    by_older_rules({"e1": ("Hi Anna,", "Form 7.")})
    pipeline.execute("UPDATE learning_examples SET scrub_rules = '10'")
    assert again(pipeline).examples == 0


def test_older_means_the_smaller_number_not_the_earlier_letter(by_older_rules: Older, pipeline: Connection) -> None:
    by_older_rules({"e1": ("Which form?", "Form 7.")})
    agent = agent_ref(pipeline)
    for stored, current, older in (("9", "10", True), ("10", "9", False), ("10", "10", False), ("2", "10", True)):
        pipeline.execute("UPDATE learning_examples SET scrub_rules = %s", [stored])
        assert storage.is_any_older(pipeline, agent, current) is older


def test_finding_none_reads_the_index_alone(by_older_rules: Older, pipeline: Connection) -> None:
    by_older_rules({"e1": ("Which form?", "Form 7.")})
    agent = agent_ref(pipeline)
    # Enough rows, and counted ones, that the plan does not hang on when the server last looked at an all but empty table.
    pipeline.execute(
        """INSERT INTO learning_examples SELECT (jsonb_populate_record(e, jsonb_build_object('id', gen_random_uuid(), 'scrub_rules', %s::text,
            'content_hash', sha256(n::text::bytea)::text))).* FROM learning_examples e, generate_series(1, 2000) AS n""",
        [RULES_VERSION],
    )
    pipeline.execute("ANALYZE learning_examples")
    plan = pipeline.execute(
        """EXPLAIN SELECT EXISTS (SELECT FROM learning_examples WHERE organization_id = %s AND agent_id = %s
        AND (length(scrub_rules), scrub_rules) < (length(%s), %s))""",
        [agent.organization_id, agent.agent_id, RULES_VERSION, RULES_VERSION],
    ).fetchall()
    assert "learning_examples_scrub_rules" in str(plan)
    assert "length(scrub_rules)" in next(str(row) for row in plan if "Index Cond" in str(row))


def test_the_same_feedback_derived_anew_means_the_example_with_its_former_id(by_older_rules: Older, pipeline: Connection) -> None:
    by_older_rules({"e1": ("Where is Frau Schmidt's parcel?", "Tell Anna Schmidt it is here.")})
    refresh_examples(pipeline, agent_ref(pipeline))
    before, support = examples(pipeline), table(pipeline, "example_sources")
    pipeline.execute("DELETE FROM outbox_positions")
    done = refresh_examples(pipeline, agent_ref(pipeline))
    assert (done.created, done.withdrawn) == (0, 0)
    assert (examples(pipeline), table(pipeline, "example_sources")) == (before, support)


def test_examples_that_differed_by_a_name_become_one_with_the_support_of_both(by_older_rules: Older, pipeline: Connection) -> None:
    first, second = by_older_rules({"e1": ("Hi, where is it?", "Dear Mr Miller, here."), "e2": ("Hi, where is it?", "Dear Mr Fielding, here.")})
    assert again(pipeline).merged == 1
    stays, goes = examples(pipeline)
    assert (stays["id"], stays["is_active"], goes["id"], goes["is_active"]) == (first["id"], True, second["id"], False)
    assert "Fielding" not in goes["expected_output"]
    assert {(row["feedback_id"], row["example_id"]) for row in table(pipeline, "example_sources")} == {("f-e1", stays["id"]), ("f-e2", stays["id"])}
    pipeline.execute("DELETE FROM outbox_positions")
    refresh_examples(pipeline, agent_ref(pipeline))
    assert [row["is_active"] for row in examples(pipeline)] == [True, False]


def test_what_was_withdrawn_for_another_does_not_come_back_although_its_id_is_that_of_the_content(by_older_rules: Older, pipeline: Connection) -> None:
    """Older rules had found the name in one of them: deriving both anew makes the content that this one had from the beginning."""
    first, second = by_older_rules({"e1": ("Hi, where is it?", "Dear Mr Miller, here."), "e2": ("Hi, where is it?", "Dear Mr <PERSON_1>, here.")})
    assert again(pipeline).merged == 1
    pipeline.execute("DELETE FROM outbox_positions")
    refresh_examples(pipeline, agent_ref(pipeline))
    assert [(row["id"], row["is_active"]) for row in examples(pipeline)] == [(first["id"], True), (second["id"], False)]
    assert {row["example_id"] for row in table(pipeline, "example_sources")} == {first["id"]}


@pytest.mark.parametrize("batch", [1, 500])
def test_the_reviewed_one_stays_and_no_review_is_lost(by_older_rules: Older, pipeline: Connection, batch: int) -> None:
    _, second = by_older_rules({"e1": ("Hi, where is it?", "Dear Mr Miller, here."), "e2": ("Hi, where is it?", "Dear Mr Fielding, here.")})
    pipeline.execute("UPDATE learning_examples SET review_status = 'approved', reviewed_at = now() WHERE id = %s", [second["id"]])
    again(pipeline, batch=batch)
    one, other = examples(pipeline)
    assert (one["is_active"], other["is_active"], other["review_status"]) == (False, True, "approved")


def test_of_two_decisions_the_newest_stands_and_the_other_stays_on_record(by_older_rules: Older, pipeline: Connection) -> None:
    first, second = by_older_rules({"e1": ("Hi, where is it?", "Dear Mr Miller, here."), "e2": ("Hi, where is it?", "Dear Mr Fielding, here.")})
    for row, review, days in ((first, "approved", 2), (second, "rejected", 1)):
        reviewed = "UPDATE learning_examples SET review_status = %s, reviewed_at = now() - %s * interval '1 day' WHERE id = %s"
        pipeline.execute(reviewed, [review, days, row["id"]])
    again(pipeline)
    assert [(row["review_status"], row["is_active"]) for row in examples(pipeline)] == [("approved", False), ("rejected", True)]


def test_imported_examples_are_scrubbed_again_and_keep_their_number(load: Load, pipeline: Connection) -> None:
    load("examples", [{"example_id": f"x{i}", "agent": "desk", "input_text": "Which form?", "expected_output": "Form 7."} for i in range(2)])
    pipeline.execute("UPDATE learning_examples SET expected_output = 'Dear Mr Miller, form 7.', scrub_rules = '1'")
    assert again(pipeline).merged == 0
    assert [(row["expected_output"], row["is_active"]) for row in examples(pipeline)] == [("Dear Mr <PERSON_1>, form 7.", True)] * 2


def test_a_batch_that_dies_is_done_by_the_next_run(by_older_rules: Older, pipeline: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    by_older_rules({f"e{i}": (f"Hi Anna, {i}?", f"Form {i}.") for i in range(4)})

    def dying(*values: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(storage, "revive", dying)
        again(pipeline, batch=2)
    assert {row["scrub_rules"] for row in examples(pipeline)} == {"1"}
    assert again(pipeline).examples == 4


def dataset(connection: Connection) -> Any:
    return refresh_dataset(connection, agent_ref(connection), rule=DuplicateRule(cosine=None), shares=(0.5, 0.2, 0.3))


def test_a_changed_example_makes_a_new_version_and_the_old_one_stands(by_older_rules: Older, pipeline: Connection) -> None:
    questions = ("How do I file VAT?", "Where is my refund?", "Can I deduct a bicycle?")
    by_older_rules({f"e{i}": (question, f"Dear Mr Miller, form {i}.") for i, question in enumerate(questions)})
    pipeline.execute("UPDATE learning_examples SET review_status = 'approved', reviewed_at = now()")
    first = dataset(pipeline)
    splits = table(pipeline, "example_splits")
    again(pipeline)
    second = dataset(pipeline)
    assert (first.version, second.version, second.is_new, second.examples) == (1, 2, True, 3)
    assert first.content_hash != second.content_hash
    assert table(pipeline, "example_splits") == splits
    assert dataset(pipeline).is_new is False
    assert {row["version"] for row in table(pipeline, "training_datasets")} == {1, 2}


def test_a_card_number_that_got_in_is_found_and_an_order_number_is_not(by_older_rules: Older, pipeline: Connection) -> None:
    by_older_rules({"e1": ("Order 4111 1111 1111 1112 is late.", "Invoice 4930123456 from 2024.")})
    assert raw_account_numbers(pipeline, agent_ref(pipeline)) == 0
    pipeline.execute("""UPDATE learning_examples SET input_context = '{"note": "card 4111 1111 1111 1111, DE89 3704 0044 0532 0130 00"}'""")
    assert raw_account_numbers(pipeline, agent_ref(pipeline)) == 2


def test_every_part_of_an_example_that_people_write_is_scrubbed(load: Load, pipeline: Connection) -> None:
    mail = "jo.doe@example.com"
    row = {name: f"{mail} {name}" for name in ("input_text", "expected_output", "original_output", "output_a", "output_b", "domain", "task_type")}
    load("examples", [row | {"example_id": "x1", "agent": "desk", "tags": [mail], "jurisdictions": [mail], "input_context": {mail: mail}, "more": mail}])
    assert pipeline.execute("SELECT count(*) FROM learning_examples e WHERE e::text LIKE '%%jo.doe%%'", []).fetchone() == (0,)


def test_the_stored_columns_are_the_parts_of_an_example() -> None:
    assert tuple(one.name for one in fields(Content)) == CONTENT


def test_once_by_todays_rules_reads_like_again_after_older_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = Content("Hi Anna, call Peter Brandt at 0171 1234567", expected_output="Dear Mr Miller, mail a@x.de", input_context={"name": "Anna"})
    at_once = scrubbed(raw)[0]
    with monkeypatch.context() as patched:
        patched.setattr(privacy_patterns, "names", lambda text: iter(()))
        older = scrubbed(raw)[0]
    assert "Brandt" in older.input_text
    assert scrubbed(older)[0] == at_once


def test_who_stays_is_decided_by_review_then_activity_then_age() -> None:
    day = dt.datetime(2026, 3, 2, tzinfo=dt.UTC)
    old = Holder("old", b"h", "pending", None, False, day)
    active = Holder("active", b"h", "pending", None, True, day + dt.timedelta(1))
    approved = Holder("approved", b"h", "approved", day, False, day + dt.timedelta(2))
    other = Holder("other", b"i", "pending", None, True, day)
    assert settle([old, active, other]) == ({"active"}, {"old": ("active", b"h")})
    assert settle([old, active, approved]) == (set(), {"active": ("approved", b"h"), "old": ("approved", b"h")})
    assert settle([other]) == (set(), {})
