"""What peers' clients export, imported into an organization that has none of it: no field is lost.

Belongs here: files that the clients themselves produced. Not here: the same over HTTP (test_langfuse.py, …).
"""

from __future__ import annotations

import csv
import gzip
import itertools
import json
from collections.abc import Callable
from operator import itemgetter
from pathlib import Path
from typing import Any

import pytest

from learning_pipelines.errors import BadInput
from learning_pipelines.feedback.importing import ImportResult, window_now
from learning_pipelines.feedback.peers.importing import import_export
from learning_pipelines_tests.api.serving import make_agents
from learning_pipelines_tests.interop.conftest import Office

Import = Callable[..., ImportResult]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("exports")


@pytest.fixture(scope="module")
def langfuse(office: Office) -> dict[str, Any]:
    """A trace and its scores as Langfuse's client reads them."""
    found: dict[str, Any] = office.run("langfuse_scores", "trace", "scores", "read", "observations").json
    return found


@pytest.fixture(scope="module")
def phoenix(office: Office, model_url: str, folder: Path) -> Path:
    """The data frame of annotations as Phoenix' client gives it."""
    trace, span = office.run("otlp_traces", f"model={model_url}", "openinference").json["openinference"]
    ran = office.run("phoenix_annotations", f"trace={trace}", f"span={span}", f"file={folder / 'phoenix.jsonl'}", "annotate", "export", "spans")
    written(folder / "phoenix-spans.json", ran.json["spans"])
    return folder / "phoenix.jsonl"


@pytest.fixture(scope="module")
def mlflow(office: Office, folder: Path) -> Path:
    """Traces with their assessments as MLflow's client finds them."""
    found = office.run("mlflow_assessments", "agent=helper", "trace", "assess", "search").json["search"]
    return written(folder / "mlflow.json", found)


@pytest.fixture
def load(office: Office) -> Import:
    """`load(organization, kind, path, peer)` imports an export for an organization that has the agents desk and helper."""

    def run(organization: str, kind: str, path: Path, peer: str, agent: str | None = None) -> ImportResult:
        make_agents(office.api, organization, "desk", "helper")
        settings = office.api.settings
        window = window_now(settings.start_date, settings.zone)
        with office.api.database.connect("pipeline") as connection:
            return import_export(connection, organization, kind, path, peer, window=window, scales={}, agent=agent)

    return run


def written(path: Path, document: Any) -> Path:
    data = json.dumps(document).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def counts(result: ImportResult) -> tuple[int, int, int, int]:
    return result.read, result.imported, result.unchanged, result.rejected


def payloads(office: Office, organization: str) -> list[dict[str, Any]]:
    """Everything that is stored of statements, wherever it lies."""
    query = """SELECT coalesce(r.payload, f.context -> 'peer' -> 'payload') FROM peer_records r
        LEFT JOIN agent_feedback f ON f.organization_id = r.organization_id AND f.id = r.feedback_id
        WHERE r.organization_id = learning.organization_id(%s) ORDER BY r.arrival"""
    return [row[0] for row in office.rows(query, organization)]


def types(office: Office, organization: str) -> list[str]:
    query = "SELECT feedback_type FROM agent_feedback WHERE organization_id = learning.organization_id(%s) AND NOT pending_execution ORDER BY feedback_type"
    return [row[0] for row in office.rows(query, organization)]


def trace_of(office: Office, organization: str = "default") -> list[Any]:
    query = "SELECT id, context -> 'otlp' FROM agent_executions WHERE organization_id = learning.organization_id(%s) ORDER BY id"
    return office.rows(query, organization)


