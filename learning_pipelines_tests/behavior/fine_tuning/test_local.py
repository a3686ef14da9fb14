"""Local fine-tuning on a tiny model: what can be learnt is learnt, the control learns nothing, and what goes wrong leaves nothing but its cause."""

from __future__ import annotations

import contextlib
import errno
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from safetensors.numpy import load_file

from learning_pipelines.acceptance.gate import Verdict, decide
from learning_pipelines.behavior.fine_tuning import lora, lora_gguf
from learning_pipelines.behavior.fine_tuning.base_model import chosen, load_causal, load_tokenizer
from learning_pipelines.behavior.fine_tuning.decoding import answers
from learning_pipelines.behavior.fine_tuning.lessons import Lessons, Method, Question
from learning_pipelines.behavior.fine_tuning.local import WORK
from learning_pipelines.behavior.fine_tuning.reward import best_baseline, preferred
from learning_pipelines.behavior.fine_tuning.work import work
from learning_pipelines.errors import BadInput, Unavailable
from learning_pipelines.retrieval.learning.child import TrainingKilled, run
from learning_pipelines.settings import Settings
from learning_pipelines_tests.behavior.fine_tuning.tiny import QUICK, lessons, prompt, request, right, tiny_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("base") / "tiny")


def silent(share: float, line: str, numbers: Mapping[str, float]) -> None:
    """Progress that nobody watches."""


@pytest.fixture(scope="module")
def done(model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[Method, tuple[Path, dict[str, Any]]]:
    """What each method came to, in this process."""
    found: dict[Method, tuple[Path, dict[str, Any]]] = {}
    for method in ("sft", "dpo", "rlhf"):
        folder = tmp_path_factory.mktemp(method)
        found[method] = folder, work(request(model, method).as_json(), folder, silent)
    return found


@pytest.mark.parametrize("method", ["sft", "dpo"])
def test_a_model_learns_its_lessons_and_answers_questions_it_never_saw(method: Method, done: dict[Method, tuple[Path, dict[str, Any]]]) -> None:
    result = done[method][1]
    before, after = right(result["answers"]["incumbent"]), right(result["answers"]["learnt"])
    assert after > 0.75 > before + 0.2
    numbers = result["learnt"]["numbers"]
    assert numbers["validation_loss"] < 0.6 * numbers["start_validation_loss"]
    losses = [point["loss"] for point in result["learnt"]["curve"] if "loss" in point]
    assert len(losses) == numbers["steps"] and losses[-1] < losses[0]


@pytest.mark.parametrize("method", ["sft", "dpo"])
def test_the_control_with_shuffled_answers_passes_no_gate(method: Method, done: dict[Method, tuple[Path, dict[str, Any]]]) -> None:
    found = done[method][1]["answers"]
    expected = {f"t{number}": right for number, right in enumerate(["payroll", "refund", "invoice"] * 10)}
    scores = {side: [float(found[side][name] == label) for name, label in expected.items()] for side in ("incumbent", "control")}
    assert decide(scores["incumbent"], scores["control"]).verdict is not Verdict.BETTER


def test_a_reward_model_tells_the_better_answer_where_length_and_frequency_do_not(
    model: Path, done: dict[Method, tuple[Path, dict[str, Any]]]
) -> None:
    result, sent = done["rlhf"][1], request(model, "rlhf")
    scores = preferred(result["answers"]["learnt"])
    baseline = best_baseline(sent.lessons.train, sent.lessons.validation, sent.pairs)  # type: ignore[arg-type]
    assert sum(scores.values()) / 30 > 0.8 > sum(baseline.scores.values()) / 30 + 0.1
    assert result["control"]["numbers"]["validation_loss"] > 0.5 > result["learnt"]["numbers"]["validation_loss"]


@pytest.mark.parametrize("method", ["sft", "dpo", "rlhf"])
def test_what_is_kept_is_tensors_and_json_and_names_no_path_of_this_machine(method: Method, done: dict[Method, tuple[Path, dict[str, Any]]]) -> None:
    folder, result = done[method]
    kept = [path for path in (folder / result["learnt"]["folder"]).rglob("*") if path.is_file()]
    assert {path.suffix for path in kept} == ({".safetensors", ".json"} if method == "rlhf" else {".safetensors", ".json", ".gguf"})
    about = "".join(path.read_text() for path in kept if path.suffix == ".json")
    assert str(folder) not in about and json.loads((folder / "learnt/adapter/adapter_config.json").read_text())["base_model_name_or_path"] == "tiny"
    assert not list(folder.rglob("*.pt")) and not list(folder.rglob("*.bin")) and not list(folder.rglob("*.pth"))
    assert any(name.endswith("score.weight") for name in load_file(folder / "learnt/adapter/adapter_model.safetensors")) == (method == "rlhf")


def test_the_adapter_is_kept_for_llama_cpp_too_its_rows_in_that_order(done: dict[Method, tuple[Path, dict[str, Any]]]) -> None:
    from gguf import GGUFReader

    folder = done["sft"][0] / "learnt/adapter"
    ours = load_file(folder / "adapter_model.safetensors")
    read = GGUFReader(folder / "adapter.gguf")
    theirs = {tensor.name: tensor.data for tensor in read.tensors}
    assert len(theirs) == len(ours) == 2 * 7 * 2 and read.fields["adapter.lora.alpha"].contents() == 16.0
    value = next(ours[name] for name in ours if name.endswith("layers.1.self_attn.v_proj.lora_B.weight"))
    assert (theirs["blk.1.attn_v.weight.lora_b"] == value).all()
    query = next(ours[name] for name in ours if name.endswith("layers.1.self_attn.q_proj.lora_B.weight"))
    head = theirs["blk.1.attn_q.weight.lora_b"][:16]  # two heads of 16 rows: rows 0 and 8 of a head stand beside each other
    assert (head[0] == query[0]).all() and (head[1] == query[8]).all() and (head[2] == query[1]).all()


def test_an_adapter_of_another_architecture_is_not_written_for_llama_cpp(done: dict[Method, tuple[Path, dict[str, Any]]], tmp_path: Path) -> None:
    adapter = done["sft"][0] / "learnt/adapter/adapter_model.safetensors"
    assert not lora_gguf.write(adapter, tmp_path / "a.gguf", {"model_type": "gpt2", "lora_alpha": 16}) and not (tmp_path / "a.gguf").exists()


def test_a_run_that_is_done_is_not_made_again(model: Path, done: dict[Method, tuple[Path, dict[str, Any]]], monkeypatch: pytest.MonkeyPatch) -> None:
    folder, result = done["sft"]
    monkeypatch.setattr(lora, "_trainer", lambda *_: pytest.fail("it was trained again"))
    assert work(request(model, "sft").as_json(), folder, silent) == result


def kill_the_child() -> None:
    """By its command line. A child that has ended, by an earlier line or by itself, has none any more."""
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.NoSuchProcess):
            if any("learning.child" in part for part in child.cmdline()):
                child.kill()


