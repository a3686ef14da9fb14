"""The assets annotation_agreement and example_quality with real rows: what they store, what makes them look again, checks that can fail.

Belongs here: the assets over several refreshes. Not here: the measures (examples/test_agreement.py, test_reliability.py, test_quality.py).
"""

from __future__ import annotations

import datetime as dt
from typing import Any
from uuid import uuid4

import dagster as dg
import pytest

from learning_pipelines.examples import leases, reviewing
from learning_pipelines.examples.adjudication import Adjudicated, adjudicate
from learning_pipelines.examples.agreement_refresh import refresh_agreement
from learning_pipelines.examples.quality_refresh import Scored, refresh_quality
from learning_pipelines.examples.refresh import refresh_examples
from learning_pipelines.examples.review import Verdict
from learning_pipelines.feedback.identity import user_id
from learning_pipelines.storage import adjudications
from learning_pipelines.storage.agreement import expert_counts
from learning_pipelines.storage.database import Connection, Database
from learning_pipelines.storage.trust_weights import NEWCOMER
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.defs.conftest import Materialize, asked, checks_of, metadata_of
from learning_pipelines_tests.feedback.rows import AGENT, Row, agent_ref, said, table

DESK = "default/desk"
MONDAY = "2026-03-02T10:00:00Z"
WORDS = ("anchor", "barley", "copper", "damson", "ember", "falcon", "garnet", "hazel", "indigo", "juniper", "kettle", "lantern")


def imported(number: int, **more: Any) -> Row:
    """A pending example unlike every other one."""
    text = f"{WORDS[number % 12]} {number} {WORDS[number * 5 % 12]} {number * 31} question {number * number}"
    return {"example_id": f"x{number:03}", "agent": "desk", "input_text": text, "expected_output": f"Answer {number}", "review_status": "pending", **more}


def review(connection: Connection, example: str, expert: str, approved: bool | None, at: str = MONDAY, organization: str = "default", **more: Any) -> None:
    """An expert's annotation, with scores if given."""
    connection.execute(
        """INSERT INTO users (organization_id, id, external_id, role) VALUES (learning.organization_id(%s), md5(%s)::uuid, %s, 'expert')
        ON CONFLICT DO NOTHING""",
        [organization, organization + expert, expert],
    )
    names = ", ".join(["", *more])
    connection.execute(
        f"""INSERT INTO expert_annotations (organization_id, example_id, expert_id, approved, created_at{names})
        VALUES (learning.organization_id(%s), %s, md5(%s)::uuid, %s, %s{", %s" * len(more)})""",  # type: ignore[arg-type]
        [organization, example, organization + expert, approved, at, *more.values()],
    )


def weigh(connection: Connection, user: str, weight: float) -> None:
    """The weight of a rater, as the trust engine stores it."""
    connection.execute(
        """INSERT INTO rater_weights (organization_id, user_id, weight, ratings, rules)
        SELECT organization_id, id, %s, 1, '1' FROM users WHERE external_id = %s
        ON CONFLICT (organization_id, user_id) DO UPDATE SET weight = excluded.weight""",
        [weight, user],
    )


def scores(connection: Connection) -> dict[str, float | None]:
    return {row["id"]: row["quality_score"] for row in table(connection, "learning_examples")}


def quality(connection: Connection, example: str) -> Row:
    (row,) = table(connection, "example_quality", f"example_id = '{example}'")
    return row


def agreement(connection: Connection, pair: str) -> dict[str, Row]:
    return {row["period"]: row for row in table(connection, "annotation_agreement", f"pair = '{pair}'")}


def refresh(connection: Connection, agent: str = "desk", organization: str = "default") -> Scored:
    """What the assets do, without Dagster around it (which takes most of the time of a run)."""
    who = agent_ref(connection, agent, organization)
    refresh_examples(connection, who)
    refresh_agreement(connection, who, "UTC")
    return refresh_quality(connection, who)


def scored(result: dg.ExecuteInProcessResult) -> int:
    return int(metadata_of(result, "example_quality")["scored"])


@pytest.fixture
def twenty(desk: None, load: Load) -> None:
    load("examples", [imported(number) for number in range(20)])


