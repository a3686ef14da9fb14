"""`search`: the index is built where it is missing, what is found is explained, and nothing to find is no error."""

from __future__ import annotations

from pathlib import Path

from learning_pipelines_tests.cli.command_line import call
from learning_pipelines_tests.cli.conftest import Load

DOCUMENTS = [
    {"document_id": "vat", "title": "VAT returns", "text": "VAT returns are due on the tenth day of the following month."},
    {"document_id": "leave", "title": "Parental leave", "text": "Ask for parental leave three months before it begins.", "agent": "desk"},
    {"document_id": "travel", "title": "Travel costs", "text": "Train tickets are paid back within two weeks."},
]


def test_documents_are_indexed_and_found_by_words_and_meaning(home: Path, load_rows: Load) -> None:
    load_rows("agents", [{"agent": "desk", "system_prompt": "You help."}, {"agent": "other", "system_prompt": "You help too."}], "searching")
    load_rows("documents", DOCUMENTS, "searching")
    ended = call(home, "search", "when must the value added tax declaration be filed?", "--organization", "searching", "-k", "2", "--json")
    assert ended.code == 0, ended.err
    assert len(ended.document["results"]) == 2 and ended.document["results"][0]["document_id"] == "vat"
    assert ended.document["results"][0].keys() >= {"chunk_id", "document_id", "score", "text"} and ended.document["index"] == 0
    found = {agent: call(home, "search", "parental leave", "--organization", "searching", "--agent", agent, "--json").document for agent in ("desk", "other")}
    assert "leave" in [hit["document_id"] for hit in found["desk"]["results"]] and "leave" not in [hit["document_id"] for hit in found["other"]["results"]]
    spoken = call(home, "search", "train tickets", "--organization", "searching")
    assert spoken.code == 0 and " 1. " in spoken.out and "travel" in spoken.out and "BM25" in spoken.out and "By the base index." in spoken.out


def test_no_documents_are_a_hint_and_no_error(home: Path, load_rows: Load) -> None:
    load_rows("agents", [{"agent": "desk", "system_prompt": "You help."}], "nothing")
    ended = call(home, "search", "invoice", "--organization", "nothing", "--json")
    assert ended.code == 0 and ended.document["results"] == [] and "import" in ended.document["hint"]


def test_an_unknown_agent_and_an_empty_question_are_bad_input(home: Path, load_rows: Load) -> None:
    load_rows("agents", [{"agent": "desk", "system_prompt": "You help."}], "nothing")
    for typed, said in ((["invoice", "--agent", "nobody"], "nobody"), (["  "], "TEXT"), (["x" * 2_001], "TEXT")):
        ended = call(home, "search", *typed, "--organization", "nothing")
        assert ended.code == 2 and said in ended.err
    assert call(home, "search", "invoice", "-k", "0").code == 2