@pytest.mark.parametrize("form", ["json", "json.gz", "jsonl", "csv"])
def test_langfuse_scores_import_without_loss(office: Office, load: Import, folder: Path, langfuse: dict[str, Any], form: str) -> None:
    organization, scores = f"langfuse-{form.replace('.', '-')}", langfuse["read"]
    path = folder / f"scores.{form}"
    if form == "jsonl":
        path.write_text("".join(json.dumps(score) + "\n" for score in scores))
    elif form == "csv":
        with path.open("w", newline="") as file:
            table = csv.DictWriter(file, list(dict.fromkeys(itertools.chain(*scores))))
            table.writeheader()
            table.writerows({key: json.dumps(value) if isinstance(value, dict) else value for key, value in score.items()} for score in scores)
    else:
        written(path, {"data": scores, "meta": {"limit": 100}})
    assert counts(load(organization, "feedback", path, "langfuse", "desk")) == (6, 6, 0, 0)
    kept = {payload["id"]: payload for payload in payloads(office, organization)}
    for score in scores:
        told = {key: value for key, value in score.items() if value not in (None, "")}
        if form == "csv":  # a table has text only; what was empty has no cell
            told = {key: value if isinstance(value, dict) else str(value) for key, value in told.items()}
        assert {key: value for key, value in kept[score["id"]].items() if value is not None} == told
    assert counts(load(organization, "feedback", path, "langfuse", "desk")) == (6, 0, 6, 0)


def test_scores_join_the_trace_that_is_imported_beside_them(office: Office, load: Import, folder: Path, langfuse: dict[str, Any]) -> None:
    (otlp,) = [document for trace, document in trace_of(office) if trace == langfuse["trace"]]
    assert counts(load("copy", "executions", written(folder / "otlp.json", otlp), "otlp", "desk")) == (1, 1, 0, 0)
    assert counts(load("copy", "feedback", written(folder / "scores.json", langfuse["read"]), "langfuse")) == (6, 6, 0, 0)
    assert types(office, "copy") == ["correction", *["detailed_feedback"] * 4, "thumbs_up"]
    assert trace_of(office, "copy") == [(langfuse["trace"], otlp)]
    assert counts(load("copy", "executions", folder / "otlp.json", "otlp", "desk")) == (1, 0, 1, 0)


def test_an_annotation_frame_of_phoenix_imports_without_loss(office: Office, load: Import, folder: Path, phoenix: Path) -> None:
    exported = [json.loads(line) for line in phoenix.read_text().splitlines()]
    assert len(exported) == 4
    result = load("frames", "feedback", phoenix, "phoenix")
    assert counts(result) == (4, 2, 0, 2)  # what people said waits for no file: its spans come first
    assert "import the spans first" in result.errors[0]["reason"]
    spans = [document for _, document in trace_of(office)]
    assert load("frames", "executions", written(folder / "all.json", spans), "otlp", "desk").rejected == 0
    assert counts(load("frames", "feedback", phoenix, "phoenix")) == (4, 2, 2, 0)
    assert types(office, "frames") == ["detailed_feedback", "thumbs_up"]
    assert sorted(payloads(office, "frames"), key=itemgetter("id")) == sorted(exported, key=itemgetter("id"))


ABOUT = "id, input, output, session_id, tags, environment, input_tokens, output_tokens, cost_usd, retrieved"


def about(office: Office, organization: str, trace: str) -> list[Any]:
    """What an execution says, apart from times (exports cut nanoseconds) and from what it was exported as."""
    query = f"SELECT {ABOUT} FROM agent_executions WHERE organization_id = learning.organization_id(%s) AND id = %s"
    return office.rows(query, organization, trace)


def exported(office: Office, organization: str) -> list[dict[str, Any]]:
    """The rows of an export as they are kept in the context of the execution."""
    ((_, otlp),) = trace_of(office, organization)
    return [span["exported"] for spans in otlp["resourceSpans"] for scope in spans["scopeSpans"] for span in scope["spans"]]


def test_observations_of_langfuse_import_without_loss(office: Office, load: Import, folder: Path, langfuse: dict[str, Any]) -> None:
    rows, trace = langfuse["observations"], langfuse["trace"]
    assert len(rows) == 3 and {row["type"] for row in rows} == {"AGENT", "GENERATION", "RETRIEVER"}
    path = written(folder / "observations.json", {"data": rows, "meta": {"cursor": None}})
    assert counts(load("observed", "executions", path, "langfuse")) == (3, 1, 0, 0)
    assert about(office, "observed", trace) == about(office, "default", trace)
    assert sorted(exported(office, "observed"), key=itemgetter("id")) == sorted(rows, key=itemgetter("id"))