def test_a_reviewed_example_gets_a_score_and_the_others_none(twenty: None, pipeline: Connection) -> None:
    review(pipeline, "x001", "eve", True, technical_accuracy=0.9)
    review(pipeline, "x002", "eve", False)
    refresh(pipeline)
    found = scores(pipeline)
    assert found["x001"] > 0.7 > 0.3 > found["x002"]
    assert {value for name, value in found.items() if name not in ("x001", "x002")} == {None}
    assert quality(pipeline, "x003")["evidence"] is None


def test_an_explanation_without_a_decision_is_no_verdict(twenty: None, pipeline: Connection) -> None:
    review(pipeline, "x001", "eve", None, annotation_type="explanation", notes="Because of the form.")
    review(pipeline, "x002", "eve", None)
    refresh(pipeline)
    assert scores(pipeline)["x001"] is None
    assert quality(pipeline, "x002")["expert_score"] == 0.5


def test_an_experts_newest_verdict_is_in_force(twenty: None, pipeline: Connection) -> None:
    review(pipeline, "x001", "eve", True, at="2026-03-03T10:00:00Z")
    review(pipeline, "x001", "eve", False, at="2026-03-02T10:00:00Z")
    refresh(pipeline)
    assert (quality(pipeline, "x001")["experts"], quality(pipeline, "x001")["expert_score"]) == (1, 1.0)


def test_verification_by_a_second_expert_adds_weight_but_no_opinion(twenty: None, pipeline: Connection) -> None:
    for example in ("x001", "x002"):
        review(pipeline, example, "eve", True)
    review(pipeline, "x003", "vera", True)
    pipeline.execute("UPDATE expert_annotations SET is_verified = true, verified_by = md5('defaultvera')::uuid WHERE example_id = 'x002'")
    refresh(pipeline)
    assert scores(pipeline)["x002"] > scores(pipeline)["x001"]
    assert quality(pipeline, "x002")["experts"] == 1


def test_an_imported_score_stays_as_the_importers_evidence(desk: None, load: Load, pipeline: Connection) -> None:
    load("examples", [imported(1, quality_score=0.9), imported(2, quality_score=0.1)])
    refresh(pipeline)
    first = scores(pipeline)
    assert 0.9 > first["x001"] > 0.5 > first["x002"] > 0.1
    review(pipeline, "x001", "eve", False)
    refresh(pipeline)
    assert quality(pipeline, "x001")["imported_score"] == 0.9
    assert scores(pipeline)["x001"] < first["x001"]
    pipeline.execute("DELETE FROM expert_annotations")
    refresh(pipeline)
    assert scores(pipeline) == first


@pytest.fixture
def rated(desk: None, load: Load) -> None:
    """Ada and Bob like the answer to e1, Cid does not; only Bob said something about e2."""
    load("executions", [asked("e1", "How do I file VAT?"), asked("e2", "Where is my refund?")])
    load("feedback", [said("f1", "e1", user="ada"), said("f2", "e1", user="bob"), said("f3", "e2", user="bob")])


def example_of(connection: Connection, feedback: str) -> str:
    (row,) = table(connection, "example_sources", f"feedback_id = '{feedback}'")
    return str(row["example_id"])


def test_those_who_support_an_example_raise_its_score_and_those_who_contradict_lower_it(
    rated: None, load: Load, pipeline: Connection
) -> None:
    refresh(pipeline)
    both, alone = (scores(pipeline)[example_of(pipeline, name)] for name in ("f1", "f3"))
    assert both > alone > 0.5
    load("feedback", [said("f4", "e1", "thumbs_down", user="cid")])
    assert refresh(pipeline).scored == 2  # the one it contradicts and the one it makes
    contradicted = quality(pipeline, example_of(pipeline, "f1"))
    assert (contradicted["supporting"], contradicted["contradicting"]) == (pytest.approx(0.575, abs=1e-3), pytest.approx(0.288, abs=1e-3))
    assert contradicted["score"] < both
    assert 0 < contradicted["agreement"] < 1


def test_a_person_counts_once_however_often_they_say_it(desk: None, load: Load, pipeline: Connection) -> None:
    load("executions", [asked(name, "How do I file VAT?") | {"output": "Use form 7."} for name in ("e1", "e2", "e3")])
    load("feedback", [said(f"f{number}", f"e{number}", user="ada") for number in (1, 2, 3)])
    refresh(pipeline)
    assert quality(pipeline, example_of(pipeline, "f1"))["supporting"] == pytest.approx(0.288, abs=1e-3)


