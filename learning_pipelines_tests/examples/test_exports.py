"""What a version is exported as: rows of every format, which examples make one, the same bytes for ever, nobody's data, whole files only.

Belongs here: exporting from a real version. Not here: whether consumers can read it (test_export_consumers.py), the verb (cli/test_datasets.py).
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import fsspec
import orjson
import psycopg
import pyarrow.parquet as pq
import pytest

from learning_pipelines.errors import BadInput, LearningError
from learning_pipelines.examples.export_files import file_hash, require_inside, tenant_folder, whole_file
from learning_pipelines.examples.exporting import Exported, TooFew, artifact_path, export_dataset, export_to_artifacts
from learning_pipelines.examples.exports import answer
from learning_pipelines.examples.formats import FORMATS, FormatName
from learning_pipelines.storage.database import SESSION, Connection, Database
from learning_pipelines.storage.exports import recorded_exports
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.examples.approved import choice, correction, dataset, example, question, refresh
from learning_pipelines_tests.feedback.rows import AGENT, agent_ref, table

SYSTEM = "You help with taxes."


@pytest.fixture
def sixty(load: Load, pipeline: Connection) -> None:
    """A version of 60 examples: plain ones, corrections, choices, and negatives without a better answer."""
    load("agents", [{**AGENT, "system_prompt": SYSTEM}])
    load("examples", [example(number) for number in range(20)] + [correction(number) for number in range(20, 40)])
    load("examples", [choice(number, "AB"[number % 2]) for number in range(40, 52)])
    load("examples", [example(number, example_type="negative", original_output=f"Answer {number}.") for number in range(52, 60)])
    refresh(pipeline)


def export(pipeline: Connection, path: Path | str, name: FormatName = "openai-chat", split: str = "all", version: int | None = None) -> Exported:
    return export_dataset(pipeline, agent_ref(pipeline), dataset(pipeline, version), name, str(path), split=split)


def lines(path: Path) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


def test_a_chat_row_is_system_user_assistant(sixty: None, pipeline: Connection, tmp_path: Path) -> None:
    export(pipeline, tmp_path / "out.jsonl")
    assert lines(tmp_path / "out.jsonl")[3] == {
        "messages": [
            {"role": "system", "content": SYSTEM},
            {"role": "user", "content": question(3)},
            {"role": "assistant", "content": "Answer 3."},
        ]
    }


def test_a_wrong_answer_without_a_better_one_is_not_taught(sixty: None, pipeline: Connection, tmp_path: Path) -> None:
    done = export(pipeline, tmp_path / "out.jsonl")
    assert (done.rows, done.left_out) == (52, {"negative without a better answer": 8})


@pytest.mark.parametrize(
    ("content", "taught"),
    [
        ({"example_type": "positive", "expected_output": "Yes."}, "Yes."),
        ({"example_type": "positive", "expected_output": "  "}, None),
        ({"example_type": "correction", "expected_output": "Yes.", "original_output": "No."}, "Yes."),
        ({"example_type": "negative", "expected_output": None, "original_output": "No."}, None),
        ({"example_type": "negative", "expected_output": "Yes.", "original_output": "No."}, "Yes."),
        ({"example_type": "failure", "expected_output": "No.", "original_output": "No."}, None),
        ({"example_type": "failure", "expected_output": "No."}, None),
        ({"example_type": "preference", "output_a": "One.", "output_b": "Two.", "preferred_output": "B"}, "Two."),
        ({"example_type": "edge_case", "expected_output": "Yes."}, "Yes."),
    ],
)
def test_the_answer_an_example_teaches(content: dict[str, Any], taught: str | None) -> None:
    names = ("expected_output", "original_output", "output_a", "output_b", "preferred_output")
    assert answer({**dict.fromkeys(names), **content}) == taught


def test_pairs_of_corrections_and_choices_in_the_form_of_openai(sixty: None, pipeline: Connection, tmp_path: Path) -> None:
    assert export(pipeline, tmp_path / "out.jsonl", "openai-dpo").rows == 32
    found = {row["input"]["messages"][1]["content"]: row for row in lines(tmp_path / "out.jsonl")}
    assert found[question(25)] == {
        "input": {
            "messages": [{"role": "system", "content": SYSTEM}, {"role": "user", "content": question(25)}], "tools": [], "parallel_tool_calls": True,
        },
        "preferred_output": [{"role": "assistant", "content": "Answer 25."}],
        "non_preferred_output": [{"role": "assistant", "content": "Wrong answer 25."}],
    }  # fmt: skip
    assert found[question(41)]["preferred_output"][0]["content"] == "Second 41."


def test_trl_rows_have_prompt_chosen_rejected(sixty: None, pipeline: Connection, tmp_path: Path) -> None:
    export(pipeline, tmp_path / "out.jsonl", "trl-dpo")
    assert {tuple(row) for row in lines(tmp_path / "out.jsonl")} == {("prompt", "chosen", "rejected")}


def test_triples_are_made_of_what_was_wrong_not_of_what_was_liked_less(sixty: None, pipeline: Connection, tmp_path: Path) -> None:
    export(pipeline, tmp_path / "out.jsonl", "triples")
    found = lines(tmp_path / "out.jsonl")
    assert {row["anchor"] for row in found} == {question(number) for number in range(20, 40)}
    assert {"anchor": question(20), "positive": "Answer 20.", "negative": "Wrong answer 20."} in found


def test_parquet_has_every_example_with_its_lineage(sixty: None, pipeline: Connection, tmp_path: Path) -> None:
    assert export(pipeline, tmp_path / "out.parquet", "parquet").rows == 60
    rows = {row["example_id"]: row for row in pq.read_table(tmp_path / "out.parquet").to_pylist()}
    stored = {row["example_id"]: row for row in table(pipeline, "dataset_examples")}
    assert {name: (row["split"], row["weight"], row["content_hash"]) for name, row in rows.items()} == {
        name: (row["split"], row["weight"], bytes(row["content_hash"]).hex()) for name, row in stored.items()
    }
    assert {row["dataset_version"] for row in rows.values()} == {1}
    assert (rows["x00025"]["chosen"], rows["x00025"]["rejected"], rows["x00055"]["messages"]) == ("Answer 25.", "Wrong answer 25.", None)
    assert (rows["x00041"]["chosen"], rows["x00041"]["source_type"]) == ("Second 41.", "imported")


def test_only_train_leaves_unless_another_split_is_asked_for(sixty: None, pipeline: Connection, tmp_path: Path) -> None:
    done = export_dataset(pipeline, agent_ref(pipeline), dataset(pipeline), "parquet", str(tmp_path / "out.parquet"))
    assert set(pq.read_table(tmp_path / "out.parquet")["split"].to_pylist()) == {"train"}
    sizes = {split: export(pipeline, tmp_path / split, "parquet", split).rows for split in ("train", "validation", "test", "all")}
    assert (sizes["train"], sizes["all"], sum(sizes.values())) == (done.rows, 60, 120)


def test_a_version_gives_the_same_bytes_after_everything_changed(sixty: None, load: Load, pipeline: Connection, tmp_path: Path) -> None:
    before = {name: export(pipeline, tmp_path / f"before-{name}", name) for name in FORMATS}
    pipeline.execute("UPDATE learning_examples SET expected_output = 'Edited.', tags = '{new}', quality_score = 0.2 WHERE id LIKE '%%5'")
    pipeline.execute("UPDATE learning_examples SET review_status = 'rejected' WHERE id LIKE '%%7'")
    pipeline.execute("UPDATE learning_examples SET preferred_output = 'A' WHERE id LIKE '%%1'")
    load("examples", [correction(number) for number in range(70, 80)])
    load("agents", [{**AGENT, "system_prompt": "Something else."}])
    assert refresh(pipeline).version == 2
    for name in FORMATS:
        after = export(pipeline, tmp_path / f"after-{name}", name, version=1)
        assert (after.sha256, after.rows) == (before[name].sha256, before[name].rows)
        assert (tmp_path / f"after-{name}").read_bytes() == (tmp_path / f"before-{name}").read_bytes()
        assert export(pipeline, tmp_path / f"new-{name}", name).sha256 != before[name].sha256


def test_the_hash_is_that_of_the_file(sixty: None, pipeline: Connection, tmp_path: Path) -> None:
    for name in FORMATS:
        done = export(pipeline, tmp_path / name, name)
        data = (tmp_path / name).read_bytes()
        assert (done.sha256, done.bytes) == (hashlib.sha256(data).hexdigest(), len(data))
    assert sorted(os.listdir(tmp_path))[-5:] == sorted(FORMATS)


def test_a_row_that_still_shows_personal_data_stays_here(sixty: None, pipeline: Connection, tmp_path: Path) -> None:
    pipeline.execute("UPDATE learning_examples SET expected_output = 'Write to ada.lovelace@example.org' WHERE id = 'x00004'")
    pipeline.execute("UPDATE learning_examples SET expected_output = 'Pay to DE89 3704 0044 0532 0130 00' WHERE id = 'x00025'")
    refresh(pipeline)
    done = export(pipeline, tmp_path / "out.jsonl")
    assert (done.rows, done.held_back) == (50, {"EMAIL": 1, "IBAN": 1})
    assert export(pipeline, tmp_path / "pairs.jsonl", "trl-dpo").held_back == {"IBAN": 1}
    text = "".join(path.read_text() for path in tmp_path.glob("*.jsonl") if path.name in ("out.jsonl", "pairs.jsonl"))
    assert "lovelace" not in text and "DE89" not in text


def test_what_was_scrubbed_is_no_personal_data_any_more(load: Load, pipeline: Connection, tmp_path: Path) -> None:
    load("agents", [AGENT])
    raw = "Ask Ada Lovelace, ada.lovelace@example.org, +49 30 901820, DE89 3704 0044 0532 0130 00."
    load("examples", [example(number, expected_output=f"{raw} Case {number}.") for number in range(12)])
    refresh(pipeline)
    done = export(pipeline, tmp_path / "out.jsonl")
    assert (done.rows, done.held_back) == (12, {})
    assert "<EMAIL_1>" in (tmp_path / "out.jsonl").read_text()


def test_what_is_not_exported_holds_nothing_back(sixty: None, pipeline: Connection, tmp_path: Path) -> None:
    pipeline.execute("""UPDATE learning_examples SET input_context = '{"mail": "ada.lovelace@example.org"}' WHERE id = 'x00004'""")
    refresh(pipeline)
    assert export(pipeline, tmp_path / "out.jsonl").held_back == {}
    assert export(pipeline, tmp_path / "out.parquet", "parquet").held_back == {"EMAIL": 1}


@pytest.mark.parametrize(("prompt", "system"), [("Help {{name}}, who said {{input}}.", None), (None, None), ("  ", None), ("Be kind.", "Be kind.")])
def test_the_system_role_holds_the_agents_words_only(load: Load, pipeline: Connection, tmp_path: Path, prompt: str | None, system: str | None) -> None:
    load("agents", [{**AGENT, "system_prompt": prompt}])
    load("examples", [example(number) for number in range(12)])
    refresh(pipeline)
    export(pipeline, tmp_path / "out.jsonl")
    roles = {message["role"]: message["content"] for message in lines(tmp_path / "out.jsonl")[0]["messages"]}
    assert (roles.get("system"), roles["user"]) == (system, question(0))


def test_too_few_rows_are_refused_saying_what_is_missing_and_nothing_is_left_behind(load: Load, pipeline: Connection, tmp_path: Path) -> None:
    load("agents", [AGENT])
    load("examples", [example(number) for number in range(6)] + [example(6, example_type="negative", original_output="Answer 6.")])
    refresh(pipeline)
    (tmp_path / "out.jsonl").write_text("what was there before")
    with pytest.raises(TooFew, match=r"has 6 examples for openai-chat in split all, and 10 are needed.*1 × negative without a better answer.*Approve 4 more"):
        export(pipeline, tmp_path / "out.jsonl")
    with pytest.raises(TooFew, match=r"has 0 preference pairs for trl-dpo in split train, .*Pairs come from corrections, A/B choices and ratings"):
        export(pipeline, tmp_path / "out.jsonl", "trl-dpo", "train")
    with pytest.raises(TooFew, match="Pairs come from corrections and ratings"):
        export(pipeline, tmp_path / "out.jsonl", "triples")
    assert ((tmp_path / "out.jsonl").read_text(), [path.name for path in tmp_path.iterdir() if path.name.startswith(".")]) == ("what was there before", [])


def test_a_failure_half_way_leaves_the_file_that_was_there(sixty: None, pipeline: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "out.jsonl").write_text("before")

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("learning_pipelines.examples.export_files.HashedFile.write", full)
    with pytest.raises(LearningError, match=r"out\.jsonl could not be written to its end: No space left on device"):
        export(pipeline, tmp_path / "out.jsonl")
    assert ([path.name for path in tmp_path.iterdir() if "out" in path.name], (tmp_path / "out.jsonl").read_text()) == (["out.jsonl"], "before")


def test_a_database_that_goes_away_leaves_no_file(
    sixty: None, pipeline: Connection, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("learning_pipelines.storage.versions.PORTION", 1)

    def gone(*_: object) -> bool:
        with psycopg.connect(database.admin_url, options=SESSION, autocommit=True) as admin:
            admin.execute("SELECT pg_terminate_backend(%s)", [pipeline.info.backend_pid])
        return True

    reference, version = agent_ref(pipeline), dataset(pipeline)
    monkeypatch.setattr("learning_pipelines.examples.export_guard.Guard.lets_pass", gone)
    with pytest.raises(LearningError, match="went away while exporting"):
        export_dataset(pipeline, reference, version, "openai-chat", str(tmp_path / "out.jsonl"), split="all")
    assert not [path for path in tmp_path.iterdir() if "out" in path.name]


@pytest.mark.parametrize(
    ("target", "said"), [("", "is a folder"), ("nowhere/out.jsonl", "There is no folder"), ("file.txt/out.jsonl", r"no folder|Not a directory")]
)
def test_a_target_that_cannot_be_written_is_refused(sixty: None, pipeline: Connection, tmp_path: Path, target: str, said: str) -> None:
    (tmp_path / "file.txt").write_text("a file")
    with pytest.raises(BadInput, match=said):
        export(pipeline, f"{tmp_path}/{target}")


def test_a_device_is_not_replaced_by_a_file(sixty: None, pipeline: Connection, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(BadInput, match="no ordinary file"):
        export(pipeline, tmp_path / "pipe")


@pytest.mark.parametrize("target", ["nope://bucket/out.jsonl", "memory2://x"])
def test_an_unknown_kind_of_url_is_refused(sixty: None, pipeline: Connection, target: str) -> None:
    with pytest.raises(BadInput, match=r"cannot be written|not installed"):
        export(pipeline, target)


def test_any_fsspec_url_takes_an_export(sixty: None, pipeline: Connection) -> None:
    done = export(pipeline, "memory://exports/out.jsonl")
    assert file_hash("memory://exports/out.jsonl") == (done.sha256, done.bytes)
    assert [name for name in fsspec.filesystem("memory").find("/exports") if name.endswith(".part")] == []


def test_another_tenants_dataset_does_not_get_out(sixty: None, load: Load, pipeline: Connection, tmp_path: Path) -> None:
    load("agents", [AGENT], "other")
    ours = dataset(pipeline)
    with pytest.raises(TooFew):
        export_dataset(pipeline, agent_ref(pipeline, organization="other"), ours, "parquet", str(tmp_path / "out"), split="all")


def test_artifacts_lie_in_the_folder_of_organization_and_agent(sixty: None, pipeline: Connection, tmp_path: Path) -> None:
    record = export_to_artifacts(pipeline, agent_ref(pipeline), dataset(pipeline), "trl-dpo", tmp_path.as_uri())
    path = tmp_path / "datasets" / "default" / "desk" / "v1" / "trl-dpo.train.jsonl"
    assert hashlib.sha256(path.read_bytes()).hexdigest() == record.sha256
    assert recorded_exports(pipeline, agent_ref(pipeline), dataset(pipeline).id) == [record]


def test_a_folder_that_leads_into_another_tenants_is_not_written(sixty: None, pipeline: Connection, tmp_path: Path) -> None:
    (tmp_path / "datasets" / "other" / "desk").mkdir(parents=True)
    (tmp_path / "datasets" / "default").mkdir()
    (tmp_path / "datasets" / "default" / "desk").mkdir()
    (tmp_path / "datasets" / "default" / "desk" / "v1").symlink_to(tmp_path / "datasets" / "other" / "desk")
    with pytest.raises(LearningError, match="does not lie below"):
        artifact_path(tmp_path.as_uri(), agent_ref(pipeline), 1, "trl-dpo", "train")
    with pytest.raises(LearningError, match="does not lie below"):
        export_to_artifacts(pipeline, agent_ref(pipeline), dataset(pipeline), "trl-dpo", tmp_path.as_uri())
    assert list((tmp_path / "datasets" / "other" / "desk").iterdir()) == []


@pytest.mark.parametrize("location", ["{base}/datasets/default/desk2/v1/x", "{base}/datasets/default/desk/../../other/x", "{base}/datasets/default/desk"])
def test_a_path_beside_the_tenants_folder_is_not_inside(load: Load, pipeline: Connection, tmp_path: Path, location: str) -> None:
    load("agents", [AGENT])
    for base in (tmp_path.as_uri(), "memory://artifacts"):
        with pytest.raises(LearningError, match="does not lie below"):
            require_inside(tenant_folder(base, agent_ref(pipeline)), location.format(base=base))


def test_a_file_is_not_there_before_it_is_whole(tmp_path: Path) -> None:
    with whole_file(str(tmp_path / "out.bin")) as file:
        file.write(b"half")
        assert not (tmp_path / "out.bin").exists()
    assert (tmp_path / "out.bin").read_bytes() == b"half"
