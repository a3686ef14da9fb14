"""Drives the public MLflow client: a trace, feedback by a person and a judge, an expectation, changes, and reading them back.

Belongs here: what a user of the client would write. Not here: what our service makes of it (the tests).
"""

import mlflow
from acting import Found, act
from mlflow.entities import AssessmentSource, Feedback, SpanType

PERSON = AssessmentSource(source_type="HUMAN", source_id="maria")


@mlflow.trace(span_type=SpanType.RETRIEVER)
def find(question: str) -> list[dict]:
    return [{"page_content": "Open from nine to five.", "metadata": {"doc_uri": "doc-1"}, "id": "doc-1"}]


@mlflow.trace(span_type=SpanType.AGENT)
def answer(question: str) -> str:
    mlflow.update_current_trace(metadata={"mlflow.trace.user": "maria", "mlflow.trace.session": "session-7"}, tags={"channel": "chat"})
    find(question)
    with mlflow.start_span("write", span_type=SpanType.CHAT_MODEL) as span:
        span.set_inputs({"messages": [{"role": "user", "content": question}]})
        span.set_outputs("At nine.")
        span.set_attribute("mlflow.chat.tokenUsage", {"input_tokens": 31, "output_tokens": 4, "total_tokens": 35})
    return "At nine."


def trace(found: Found) -> str:
    mlflow.set_experiment(found["agent"])
    answer("When does the office open?")
    mlflow.flush_trace_async_logging()
    return mlflow.get_last_active_trace_id()


def assess(found: Found) -> list[str]:
    trace_id = found["trace"]
    judge = AssessmentSource(source_type="LLM_JUDGE", source_id="judge-1")
    said = [
        mlflow.log_feedback(trace_id=trace_id, name="thumb", value=True, source=PERSON, rationale="quick and right", metadata={"page": "/help"}),
        mlflow.log_feedback(trace_id=trace_id, name="rating", value=4, source=PERSON),
        mlflow.log_feedback(trace_id=trace_id, name="correctness", value="yes", source=judge, rationale="matches"),
        mlflow.log_feedback(trace_id=trace_id, name="relevance", error=ValueError("no answer"), source=judge),
        mlflow.log_expectation(trace_id=trace_id, name="expected_response", value="At nine, on Fridays at ten.", source=PERSON),
    ]
    return [one.assessment_id for one in said]


def update(found: Found) -> str:
    changed = Feedback(name="thumb", value=False, rationale="looked again")
    return mlflow.update_assessment(trace_id=found["trace"], assessment_id=found["assess"][0], assessment=changed).assessment_id


def override(found: Found) -> str:
    made = mlflow.override_feedback(
        trace_id=found["trace"], assessment_id=found["assess"][0], value=True, rationale="right on Mondays", source=PERSON
    )
    return made.assessment_id


def read(found: Found) -> dict:
    return mlflow.get_trace(found["trace"]).to_dict()


def assessment(found: Found) -> dict:
    return mlflow.get_assessment(found["trace"], found["assess"][0]).to_dictionary()


def search(found: Found) -> list[dict]:
    experiment = mlflow.set_experiment(found["agent"]).experiment_id
    return [one.to_dict() for one in mlflow.search_traces(locations=[experiment], return_type="list")]


if __name__ == "__main__":
    act({"trace": trace, "assess": assess, "update": update, "override": override, "read": read, "assessment": assessment, "search": search})