def test_a_raters_weight_moves_every_score_that_rests_on_them(rated: None, load: Load, pipeline: Connection) -> None:
    load("feedback", [said("f4", "e1", "thumbs_down", user="cid")])
    refresh(pipeline)
    supported = example_of(pipeline, "f1")
    seen = [scores(pipeline)[supported]]
    for weight in (0.3, 0.31, 0.6, 1.0):
        weigh(pipeline, "ada", weight)
        refresh(pipeline)
        seen.append(scores(pipeline)[supported])
    assert seen == sorted(seen)
    assert seen[-1] > seen[0]
    weigh(pipeline, "cid", 0.9)
    assert refresh(pipeline).scored == 2
    assert scores(pipeline)[supported] < seen[-1]
    weigh(pipeline, "cid", 0.9001)
    assert refresh(pipeline).scored == 0


def test_being_judged_as_weighty_as_a_newcomer_changes_no_score(rated: None, pipeline: Connection) -> None:
    refresh(pipeline)
    before = scores(pipeline)
    weigh(pipeline, "ada", NEWCOMER)
    assert (refresh(pipeline).scored, scores(pipeline)) == (0, before)
    pipeline.execute("INSERT INTO stale_quality (organization_id, agent_id, example_id) SELECT organization_id, agent_id, id FROM learning_examples")
    assert (refresh(pipeline).changed, scores(pipeline)) == (0, before)


def test_a_stored_score_never_falls_when_an_expert_scores_higher(twenty: None, pipeline: Connection) -> None:
    review(pipeline, "x001", "eve", True, clarity=0.5)
    review(pipeline, "x001", "ann", False)
    seen = []
    for clarity in (0.0, 0.3, 0.6, 1.0):
        pipeline.execute("UPDATE expert_annotations SET clarity = %s WHERE approved", [clarity])
        refresh(pipeline)
        seen.append(scores(pipeline)["x001"])
    assert seen == sorted(set(seen))


def test_a_refresh_without_news_scores_nothing_and_changes_no_row(twenty: None, pipeline: Connection) -> None:
    review(pipeline, "x001", "eve", True)
    assert refresh(pipeline).scored == 20
    tables = ("example_quality", "learning_examples", "expert_reliability", "annotation_agreement", "quality_calibrations")
    before = {name: table(pipeline, name) for name in tables}
    assert refresh(pipeline).scored == 0
    assert {name: table(pipeline, name) for name in tables} == before


def test_only_examples_whose_evidence_changed_are_scored(twenty: None, load: Load, pipeline: Connection) -> None:
    review(pipeline, "x001", "eve", True)
    refresh(pipeline)
    review(pipeline, "x002", "eve", True)
    assert refresh(pipeline).scored == 1
    pipeline.execute("DELETE FROM expert_annotations WHERE example_id = 'x002'")
    assert refresh(pipeline).scored == 1
    load("examples", [imported(30)])
    assert refresh(pipeline).scored == 1


def test_an_expert_who_proves_unreliable_costs_every_example_they_reviewed(twenty: None, pipeline: Connection) -> None:
    """Ann and Eve agree on 16 examples; Sam approves all of them, which is wrong for every second."""
    review(pipeline, "x019", "sam", True)
    refresh(pipeline)
    alone = scores(pipeline)["x019"]
    for number in range(16):
        for expert, approved in (("ann", number % 2 == 0), ("eve", number % 2 == 0), ("sam", True)):
            review(pipeline, f"x{number:03}", expert, approved)
    refresh(pipeline)
    trusted = {row["expert_id"].hex[:4]: row for row in table(pipeline, "expert_reliability")}
    assert [row["reviews"] for row in sorted(trusted.values(), key=lambda row: row["reviews"])] == [16, 16, 17]
    assert scores(pipeline)["x019"] < alone - 0.1


def test_a_mark_that_commits_during_a_refresh_is_there_for_the_next(twenty: None, database: Database, pipeline: Connection) -> None:
    agent = agent_ref(pipeline)
    refresh_quality(pipeline, agent)
    with database.connect("pipeline", autocommit=False) as writer:
        review(writer, "x001", "eve", True)
        assert refresh_quality(pipeline, agent).scored == 0
        writer.commit()
    assert refresh_quality(pipeline, agent).scored == 1
    assert scores(pipeline)["x001"] is not None