@pytest.mark.slow
def test_killed_it_goes_on_from_its_checkpoint_and_reaches_the_same_weights(
    model: Path, done: dict[Method, tuple[Path, dict[str, Any]]], tmp_path: Path
) -> None:
    sent, told = request(model, "sft").as_json(), list[str]()

    def killing(share: float, line: str, numbers: Mapping[str, float]) -> None:
        told.append(line)
        if "learnt: step 20" in line:
            kill_the_child()

    with pytest.raises(TrainingKilled, match="goes on from its last checkpoint"):
        run(WORK, sent, tmp_path, killing)
    assert not any("control" in line for line in told)
    again = list[str]()
    result = run(WORK, sent, tmp_path, lambda share, line, numbers: again.append(line))
    assert again[0] == "learnt: goes on from checkpoint-18" and "learnt: step 18 of 48" not in again
    whole = done["sft"][0]
    assert result["answers"] == done["sft"][1]["answers"]
    old, new = (load_file(folder / "learnt/adapter/adapter_model.safetensors") for folder in (whole, tmp_path))
    assert old.keys() == new.keys() and all(abs(old[name] - new[name]).max() < 1e-3 for name in old)


def test_a_checkpoint_that_was_cut_off_or_is_of_other_data_is_thrown_away(tmp_path: Path) -> None:
    from learning_pipelines.behavior.fine_tuning.watch import newest_whole  # takes seconds to import, of every worker if it stood above

    (tmp_path / "checkpoint-6").mkdir()
    (tmp_path / "checkpoint-6" / "adapter_model.safetensors").write_bytes(b"half")
    (tmp_path / "checkpoint-3").mkdir()
    (tmp_path / "checkpoint-3.whole").write_text('{"fingerprint": "other", "sha256": "", "seconds": 1}')
    assert newest_whole(tmp_path, "mine") == (None, 0.0) and not list(tmp_path.glob("checkpoint-?"))