def test_spans_of_phoenix_import_without_loss(office: Office, load: Import, folder: Path, phoenix: Path) -> None:
    rows = json.loads((folder / "phoenix-spans.json").read_text())
    assert len(rows) == 3 and {row["span_kind"] for row in rows} == {"AGENT", "LLM", "RETRIEVER"}
    assert counts(load("spans", "executions", folder / "phoenix-spans.json", "phoenix", "desk")) == (3, 1, 0, 0)
    assert about(office, "spans", rows[0]["context"]["trace_id"]) == about(office, "default", rows[0]["context"]["trace_id"])
    assert sorted(exported(office, "spans"), key=itemgetter("id")) == sorted(rows, key=itemgetter("id"))


def test_traces_of_mlflow_import_without_loss_and_so_do_their_assessments(office: Office, load: Import, mlflow: Path) -> None:
    (exported,) = json.loads(mlflow.read_text())
    assert counts(load("traces", "executions", mlflow, "mlflow", "helper")) == (1, 1, 0, 0)
    assert counts(load("traces", "feedback", mlflow, "mlflow")) == (1, 5, 0, 0)
    assert types(office, "traces") == ["correction", "detailed_feedback", "thumbs_up"]
    assert payloads(office, "traces") and sorted(one["assessment_id"] for one in payloads(office, "traces")) == sorted(
        one["assessment_id"] for one in exported["info"]["assessments"]
    )
    for payload in payloads(office, "traces"):
        assert payload in exported["info"]["assessments"]
    ((_, otlp),) = trace_of(office, "traces")
    info = office.one("SELECT context -> 'trace_info' FROM agent_executions WHERE organization_id = learning.organization_id('traces')")
    assert info == {key: value for key, value in exported["info"].items() if key != "assessments"}
    spans = [span["exported"] for spans in otlp["resourceSpans"] for scope in spans["scopeSpans"] for span in scope["spans"]]
    assert sorted(spans, key=lambda span: span["span_id"]) == sorted(exported["data"]["spans"], key=lambda span: span["span_id"])
    ours, theirs = (
        office.rows(
            "SELECT id, input, output, session_id, input_tokens, output_tokens, retrieved, created_at FROM agent_executions WHERE "
            "organization_id = learning.organization_id(%s) AND id = %s", organization, exported["info"]["trace_id"].removeprefix("tr-"),
        ) for organization in ("traces", "default")
    )  # fmt: skip
    assert ours == theirs  # the same as over HTTP


def test_an_export_of_what_came_over_http_changes_nothing(
    office: Office, load: Import, folder: Path, langfuse: dict[str, Any], phoenix: Path, mlflow: Path
) -> None:
    before = types(office, "default")
    assert counts(load("default", "feedback", written(folder / "scores.json", langfuse["read"]), "langfuse")) == (6, 0, 6, 0)
    assert counts(load("default", "feedback", phoenix, "phoenix")) == (4, 0, 4, 0)
    assert counts(load("default", "feedback", mlflow, "mlflow")) == (1, 0, 5, 0)
    assert counts(load("default", "executions", mlflow, "mlflow", "helper")) == (1, 0, 1, 0)
    assert types(office, "default") == before


def test_an_agent_that_is_not_named_or_unknown_is_refused_with_its_line(load: Import, folder: Path, office: Office, langfuse: dict[str, Any]) -> None:
    (otlp,) = [document for trace, document in trace_of(office) if trace == langfuse["trace"]]
    text = json.dumps(otlp).replace('"desk"', '"reception"')
    (folder / "strangers.jsonl").write_text("\n" + text + "\n{]\n")
    result = load("strangers", "executions", folder / "strangers.jsonl", "otlp")
    assert (result.read, result.imported, [error["line"] for error in result.errors]) == (2, 0, [2, 3])
    assert "'reception'" in result.errors[0]["reason"] and "--agent" in result.errors[0]["reason"]
    with pytest.raises(BadInput, match="is not an agent"):
        load("strangers", "executions", folder / "strangers.jsonl", "otlp", "nobody")
    with pytest.raises(BadInput, match="cannot be imported from otlp"):
        load("strangers", "feedback", folder / "strangers.jsonl", "otlp")
    with pytest.raises(BadInput, match="no export that can be read"):
        load("strangers", "feedback", written(folder / "scores.txt", []), "langfuse")