def test_small_portions_score_the_same(twenty: None, pipeline: Connection) -> None:
    for number in range(8):
        review(pipeline, f"x{number:03}", "eve", number % 2 == 0, clarity=number / 8)
    agent = agent_ref(pipeline)
    assert refresh_quality(pipeline, agent, portion=3).scored >= 20
    small = scores(pipeline)
    pipeline.execute("INSERT INTO stale_quality (organization_id, agent_id, example_id) SELECT organization_id, agent_id, id FROM learning_examples")
    assert (refresh_quality(pipeline, agent).changed, scores(pipeline)) == (0, small)


@pytest.fixture
def many_reviews(desk: None, load: Load, pipeline: Connection) -> None:
    """100 examples, each reviewed by an expert who approves 60 % of those that came with .95 and 10 % of those that came with .4."""
    load("examples", [imported(number, quality_score=0.95 if number % 2 else 0.4) for number in range(100)])
    for number in range(100):
        review(pipeline, f"x{number:03}", "ann", number % 10 in (1, 3, 5) or number % 20 == 0)


def test_enough_verdicts_calibrate_the_organizations_scores(many_reviews: None, run_job: Materialize, pipeline: Connection) -> None:
    result = run_job("dataset_refresh", DESK)
    (calibration,) = table(pipeline, "quality_calibrations")
    metadata = metadata_of(result, "example_quality")
    assert (calibration["version"], calibration["method"], calibration["verdicts"]) == (1, "isotonic", 100)
    assert (metadata["calibration"], metadata["held_out_verdicts"]) == ("isotonic", 100)
    assert metadata["held_out_brier"] < metadata["held_out_brier_prior"]
    assert metadata["held_out_auc"] > 0.6
    assert {row["calibration"] for row in table(pipeline, "example_quality")} == {1}
    assert checks_of(result)["calibration_helps"] is True


def test_another_calibration_scores_every_example_of_every_agent_again(many_reviews: None, load: Load, pipeline: Connection) -> None:
    load("agents", [{**AGENT, "agent": "other"}])
    load("examples", [imported(200, agent="other", quality_score=0.9)])
    refresh(pipeline, "other")
    refresh(pipeline)
    load("examples", [imported(number, quality_score=0.4) for number in range(100, 140)])
    for number in range(100, 140):
        review(pipeline, f"x{number:03}", "ann", True)
    assert refresh(pipeline).scored >= 100
    assert refresh(pipeline, "other").scored == 1
    assert {row["calibration"] for row in table(pipeline, "example_quality")} == {2}


def test_few_verdicts_leave_the_stated_mapping_and_say_so(twenty: None, run_job: Materialize, pipeline: Connection) -> None:
    for number in range(12):
        review(pipeline, f"x{number:03}", "ann", True)
        review(pipeline, f"x{number:03}", "eve", True)
    metadata = metadata_of(run_job("dataset_refresh", DESK), "example_quality")
    assert metadata["calibration"] == "prior"
    assert "there are 24" in metadata["calibration_reason"]


def test_the_dataset_averages_the_scores(twenty: None, run_job: Materialize, pipeline: Connection) -> None:
    for number, approved in ((1, True), (2, True), (3, False)):
        review(pipeline, f"x{number:03}", "eve", approved)
    pipeline.execute("UPDATE learning_examples SET review_status = 'approved' WHERE id IN ('x001', 'x003', 'x005')")
    run_job("dataset_refresh", DESK)
    found = scores(pipeline)
    (dataset,) = table(pipeline, "training_datasets")
    assert dataset["avg_quality_score"] == pytest.approx((found["x001"] + found["x003"]) / 2)


def test_organizations_with_the_same_names_stay_apart(twenty: None, load: Load, pipeline: Connection) -> None:
    load("agents", [AGENT], "other")
    load("examples", [imported(1)], "other")
    review(pipeline, "x001", "eve", True)
    review(pipeline, "x001", "eve", False, organization="other")
    refresh(pipeline)
    refresh(pipeline, organization="other")
    found = sorted(row["quality_score"] for row in table(pipeline, "learning_examples", "id = 'x001'"))
    assert found[0] < 0.5 < found[1]


