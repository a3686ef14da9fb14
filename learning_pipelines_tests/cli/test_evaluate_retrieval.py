"""`evaluate retrieval` as typed: what it prints, whose index and which version is meant, bad lines, and that nothing of the queries is kept.

Belongs here: the verb with the real encoder over a few documents. Not here: metrics, reading the files (retrieval/).
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from learning_pipelines import cli_store
from learning_pipelines.cli import main
from learning_pipelines.feedback.identity import organization_id
from learning_pipelines.retrieval.index import IndexConfig
from learning_pipelines.settings import Settings
from learning_pipelines.storage import indexes
from learning_pipelines.storage.tenants import agents
from learning_pipelines_tests.cli.command_line import Ended, call, database_of
from learning_pipelines_tests.cli.conftest import Load

Evaluate = Callable[..., Ended]
DOCUMENTS = [
    {"document_id": "vat", "text": "VAT returns are due on the tenth day of the following month."},
    {"document_id": "leave", "text": "Ask for parental leave three months before it begins.", "agent": "desk"},
    {"document_id": "travel", "text": "Train tickets are paid back within two weeks."},
]
QUERIES = [("q1", "when is the VAT return due?", "vat"), ("q2", "how early must parental leave be asked for?", "leave"), ("q3", "are tickets paid?", "travel")]
_numbers = itertools.count(1)


@pytest.fixture
def organization(load_rows: Load) -> str:
    """One agent and three documents."""
    name = f"ranked-{next(_numbers)}"
    load_rows("agents", [{"agent": "desk"}], name)
    load_rows("documents", DOCUMENTS, name)
    return name


@pytest.fixture
def evaluate(home: Path, organization: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Evaluate:
    """Without a process for each; the first test is one."""
    monkeypatch.setattr(cli_store, "load_settings", lambda: Settings(home=home, database_url=None))
    queries, qrels = tmp_path / "queries.jsonl", tmp_path / "qrels.tsv"
    queries.write_text("".join(json.dumps({"_id": name, "text": text}) + "\n" for name, text, _ in QUERIES))
    qrels.write_text("query-id\tcorpus-id\tscore\n" + "".join(f"{name}\t{document}\t1\n" for name, _, document in QUERIES))

    def run(*typed: str, into: str = organization) -> Ended:
        ended = CliRunner().invoke(main, [*command(tmp_path, into), *typed])
        return Ended(ended.exit_code, ended.stdout, ended.stderr)

    return run


def command(folder: Path, organization: str) -> list[str]:
    return ["evaluate", "retrieval", "--queries", str(folder / "queries.jsonl"), "--qrels", str(folder / "qrels.tsv"), "--organization", organization]


def stored(home: Path, text: str) -> list[str]:
    """Tables of which some row holds the text."""
    with database_of(home).connect("pipeline") as connection:
        names = connection.execute(
            """SELECT relname FROM pg_class WHERE relnamespace = 'learning'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
            AND relname <> 'alembic_version'"""
        ).fetchall()
        return [name for (name,) in names if connection.execute(f'SELECT FROM learning."{name}" AS t WHERE t::text LIKE %s LIMIT 1', [f"%{text}%"]).fetchone()]


def test_the_base_index_is_built_scored_and_nothing_of_the_queries_is_kept(home: Path, evaluate: Evaluate, organization: str, tmp_path: Path) -> None:
    ended = call(home, *command(tmp_path, organization), "--json")
    assert ended.code == 0, ended.err
    document = ended.document
    assert (document["n"], document["index"], document["agent"], document["rejected"]) == (3, 0, "desk", 0)
    assert set(document["metrics"]) == set(document["intervals"]) == {"ndcg@10", "mrr@10", "recall@10", "recall@100"}
    assert document["metrics"]["ndcg@10"] == 1.0 and document["intervals"]["recall@10"] == [1.0, 1.0]
    assert [stored(home, text) for _, text, _ in QUERIES] == [[], [], []]
    spoken = evaluate().out
    assert "The base index for desk on 3 queries:" in spoken and "ndcg@10    1.000 [1.000, 1.000]" in spoken


def test_a_version_by_its_number_and_the_candidate_by_its_label(home: Path, evaluate: Evaluate, organization: str) -> None:
    evaluate()
    with database_of(home).connect("pipeline") as connection:
        (desk,) = agents(connection, organization)
        base = indexes.base(connection, organization_id(organization))
        assert base is not None
        config = IndexConfig(lexical_weight=1.0).as_json()
        number = indexes.add(connection, desk, encoder_id=base.encoder.id, kind="index", parent=0, config=config, metrics={}, training_run_id=None)
        missing = evaluate("--index", "candidate")
        indexes.point(connection, desk, "candidate", number, None)
    assert missing.code == 2 and "has no index 'candidate'. There is serving, 0 (the base) and the learnt versions 1." in missing.err
    assert [evaluate("--index", name, "--json").document["index"] for name in ("candidate", "1", "0", "serving")] == [1, 1, 0, 0]


def test_with_several_agents_the_base_over_all_documents_is_meant_and_learnt_versions_need_a_name(
    evaluate: Evaluate, load_rows: Load, organization: str
) -> None:
    load_rows("agents", [{"agent": "other"}], organization)
    everything = evaluate("--json").document
    assert (everything["agent"], everything["metrics"]["recall@10"]) == (None, 1.0)
    assert evaluate("--agent", "other", "--json").document["metrics"]["recall@10"] == pytest.approx(2 / 3)  # the leave is not its own
    ended = evaluate("--index", "candidate")
    assert ended.code == 2 and "Name the agent with --agent" in ended.err


def test_bad_lines_are_named_the_others_scored_and_the_exit_code_says_so(evaluate: Evaluate, tmp_path: Path) -> None:
    with (tmp_path / "qrels.tsv").open("a") as file:
        file.write("q9\tvat\t1\n")
    ended = evaluate("--json")
    assert (ended.code, ended.document["n"], ended.document["rejected"]) == (1, 3, 1)
    assert ended.document["errors"] == [{"file": "qrels", "line": 5, "field": "query-id", "reason": "'q9' is no query of the queries file"}]
    assert "qrels line 5, query-id" in ended.err


def test_what_is_not_there_is_bad_input(home: Path, evaluate: Evaluate, load_rows: Load, tmp_path: Path) -> None:
    load_rows("agents", [{"agent": "desk"}], "no-documents")
    empty = evaluate(into="no-documents")
    assert empty.code == 2 and "There are no documents" in empty.err
    assert evaluate("--agent", "nobody").code == 2
    (tmp_path / "qrels.tsv").unlink()
    gone = evaluate()
    assert gone.code == 2 and "cannot be read" in gone.err
