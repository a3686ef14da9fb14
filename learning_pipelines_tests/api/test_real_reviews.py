"""A sample of real human judgements, worked through the queue by several experts at once: what people said is what is stored.

Belongs here: assertions over real data. Not here: how it becomes reviews (real_reviews.py; all of it: `make review-real-data`).
"""

from __future__ import annotations

from collections import Counter

import pytest

from learning_pipelines_tests.api.real_reviews import DATA, agreement, agreement_stored, feedbackqa, qa_feedback, qa_preferences, rows
from learning_pipelines_tests.api.reviewing import count
from learning_pipelines_tests.api.serving import Api

pytestmark = pytest.mark.skipif(
    not (DATA / "feedbackqa_dev").is_dir() or not (DATA / "qa_feedback").is_dir(),
    reason=f"the data sets feedbackqa_dev and qa_feedback are not in {DATA}; LEARNING_TEST_DATA names their folder",
)


def test_two_raters_of_each_answer_decide_as_they_did(api: Api) -> None:
    judged = feedbackqa(api, 25)
    assert (judged.items, judged.reviews) == (50, 100)
    expected = {name: "approved" if all(said) else "in_review" if any(said) else "rejected" for name, said in judged.opinions.items()}
    assert judged.statuses == expected
    assert set(Counter(expected.values())) == {"approved", "rejected", "in_review"}
    assert judged.adjudicating == {name for name, said in judged.opinions.items() if said[0] != said[1]}
    of_agent = "expert_annotations n JOIN learning_examples e ON e.id = n.example_id JOIN agents a ON a.id = e.agent_id WHERE a.slug = %s"
    assert count(api, of_agent, judged.agent) == 100
    # Alpha does not depend on which expert gave which of the two opinions.
    assert agreement_stored(api, judged.agent) == pytest.approx(agreement([[float(said) for said in one] for one in judged.opinions.values()]))


def test_corrections_of_people_become_the_expected_output(api: Api) -> None:
    judged = qa_feedback(api, 30)
    assert Counter(judged.statuses.values()) == {"approved": 30}
    corrected = 0
    with api.database.connect("pipeline") as connection:
        for number, row in enumerate(list(rows(DATA / "qa_feedback" / "dev_feedback.jsonl.gz"))[:30]):
            stored = connection.execute("SELECT expected_output, example_type FROM learning_examples WHERE id = %s", [f"asqa-{number}"]).fetchone()
            assert stored is not None
            wanted = (row["feedback"]["corrected-prediction"] or "").strip() or row["prediction 1"]
            assert stored[0] == wanted or "<" in stored[0]  # personal data is replaced
            assert stored[1] == ("positive" if stored[0] == row["prediction 1"] else "correction")
            corrected += stored[1] == "correction"
    assert corrected > 20


def test_preferences_of_people_decide_which_claims_stand(api: Api) -> None:
    judged = qa_preferences(api, 8)
    assert judged.items == judged.reviews == 48
    assert judged.statuses == {name: "approved" if said[0] else "rejected" for name, said in judged.opinions.items()}
    assert set(judged.statuses.values()) == {"approved", "rejected"}