def decide(connection: Connection, example: str, expert: str, verdict: Verdict, **said: Any) -> None:
    """A verdict given through the queue."""
    organization = agent_ref(connection).organization_id
    who = reviewing.Expert(organization, user_id(organization, expert), expert, expert)
    with connection.transaction():
        leases.lease(connection, who, example)
        reviewing.review(connection, who, reviewing.Review(example, verdict, **said), uuid4())


def test_a_disagreement_goes_back_to_review_until_an_adjudicator_decides(twenty: None, run_job: Materialize, pipeline: Connection) -> None:
    review(pipeline, "x001", "ann", True)
    review(pipeline, "x001", "eve", False)
    review(pipeline, "x002", "ann", True)
    review(pipeline, "x002", "eve", True)
    pipeline.execute("UPDATE learning_examples SET review_status = 'approved' WHERE id IN ('x001', 'x002')")
    result = run_job("dataset_refresh", DESK)
    (case,) = adjudications.waiting(pipeline, agent_ref(pipeline))
    assert (case["example_id"], case["reason"], len(case["experts"])) == ("x001", "1 approve, 1 do not", 2)
    assert metadata_of(result, "annotation_agreement")["adjudications_waiting"] == 1
    assert [row["example_id"] for row in table(pipeline, "dataset_examples")] == ["x002"]
    decide(pipeline, "x001", "tom", Verdict.APPROVE)
    run_job("dataset_refresh", DESK)
    (settled,) = table(pipeline, "adjudications")
    assert adjudications.waiting(pipeline, agent_ref(pipeline)) == []
    assert settled["resolved_by"] == user_id(agent_ref(pipeline).organization_id, "tom")
    assert {row["id"] for row in table(pipeline, "learning_examples", "review_status = 'approved'")} == {"x001", "x002"}


def test_what_the_queue_adjudicates_is_left_to_it(twenty: None, pipeline: Connection) -> None:
    pipeline.execute("UPDATE learning_examples SET reviews_needed = 2 WHERE id = 'x001'")
    decide(pipeline, "x001", "ann", Verdict.APPROVE)
    decide(pipeline, "x001", "eve", Verdict.REJECT)
    before = table(pipeline, "adjudications"), table(pipeline, "learning_examples", "id = 'x001'")
    assert adjudicate(pipeline, agent_ref(pipeline)) == Adjudicated(opened=0, resolved=0, waiting=1)
    assert (table(pipeline, "adjudications"), table(pipeline, "learning_examples", "id = 'x001'")) == before
    decide(pipeline, "x001", "tom", Verdict.REJECT)
    assert adjudicate(pipeline, agent_ref(pipeline)) == Adjudicated(opened=0, resolved=0, waiting=0)


def test_what_a_person_resolved_stays_resolved_until_a_newer_verdict(twenty: None, pipeline: Connection) -> None:
    agent = agent_ref(pipeline)
    review(pipeline, "x001", "ann", True)
    review(pipeline, "x001", "eve", False)
    assert adjudicate(pipeline, agent) == Adjudicated(opened=1, resolved=0, waiting=1)
    adjudications.resolve_cases(pipeline, agent, [("x001", None)])
    pipeline.execute("UPDATE learning_examples SET adjudicating = false, review_status = 'approved'")
    assert adjudicate(pipeline, agent) == Adjudicated(opened=0, resolved=0, waiting=0)
    later = (dt.datetime.now(dt.UTC) + dt.timedelta(minutes=1)).isoformat()
    review(pipeline, "x001", "tom", True, at=later)
    review(pipeline, "x001", "sue", False, at=later)
    assert adjudicate(pipeline, agent) == Adjudicated(opened=1, resolved=0, waiting=1)


def test_a_withdrawn_verdict_counts_for_nothing(twenty: None, pipeline: Connection) -> None:
    review(pipeline, "x001", "ann", True)
    review(pipeline, "x001", "eve", False)
    refresh(pipeline)
    pipeline.execute("UPDATE expert_annotations SET withdrawn_at = now() WHERE NOT approved")
    pipeline.execute("UPDATE learning_examples SET adjudicating = false")
    assert refresh(pipeline).scored >= 1
    assert (quality(pipeline, "x001")["experts"], quality(pipeline, "x001")["expert_score"]) == (1, 1.0)
    assert adjudications.waiting(pipeline, agent_ref(pipeline)) == []


