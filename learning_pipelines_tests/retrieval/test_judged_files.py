"""Judged queries out of files: what is read, and that every bad line is named."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from learning_pipelines.errors import BadInput
from learning_pipelines.retrieval.judged_files import read_judged

HEADER = "query-id\tcorpus-id\tscore\n"


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    return tmp_path / "queries.jsonl", tmp_path / "qrels.tsv"


def test_queries_and_their_judgements_are_read_and_the_others_counted(files: tuple[Path, Path]) -> None:
    queries, qrels = files
    queries.write_text('{"_id": "q1", "text": "How?", "metadata": {}}\n\n{"_id": "q2", "text": "Why?"}\n{"_id": "q3", "text": "Who?"}\n')
    qrels.write_text(f"{HEADER}q2\td1\t2\r\nq1\td1\t0.5\nq1\td2\t0\n")
    found = read_judged(queries, qrels)
    assert (found.queries, found.gains) == ({"q1": "How?", "q2": "Why?"}, {"q1": {"d1": 0.5, "d2": 0.0}, "q2": {"d1": 2.0}})
    assert (found.unjudged, found.rejected) == (1, 0)


def test_compressed_files_are_read(files: tuple[Path, Path]) -> None:
    queries, qrels = (path.with_name(path.name + ".gz") for path in files)
    queries.write_bytes(gzip.compress(b'{"_id": "q1", "text": "How?"}\n'))
    qrels.write_bytes(gzip.compress(f"{HEADER}q1\td1\t1\n".encode()))
    assert read_judged(queries, qrels).gains == {"q1": {"d1": 1.0}}


def test_every_bad_line_is_named_by_file_and_number_and_the_others_count(files: tuple[Path, Path]) -> None:
    queries, qrels = files
    queries.write_text('{"_id": "q1", "text": "How?"}\nnot json\n[]\n{"_id": 7, "text": "x"}\n{"_id": "q2", "text": " "}\n{"_id": "q1", "text": "Other"}\n')
    qrels.write_bytes(f"{HEADER}q1\td1\t1\nq1 d2 1\nq9\td1\t1\nq1\td2\tyes\nq1\td3\tnan\nq1\td1\t2\nq1\t\t1\n".encode() + b"q1\t\xff\t1\n")
    found = read_judged(queries, qrels)
    assert found.gains == {"q1": {"d1": 1.0}}
    named = [(error["file"], error["line"], error["field"]) for error in found.errors]
    assert named == [
        ("queries", 2, None), ("queries", 3, None), ("queries", 4, "_id"), ("queries", 5, "text"), ("queries", 6, "_id"), ("qrels", 3, None),
        ("qrels", 4, "query-id"), ("qrels", 5, "score"), ("qrels", 6, "score"), ("qrels", 7, "score"), ("qrels", 8, "corpus-id"), ("qrels", 9, None),
    ]  # fmt: skip
    assert found.rejected == 12 and all(error["reason"] for error in found.errors)


def test_a_file_of_judgements_without_its_header_is_refused(files: tuple[Path, Path]) -> None:
    queries, qrels = files
    queries.write_text('{"_id": "q1", "text": "How?"}\n')
    qrels.write_text("q1\td1\t1\n")
    with pytest.raises(BadInput, match="does not begin with the header"):
        read_judged(queries, qrels)


def test_files_that_have_nothing_in_common_are_refused_with_the_first_bad_line(files: tuple[Path, Path]) -> None:
    queries, qrels = files
    queries.write_text('{"_id": "q1", "text": "How?"}\n')
    qrels.write_text(f"{HEADER}q2\td1\t1\n")
    with pytest.raises(BadInput, match=r"No query of .* has a judgement .* the first of 1 bad lines is qrels line 2, 'q2' is no query"):
        read_judged(queries, qrels)
    with pytest.raises(BadInput, match="cannot be read"):
        read_judged(queries, qrels.with_name("none.tsv"))