def test_a_training_that_diverges_ends_with_its_step_and_keeps_nothing(model: Path, tmp_path: Path) -> None:
    from learning_pipelines.behavior.fine_tuning.watch import Diverged

    with pytest.raises(Diverged, match=r"diverged at step \d+"):
        work(request(model, "sft", recipe=replace(QUICK, rate=1e38)).as_json(), tmp_path, silent)
    assert not (tmp_path / "learnt").joinpath("adapter").exists() and not (tmp_path / "learnt.json").exists()


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 99999999999 bytes."), "ran out of memory"),
        (MemoryError(), "ran out of memory"),
        (OSError(errno.ENOSPC, "No space left on device"), "no space left on its disk"),
    ],
)
def test_a_training_that_runs_out_of_memory_or_disk_says_so(
    error: Exception, says: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def starved(*_: object) -> None:
        raise error

    monkeypatch.setattr(lora, "_trainer", starved)
    with pytest.raises(Unavailable, match=says):
        work(request(model, "sft").as_json(), tmp_path, silent)
    assert not (tmp_path / "learnt.json").exists()


def test_where_validation_gains_nothing_there_is_nothing_to_test(model: Path, tmp_path: Path) -> None:
    result = work(request(model, "sft", recipe=replace(QUICK, rate=0.0, epochs=1)).as_json(), tmp_path, silent)
    assert result["learnt"]["folder"] == "" and result["control"] is None and result["answers"] == {}


def test_an_adapter_that_serves_answers_for_the_incumbent(
    model: Path, done: dict[Method, tuple[Path, dict[str, Any]]], tmp_path: Path
) -> None:
    folder, result = done["sft"]
    serving = replace(request(model, "dpo", recipe=replace(QUICK, rate=0.0, epochs=1)), incumbent=str(folder / result["learnt"]["folder"]))
    work(serving.as_json(), tmp_path, silent)
    assert json.loads((tmp_path / "answers-incumbent.json").read_text())["result"] == result["answers"]["learnt"]


@pytest.mark.slow
def test_the_packaged_weights_are_dequantized_and_answer(tmp_path: Path) -> None:
    base = chosen(Settings(home=tmp_path))
    tokenizer, packaged = load_tokenizer(base), load_causal(base)
    assert not hasattr(packaged.config, "quantization_config") and {one.dtype.itemsize for one in packaged.parameters()} == {4}
    asked = [Question("q", ({"role": "user", "content": "What is the capital of France?"},))]
    assert "Paris" in answers(packaged, tokenizer, asked, labels=(), max_tokens=12, told=lambda *_: None)["q"]
    assert answers(packaged, tokenizer, asked, labels=("London", "Paris", "Parish"), max_tokens=12, told=lambda *_: None) == {"q": "Paris"}


def test_a_base_that_cannot_be_used_says_which_setting_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="LEARNING_FINETUNE_MODEL names a folder that is not there"):
        chosen(Settings(home=tmp_path, finetune_model=str(tmp_path / "none")))
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"code may hide here")
    with pytest.raises(BadInput, match="no weights in safetensors"):
        chosen(Settings(home=tmp_path, finetune_model=str(tmp_path)))


def test_time_that_is_over_ends_a_training_with_its_best_so_far(model: Path, tmp_path: Path) -> None:
    result = work(request(model, "sft", recipe=replace(QUICK, seconds=1e-9)).as_json(), tmp_path, silent)
    assert result["learnt"]["numbers"]["out_of_time"] and result["learnt"]["numbers"]["steps"] == 1


def test_rows_that_do_not_fit_are_left_out_and_counted_never_cut(model: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="fits into 8 tokens"):
        work(request(model, "sft", recipe=replace(QUICK, length=8)).as_json(), tmp_path, silent)
    sent = request(model, "sft", recipe=replace(QUICK, length=24, epochs=1, rate=0.0))
    rows = sent.lessons.train
    long = replace(rows[0], prompt=prompt("please " * 30))
    result = work(replace(sent, lessons=replace(sent.lessons, train=(long, *rows[1:]))).as_json(), tmp_path, silent)  # type: ignore[arg-type]
    assert result["left_out"] == {"longer than the model is trained for": 1} and result["learnt"]["numbers"]["train_rows"] == 47


def test_shuffling_keeps_the_rows_and_breaks_what_they_say() -> None:
    given = lessons("sft")
    mixed = given.shuffled(1)
    assert [row.prompt for row in mixed.train] == [row.prompt for row in given.train]
    assert sorted(row.answer for row in mixed.train) == sorted(row.answer for row in given.train)  # type: ignore[union-attr]
    assert sum(one.answer == two.answer for one, two in zip(mixed.train, given.train, strict=True)) < 32  # type: ignore[union-attr]
    assert given.shuffled(1) == mixed != given.shuffled(2)
    pairs = lessons("dpo")
    turned = [one.chosen == two.rejected for one, two in zip(pairs.shuffled(1).train, pairs.train, strict=True)]  # type: ignore[union-attr]
    assert 12 < sum(turned) < 36


def test_users_words_never_stand_in_the_system_role_of_a_row() -> None:
    row = lessons("sft").train[0]
    assert [turn["role"] for turn in row.openai()["messages"]] == ["system", "user", "assistant"] and row.prompt[0] == prompt("")[0]
    assert Lessons.from_json(lessons("dpo").as_json()) == lessons("dpo")