def test_verdicts_on_a_former_text_count_no_more_once_the_new_one_is_judged(twenty: None, pipeline: Connection) -> None:
    decide(pipeline, "x001", "ann", Verdict.REVISE)
    refresh(pipeline)
    assert quality(pipeline, "x001")["expert_score"] == 0.5
    decide(pipeline, "x001", "eve", Verdict.APPROVE)
    refresh(pipeline)
    assert (quality(pipeline, "x001")["experts"], quality(pipeline, "x001")["expert_score"]) == (1, 1.0)


def divide(pipeline: Connection) -> None:
    """Three experts, three opinions: the example is adjudicated."""
    pipeline.execute("UPDATE learning_examples SET reviews_needed = 3 WHERE id = 'x001'")
    decide(pipeline, "x001", "ann", Verdict.APPROVE)
    decide(pipeline, "x001", "eve", Verdict.APPROVE, corrected_output="Another answer.")
    decide(pipeline, "x001", "tom", Verdict.REJECT)


def test_what_an_adjudicator_decided_is_not_opened_again(twenty: None, pipeline: Connection) -> None:
    """Two approve and two do not: by numbers a disagreement, but the last of them was asked to decide it."""
    divide(pipeline)
    decide(pipeline, "x001", "sue", Verdict.REJECT)
    assert adjudicate(pipeline, agent_ref(pipeline)) == Adjudicated(opened=0, resolved=0, waiting=0)
    assert table(pipeline, "learning_examples", "id = 'x001'")[0]["review_status"] == "rejected"


def test_verdicts_of_an_earlier_round_open_no_case(twenty: None, pipeline: Connection) -> None:
    """The same, but a revision was asked for: nobody has judged the text that is to come, whatever became of the former case."""
    divide(pipeline)
    decide(pipeline, "x001", "sue", Verdict.REVISE)
    pipeline.execute("DELETE FROM adjudications")
    before = table(pipeline, "learning_examples", "id = 'x001'")
    assert adjudicate(pipeline, agent_ref(pipeline)) == Adjudicated(opened=0, resolved=0, waiting=0)
    assert table(pipeline, "learning_examples", "id = 'x001'") == before
    decide(pipeline, "x001", "ann", Verdict.APPROVE)
    assert adjudicate(pipeline, agent_ref(pipeline)) == Adjudicated(opened=0, resolved=0, waiting=0)
    assert table(pipeline, "learning_examples", "id = 'x001'")[0]["review_status"] == "approved"


def test_agreement_counts_the_verdicts_of_the_latest_round_only(twenty: None, pipeline: Connection) -> None:
    def judged(*verdicts: tuple[str, Verdict]) -> list[tuple[int, int, int, int]]:
        """Rejecting, asking for a revision, approving, and of how many examples, after these."""
        pipeline.execute("UPDATE learning_examples SET reviews_needed = 2 WHERE id = 'x001'")
        for expert, verdict in verdicts:
            decide(pipeline, "x001", expert, verdict)
        return [row[1:] for row in expert_counts(pipeline, agent_ref(pipeline), "UTC")]

    assert judged(("ann", Verdict.REVISE), ("eve", Verdict.REVISE)) == [(0, 2, 0, 1)]
    assert judged(("ann", Verdict.APPROVE), ("tom", Verdict.APPROVE)) == [(0, 0, 2, 1)]


def test_one_example_can_be_adjudicated_in_the_transaction_of_its_verdict(twenty: None, database: Database, pipeline: Connection) -> None:
    agent = agent_ref(pipeline)
    review(pipeline, "x001", "ann", True)
    with database.connect("pipeline", autocommit=False) as writer:
        review(writer, "x001", "eve", False)
        assert adjudicate(writer, agent, ["x001"]).opened == 1
        assert adjudicate(writer, agent, ["x002"]).opened == 0
        writer.rollback()
    assert table(pipeline, "adjudications") == []


