"""Drives the public Langfuse client: a trace with a tool call and a generation, then scores of every data type.

Belongs here: what a user of the client would write. Not here: what our service makes of it (the tests).
"""

import json
from datetime import UTC, datetime

from acting import Found, act
from langfuse import Langfuse, propagate_attributes

WHEN = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)


def trace(found: Found) -> str:
    langfuse = LANGFUSE
    given = {"trace_context": {"trace_id": found["early"]}} if "early" in found else {}
    with langfuse.start_as_current_observation(name="answer", as_type="agent", input={"question": "When does the office open?"}, **given) as agent:
        with propagate_attributes(user_id="maria", session_id="session-7", tags=["office"], metadata={"channel": "chat"}):
            with langfuse.start_as_current_observation(name="find", as_type="retriever", input="opening hours") as retriever:
                retriever.update(output=[{"id": "doc-1", "content": "Open from nine to five.", "score": 0.9}])
            with langfuse.start_as_current_observation(
                name="write", as_type="generation", model="small-model", input=[{"role": "user", "content": "When does the office open?"}]
            ) as generation:
                generation.update(output="At nine.", usage_details={"input": 31, "output": 4}, cost_details={"total": 0.0002})
        agent.update(output="At nine.")
    langfuse.flush()
    return agent.trace_id


def scores(found: Found) -> None:
    langfuse = LANGFUSE
    common = {"trace_id": found.get("trace") or found["early"], "timestamp": WHEN}
    langfuse.create_score(
        score_id="score-thumb", name="user-thumb", value=1, data_type="BOOLEAN", comment="quick and right", metadata={"page": "/help"}, **common
    )
    langfuse.create_score(score_id="score-stars", name="rating", value=4, data_type="NUMERIC", **common)
    langfuse.create_score(score_id="score-accuracy", name="accuracy", value=0.92, data_type="NUMERIC", **common)
    langfuse.create_score(score_id="score-tone", name="sentiment", value="positive", data_type="CATEGORICAL", **common)
    langfuse.create_score(score_id="score-note", name="note", value="Please add the holidays.", data_type="TEXT", **common)
    langfuse.create_score(score_id="score-correction", name="output", value="At nine, on Fridays at ten.", data_type="CORRECTION", **common)
    langfuse.create_score(score_id="score-session", session_id="session-7", name="rating", value=5, data_type="NUMERIC", timestamp=WHEN)
    langfuse.flush()


def again(found: Found) -> None:
    LANGFUSE.create_score(
        score_id="score-thumb", trace_id=found["trace"], name="user-thumb", value=0, data_type="BOOLEAN", comment="not after all", timestamp=WHEN
    )
    LANGFUSE.flush()


def read(found: Found) -> list:
    scores = LANGFUSE.api.scores.get_many(trace_id=found["trace"], fields="details,subject,annotation", limit=100)
    return [json.loads(score.json(by_alias=True)) for score in scores.data]


def observations(found: Found) -> list:
    rows = LANGFUSE.api.observations.get_many(trace_id=found["trace"], fields="core,basic,time,io,metadata,model,usage,trace_context", limit=100)
    return [json.loads(row.json(by_alias=True, exclude_none=True)) for row in rows.data]


if __name__ == "__main__":
    LANGFUSE = Langfuse(environment="staging")
    act({"trace": trace, "scores": scores, "again": again, "read": read, "observations": observations})
    LANGFUSE.shutdown()
