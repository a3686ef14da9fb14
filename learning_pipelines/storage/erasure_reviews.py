"""Reviews without the words of an expert who is erased: annotations, seats and actions go, decisions stay.

Belongs here: SQL of expert_annotations, review_*, adjudications and expert_reliability. Not here: examples whose text is theirs (they go as a whole),
names of whoever decided (the account's), agreement among users (erasure_days.py).
"""

from __future__ import annotations

from collections import Counter
from uuid import UUID

from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.erasure_rows import Steps, run


def delete(connection: Connection, organization_id: UUID, user_id: UUID) -> Counter[str]:
    """Deletes what the person said as an expert. Returns rows by table, changed ones too."""
    return run(connection, _REVIEWS, {"organization": organization_id, "person": user_id, "text": str(user_id)})


# Corrections of the expert that an adjudicator was to choose from are offered no longer. States that an undo goes back to name who had decided.
_REVIEWS: Steps = (
    ("adjudications", """
    UPDATE adjudications a SET candidates = ARRAY(SELECT one FROM unnest(a.candidates) AS one WHERE one NOT IN (
        SELECT n.corrected_output FROM expert_annotations n WHERE n.organization_id = a.organization_id AND n.example_id = a.example_id
            AND n.expert_id = %(person)s AND n.corrected_output IS NOT NULL))
    WHERE a.organization_id = %(organization)s AND EXISTS (SELECT FROM expert_annotations n WHERE n.organization_id = a.organization_id
        AND n.example_id = a.example_id AND n.expert_id = %(person)s AND n.corrected_output = ANY(a.candidates))"""),
    ("expert_annotations", "DELETE FROM expert_annotations WHERE organization_id = %(organization)s AND expert_id = %(person)s"),
    ("review_actions", "DELETE FROM review_actions WHERE organization_id = %(organization)s AND expert_id = %(person)s"),
    ("review_seats", "DELETE FROM review_seats WHERE organization_id = %(organization)s AND expert_id = %(person)s"),
    ("review_action_items", """
    UPDATE review_action_items SET
        before = CASE WHEN before ->> 'reviewed_by' = %(text)s THEN before || '{"reviewed_by": null, "review_notes": null}' ELSE before END,
        after = CASE WHEN after ->> 'reviewed_by' = %(text)s THEN after || '{"reviewed_by": null, "review_notes": null}' ELSE after END
    WHERE organization_id = %(organization)s AND %(text)s IN (before ->> 'reviewed_by', after ->> 'reviewed_by')"""),
    ("learning_examples", """
    UPDATE learning_examples SET review_notes = NULL WHERE organization_id = %(organization)s AND reviewed_by = %(person)s AND review_notes IS NOT NULL"""),
    ("example_conflicts", """
    UPDATE example_conflicts SET notes = NULL WHERE organization_id = %(organization)s AND settled_by = %(person)s AND notes IS NOT NULL"""),
    ("expert_reliability", "DELETE FROM expert_reliability WHERE organization_id = %(organization)s AND expert_id = %(person)s"),
)  # fmt: skip