def test_agreement_of_experts_is_told_by_week_and_as_a_whole(twenty: None, run_job: Materialize, pipeline: Connection) -> None:
    """In the first week they agree on four examples, in the second they disagree on four."""
    for number in range(4):
        for expert in ("ann", "eve"):
            review(pipeline, f"x{number:03}", expert, number % 2 == 0, at=MONDAY)
            review(pipeline, f"x{number + 4:03}", expert, (expert == "ann") == (number % 2 == 0), at="2026-03-11T10:00:00Z")
    result = run_job("dataset_refresh", DESK)
    found = agreement(pipeline, "experts")
    assert {period: row["units"] for period, row in found.items()} == {"2026-W10": 4, "2026-W11": 4, "all": 8}
    assert (found["2026-W10"]["alpha"], found["2026-W11"]["alpha"]) == (1.0, pytest.approx(-0.75))
    assert found["all"]["alpha"] == pytest.approx(0.0625)
    assert found["all"]["alpha_low"] < 0.0625 < found["all"]["alpha_high"]
    assert checks_of(result)["experts_agree"] is False
    assert "data:image/svg+xml" in metadata_of(result, "annotation_agreement")["agreement over time"]


def test_experts_who_agree_pass_the_check_and_those_who_share_nothing_are_not_judged(twenty: None, run_job: Materialize, pipeline: Connection) -> None:
    result = run_job("dataset_refresh", DESK)
    assert checks_of(result)["experts_agree"] is True
    assert metadata_of(result, "annotation_agreement")["alpha experts"] == "no unit was rated twice"
    for number in range(6):
        for expert in ("ann", "eve"):
            review(pipeline, f"x{number:03}", expert, number % 2 == 0)
    assert checks_of(run_job("dataset_refresh", DESK))["experts_agree"] is True


@pytest.fixture
def compared(desk: None, load: Load, pipeline: Connection) -> None:
    """Eight answers with a thumb each; an expert sides with the users on six of them, twice against an answer."""
    load("executions", [asked(f"e{number}", f"{WORDS[number]} question {number * 31}", created_at=MONDAY) for number in range(8)])
    load("feedback", [said(f"f{number}", f"e{number}", "thumbs_up" if number < 4 else "thumbs_down", user=f"u{number}") for number in range(8)])
    refresh(pipeline)
    for number in range(8):
        review(pipeline, example_of(pipeline, f"f{number}"), "ann", number not in (3, 7))
    refresh(pipeline)


def test_users_and_experts_are_compared_on_what_they_say_of_the_same_examples(compared: None, pipeline: Connection) -> None:
    """Every thumb supports its example, good answer or bad; the expert approves six of eight."""
    found = agreement(pipeline, "users/experts")["all"]
    assert (found["units"], found["kappa"]) == (8, 0.0)
    assert found["alpha"] == pytest.approx(-1 / 14)
    assert sum(map(sum, agreement(pipeline, "users/experts")["2026-W10"]["counts"])) == 8


def test_thumbs_of_others_on_the_same_answer_count_by_weight(compared: None, load: Load, pipeline: Connection) -> None:
    """Someone trusted gives e3 a thumb down: the users' side of its example turns, and with it the expert is right."""
    load("feedback", [said("g3", "e3", "thumbs_down", user="zoe")])
    weigh(pipeline, "zoe", 0.9)
    refresh(pipeline)
    found = agreement(pipeline, "users/experts")["all"]
    assert found["kappa"] == pytest.approx(0.6)


def test_without_a_judge_it_is_said_and_with_one_it_is_compared(compared: None, pipeline: Connection) -> None:
    before = agreement(pipeline, "experts/judge")["all"]
    assert (before["alpha"], before["kappa"], before["units"], before["undefined"]) == (None, None, 0, "no judge verdicts yet")
    pipeline.execute(
        """INSERT INTO judge_verdicts (organization_id, example_id, judge, approved, created_at)
        SELECT organization_id, example_id, 'model-1', approved, created_at FROM expert_annotations"""
    )
    refresh(pipeline)
    after = agreement(pipeline, "experts/judge")["all"]
    assert (after["alpha"], after["kappa"], after["units"], after["undefined"]) == (1.0, 1.0, 8, "")
    assert agreement(pipeline, "users/judge")["all"]["units"] == 8


