"""The five formats a dataset version is exported in: what a row looks like, and which examples make one.

Belongs here: rows as plain values. Not here: reading (storage/exports.py), personal data (export_guard.py), files (export_files.py, exporting.py).

Formats and where they are described: openai-chat (OpenAI, "Supervised fine-tuning": one {"messages": […]} per line), openai-dpo (OpenAI, "Direct
preference optimization"), trl-dpo (TRL, "Dataset formats": preference, conversational, explicit prompt), triples (sentence-transformers,
anchor/positive/negative), parquet (every example of the version with lineage). Users' words never stand in the system role: that is the
agent's own prompt, as it was in production when the version was made.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from learning_pipelines.examples.formats import FormatName
from learning_pipelines.examples.preferences import Source, texts
from learning_pipelines.storage.exports import MemberRow, PairContents

WRONG = frozenset({"negative", "failure"})
"""Types whose answer is what not to say: they teach an answer only where a better one stands beside it."""


@dataclass(frozen=True, slots=True)
class Format:
    """`extension` of its files; `least`: rows below which its consumer refuses a file; `sources`: of which pairs its rows are made
    (empty: of examples)."""

    extension: str
    least: int
    sources: tuple[Source, ...] = ()


RULES: Mapping[FormatName, Format] = {
    # OpenAI refuses fine-tuning files of fewer than 10 examples.
    "openai-chat": Format("jsonl", 10),
    "openai-dpo": Format("jsonl", 10, ("correction", "choice", "rating")),
    "trl-dpo": Format("jsonl", 1, ("correction", "choice", "rating")),
    # The less liked of two choices may still be right: as a negative it would teach retrieval to push good answers away.
    "triples": Format("jsonl", 1, ("correction", "rating")),
    "parquet": Format("parquet", 1),
}


def answer(content: Mapping[str, Any]) -> str | None:
    """The answer an example teaches, or None: what it expects; of a choice the preferred output; of something wrong only its correction."""
    expected, original = content["expected_output"], content["original_output"]
    if content["example_type"] in WRONG and (original is None or original == expected):
        return None
    if expected is None and content["preferred_output"] is not None:
        expected = content["output_a" if content["preferred_output"] == "A" else "output_b"]
    return expected if expected is not None and expected.strip() else None


def chat_row(content: Mapping[str, Any], system: str | None) -> dict[str, Any] | None:
    """A row of openai-chat; None if the example teaches no answer or asks nothing."""
    taught = answer(content)
    if taught is None or not content["input_text"].strip():
        return None
    return {"messages": [*_prompt(content["input_text"], system), {"role": "assistant", "content": taught}]}


def pair_texts(pair: PairContents) -> tuple[str, str, str]:
    """Prompt, chosen and rejected text."""
    return texts(pair.source, pair.chosen, pair.rejected)  # type: ignore[arg-type]


def pair_row(name: FormatName, pair: PairContents, system: str | None) -> dict[str, Any]:
    """A row of one of the formats made of pairs."""
    prompt, chosen, rejected = pair_texts(pair)
    if name == "triples":
        return {"anchor": prompt, "positive": chosen, "negative": rejected}
    better, worse = [{"role": "assistant", "content": chosen}], [{"role": "assistant", "content": rejected}]
    if name == "trl-dpo":
        return {"prompt": _prompt(prompt, system), "chosen": better, "rejected": worse}
    shown = {"messages": _prompt(prompt, system), "tools": [], "parallel_tool_calls": True}
    return {"input": shown, "preferred_output": better, "non_preferred_output": worse}


def lineage_row(member: MemberRow, system: str | None) -> dict[str, Any]:
    """A row of parquet: the example as it is in the version, the columns of the other formats, and where it comes from."""
    content = member.content
    chat = chat_row(content, system)
    own = _own_pair(content)
    return {
        "example_id": member.example_id, "split": member.split, "weight": member.weight, "content_hash": member.content_hash.hex(),
        "quality_score": member.quality_score, "confidence_score": member.confidence_score,
        "messages": None if chat is None else chat["messages"],
        "prompt": content["input_text"], "chosen": own[1] if own else None, "rejected": own[2] if own else None,
        **{name: content[name] for name in CONTENT_COLUMNS}, "input_context": orjson.dumps(content["input_context"], option=orjson.OPT_SORT_KEYS).decode(),
    }  # fmt: skip


CONTENT_COLUMNS = (
    "example_type", "source_type", "source_id", "input_text", "original_output", "expected_output", "output_a", "output_b", "preferred_output",
    "preference_strength", "domain", "task_type", "complexity", "jurisdictions", "tags",
)  # fmt: skip


def user_texts(content: Mapping[str, Any]) -> list[Any]:
    """Everything in an example that people wrote, as the guard looks at it."""
    names = ("input_text", "original_output", "expected_output", "output_a", "output_b", "input_context", "tags")
    return [content[name] for name in names]


def _own_pair(content: Mapping[str, Any]) -> tuple[str, str, str] | None:
    if content["preferred_output"] is not None and content["output_a"] is not None and content["output_b"] is not None:
        return texts("choice", content, content)
    if content["original_output"] is not None and content["expected_output"] not in (None, content["original_output"]):
        return texts("correction", content, content)
    return None


def _prompt(text: str, system: str | None) -> list[dict[str, str]]:
    said = {"role": "user", "content": text}
    return [said] if system is None else [{"role": "system", "content": system}, said]
