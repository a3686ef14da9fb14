"""Drives the public Phoenix client: span annotations by people, a judge and code; documents; notes; and reading them back.

Belongs here: what a user of the client would write. Not here: what our service makes of it (the tests).
"""

import pandas as pd
from acting import Found, act
from phoenix.client import Client


def annotate(found: Found) -> list[str]:
    span_id = found["span"]
    thumb = CLIENT.spans.add_span_annotation(
        span_id=span_id, annotation_name="user feedback", annotator_kind="HUMAN", label="thumbs-up", score=1, explanation="quick and right",
        metadata={"page": "/help"}, identifier="maria", sync=True,
    )  # fmt: skip
    judged = CLIENT.spans.log_span_annotations(
        span_annotations=[
            {"span_id": span_id, "name": "correctness", "annotator_kind": "LLM", "result": {"label": "correct", "score": 0.8, "explanation": "right"}},
            {"span_id": span_id, "name": "json_valid", "annotator_kind": "CODE", "result": {"score": 1.0}, "identifier": "v2"},
        ],
        sync=True,
    )
    document = CLIENT.spans.add_document_annotation(
        span_id=span_id, document_position=0, annotation_name="relevance", annotator_kind="HUMAN", label="relevant", score=1, sync=True
    )
    note = CLIENT.spans.add_span_note(span_id=span_id, note="Asked about opening hours again.")
    return [one["id"] for one in [thumb, *judged, document, note]]


def unseen(found: Found) -> None:
    """Asynchronous, as the client does it unless told otherwise."""
    CLIENT.spans.add_span_annotation(span_id=found["span"], annotation_name="user feedback", label="thumbs-up", score=1, identifier="maria")


def upsert(found: Found) -> str:
    inserted = CLIENT.spans.add_span_annotation(
        span_id=found["span"], annotation_name="user feedback", annotator_kind="HUMAN", label="thumbs-down", score=0, identifier="maria", sync=True
    )
    return inserted["id"]


def frame(found: Found) -> list[str]:
    rows = pd.DataFrame(
        {"span_id": [found["span"]] * 2, "name": ["rating", "toxicity"], "annotator_kind": ["HUMAN", "LLM"], "score": [5, 0.1],
         "label": ["five", "low"], "explanation": ["", "harmless"], "identifier": ["peter", ""]}
    )  # fmt: skip
    return [one["id"] for one in CLIENT.spans.log_span_annotations_dataframe(dataframe=rows, sync=True)]


def read(found: Found) -> list:
    return CLIENT.spans.get_span_annotations(span_ids=[found["span"]], project_identifier="default", exclude_annotation_names=[])


def export(found: Found) -> None:
    """The data frame as pandas writes it."""
    rows = CLIENT.spans.get_span_annotations_dataframe(span_ids=[found["span"]], project_identifier="default", exclude_annotation_names=[])
    rows.reset_index().to_json(found["file"], orient="records", lines=True, date_format="iso")


def spans(found: Found) -> list:
    return CLIENT.spans.get_spans(project_identifier="default", trace_ids=[found["trace"]])


if __name__ == "__main__":
    CLIENT = Client()
    act({"annotate": annotate, "unseen": unseen, "upsert": upsert, "frame": frame, "read": read, "export": export, "spans": spans})