def test_agreement_among_users_is_told_by_the_week_of_the_answer(desk: None, load: Load, pipeline: Connection) -> None:
    weeks = {"e1": MONDAY, "e2": MONDAY, "e3": "2026-03-10T10:00:00Z", "e4": "2026-03-10T10:00:00Z"}
    load("executions", [asked(name, f"{name} {WORDS[number]} {number * 77}", created_at=at) for number, (name, at) in enumerate(weeks.items())])
    load("feedback", [said(f"{name}-{user}", name, "thumbs_up" if name in ("e1", "e3") else "thumbs_down", user=user)
                      for name in weeks for user in ("ada", "bob")])  # fmt: skip
    refresh(pipeline)
    before = agreement(pipeline, "users")
    assert {period: (row["units"], row["alpha"]) for period, row in before.items()} == {"2026-W10": (2, 1.0), "2026-W11": (2, 1.0), "all": (4, 1.0)}
    load("feedback", [said("late", "e1", "thumbs_down", user="bob")])  # a change of mind supersedes
    refresh(pipeline)
    after = agreement(pipeline, "users")
    assert after["2026-W10"]["alpha"] < 1.0 == after["2026-W11"]["alpha"]
    assert (after["all"]["units"], after["all"]["alpha"] < 1.0) == (4, True)


def test_weeks_begin_where_the_settings_say(twenty: None, pipeline: Connection, berlin_store: Any) -> None:
    for expert in ("ann", "eve"):
        review(pipeline, "x001", expert, True, at="2026-03-08T23:30:00Z")  # in Berlin it is Monday already
    refresh_agreement(pipeline, agent_ref(pipeline), berlin_store.settings.timezone)
    assert set(agreement(pipeline, "experts")) == {"2026-W11", "all"}


def test_metadata_hold_small_plots_and_no_text(compared: None, load: Load, run_job: Materialize, pipeline: Connection) -> None:
    review(pipeline, example_of(pipeline, "f1"), "eve", True, notes="Ring Mrs Miller about it.")
    result = run_job("dataset_refresh", DESK)
    for asset in ("example_quality", "annotation_agreement"):
        metadata = metadata_of(result, asset)
        plots = [str(value) for value in metadata.values() if "data:image/svg+xml" in str(value)]
        assert plots
        assert max(map(len, plots)) < 50_000
        assert "Miller" not in str(metadata)
        assert WORDS[1] not in str(metadata)


@pytest.mark.parametrize(
    ("planted", "check"),
    [
        ("UPDATE learning_examples SET quality_score = 0.123 WHERE id = 'x001'", "scores_stand"),
        ("UPDATE learning_examples SET quality_score = 0.5 WHERE id = 'x009'", "scores_stand"),
        ("UPDATE example_quality SET score = 0.99 WHERE example_id = 'x002'", "more_evidence_never_lowers"),
    ],
)
def test_a_score_that_is_not_what_its_evidence_gives_fails_the_check(
    planted: str, check: str, twenty: None, run_job: Materialize, pipeline: Connection
) -> None:
    review(pipeline, "x001", "eve", True)
    review(pipeline, "x002", "eve", False)
    review(pipeline, "x003", "eve", None)
    assert checks_of(run_job("dataset_refresh", DESK))[check] is True
    pipeline.execute(planted)  # type: ignore[arg-type]
    assert checks_of(run_job("dataset_refresh", DESK, raise_on_error=False))[check] is False


def test_scores_that_say_nothing_about_held_out_verdicts_fail_the_check(desk: None, load: Load, run_job: Materialize, pipeline: Connection) -> None:
    """Importers' scores that are the reverse of what experts say."""
    load("examples", [imported(number, quality_score=0.95 if number % 2 else 0.05) for number in range(60)])
    for number in range(60):
        review(pipeline, f"x{number:03}", "ann", number % 2 == 0)
    assert checks_of(run_job("dataset_refresh", DESK))["calibration_helps"] is False


def test_jobs_catch_up_with_verdicts_even_when_nobody_said_anything_new(twenty: None, run_job: Materialize, pipeline: Connection) -> None:
    run_job("dataset_refresh", DESK)
    review(pipeline, "x001", "eve", True)
    run_job("cleanup")
    assert scores(pipeline)["x001"] is not None


def test_an_example_that_is_deleted_takes_its_quality_along(twenty: None, pipeline: Connection) -> None:
    refresh(pipeline)
    pipeline.execute("INSERT INTO stale_quality (organization_id, agent_id, example_id) SELECT organization_id, agent_id, id FROM learning_examples")
    pipeline.execute("DELETE FROM learning_examples WHERE id = 'x004'")
    assert refresh(pipeline).scored == 19
    assert len(table(pipeline, "example_quality")) == 19
