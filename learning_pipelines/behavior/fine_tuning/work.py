"""What runs in the child process: the training, its control, and the answers of both and of what serves; each kept as soon as it is there.

Belongs here: the order of these steps, the files that stay. Not here: training (lora.py), decoding (decoding.py), the asking side (local.py).

The control is the very same training on shuffled answers: what it gains is form and luck. Every step leaves its result in a file, so that a process
that is killed does nothing twice; within a training its checkpoints hold.
"""

from __future__ import annotations

import importlib.util
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson

from learning_pipelines.behavior.fine_tuning import lora_gguf
from learning_pipelines.behavior.fine_tuning.base_model import Base, as_scorer, load_causal, load_tokenizer
from learning_pipelines.behavior.fine_tuning.decoding import answers, full_ids, rewards
from learning_pipelines.behavior.fine_tuning.lessons import Example, Lessons, Pair, Question
from learning_pipelines.behavior.fine_tuning.lora import Trained, explained, train
from learning_pipelines.behavior.fine_tuning.recipe import Recipe
from learning_pipelines.encoder_local import default_threads
from learning_pipelines.errors import BadInput, LearningError
from learning_pipelines.retrieval.artifacts import hash_of
from learning_pipelines.retrieval.learning.checkpoints import write_file, write_folder
from learning_pipelines.retrieval.task import Progress

Json = dict[str, Any]
LEARNT, CONTROL, INCUMBENT = "learnt", "control", "incumbent"
ADAPTER = "adapter"
KEPT = (".safetensors", ".json", ".gguf")
"""Suffixes of what is kept of a model: nothing that is read can run code."""
_TRAINED, _ANSWERED = 0.4, 0.2 / 3
"""Shares of the whole that one training and one round of answers take."""


@dataclass(frozen=True)
class Request:
    """`questions`: of the test, for methods whose model answers; `pairs`: of the test, for reward models. `incumbent`: folder of the adapter that
    serves, '' for the base itself."""

    base: Base
    lessons: Lessons
    recipe: Recipe
    seed: int
    fingerprint: str
    labels: tuple[str, ...] = ()
    max_tokens: int = 64
    questions: tuple[Question, ...] = ()
    pairs: tuple[Pair, ...] = ()
    incumbent: str = ""

    def as_json(self) -> Json:
        shown = [{"id": one.id, "prompt": list(one.prompt)} for one in self.questions]
        return {
            "base": self.base.as_json(), "lessons": self.lessons.as_json(), "recipe": self.recipe.as_json(), "seed": self.seed,
            "fingerprint": self.fingerprint, "labels": list(self.labels), "max_tokens": self.max_tokens, "questions": shown,
            "pairs": replace(self.lessons, method="dpo", train=self.pairs, validation=()).as_json()["train"], "incumbent": self.incumbent,
        }  # fmt: skip

    @classmethod
    def of(cls, sent: Mapping[str, Any]) -> Request:
        return cls(
            Base(**sent["base"]), Lessons.from_json(sent["lessons"]), Recipe.from_json(sent["recipe"]), sent["seed"], sent["fingerprint"],
            tuple(sent["labels"]), sent["max_tokens"], tuple(Question(one["id"], tuple(one["prompt"])) for one in sent["questions"]),
            Lessons.from_json({"method": "dpo", "train": sent["pairs"], "validation": []}).train, sent["incumbent"],  # type: ignore[arg-type]
        )  # fmt: skip


def work(sent: Mapping[str, Any], folder: Path, progress: Progress) -> Json:
    """{learnt, control: {folder, curve, numbers}, answers: {incumbent, learnt, control: {id: …}}, left_out}. Where nothing was learnt, `folder` is ''
    and neither control nor answers are made: there is nothing to test. Raises BadInput, Diverged, Unavailable."""
    _spare_the_others()
    return _Job(Request.of(sent), folder, progress).run()


class _Job:
    def __init__(self, request: Request, folder: Path, progress: Progress) -> None:
        self.request, self.folder, self._progress = request, folder, progress
        self._share = 0.0
        with explained():
            self.tokenizer = load_tokenizer(request.base)
            self.lessons, self.left_out = self._fitting()
            model = load_causal(request.base)
            self.base_config = model.config.to_dict()
            self.base: Any = as_scorer(model, int(self.tokenizer.pad_token_id), request.seed) if request.lessons.method == "rlhf" else model

    def run(self) -> Json:
        answered: Json = {}
        if self.request.lessons.method != "rlhf":
            answered[INCUMBENT] = self._answers(INCUMBENT, lambda: self._under(self.request.incumbent))
        learnt = self._trained(LEARNT, self.lessons)
        if not learnt["folder"]:
            return {LEARNT: learnt, CONTROL: None, "answers": {}, "left_out": self.left_out}
        control = self._trained(CONTROL, self.lessons.shuffled(self.request.seed))
        for name, found in ((LEARNT, learnt), (CONTROL, control)):
            answered[name] = self._answers(name, lambda found=found: self._under(str(self.folder / found["folder"]) if found["folder"] else ""))  # type: ignore[misc]
        return {LEARNT: learnt, CONTROL: control, "answers": answered, "left_out": self.left_out}

    def _fitting(self) -> tuple[Lessons, dict[str, int]]:
        """The rows that fit into the recipe's length. Raises BadInput where none is left."""
        given, most = self.request.lessons, self.request.recipe.length

        def fitting(rows: Sequence[Example | Pair]) -> Any:
            return tuple(row for row in rows if max(len(full_ids(self.tokenizer, row.prompt, said)) for said in _texts(row)) <= most)

        train_rows, look_rows = fitting(given.train), fitting(given.validation)
        left = len(given.train) - len(train_rows) + len(given.validation) - len(look_rows)
        if not train_rows or not look_rows:
            raise BadInput(
                f"No row for training or validation fits into {most} tokens.", "Shorten the agent's prompt, or its examples."
            )
        return replace(given, train=train_rows, validation=look_rows), {"longer than the model is trained for": left} if left else {}

    def _trained(self, name: str, lessons: Lessons) -> Json:
        def make() -> Json:
            done = train(
                self.base, self.tokenizer, lessons, self.request.recipe, self.folder / name / "checkpoints", f"{self.request.fingerprint}/{name}",
                self.request.seed, self._part(name, _TRAINED),
            )  # fmt: skip
            kept = f"{name}/{ADAPTER}" if done.learnt else ""
            if kept:
                self._save(done, self.folder / kept)
            self.base = done.model.unload()
            return {"folder": kept, "sha256": hash_of(self.folder / kept) if kept else "", "curve": done.curve, "numbers": done.numbers}

        return self._once(f"{name}.json", _TRAINED, make, lambda found: not found["folder"] or found["sha256"] == hash_of(self.folder / found["folder"]))

    def _save(self, done: Trained, place: Path) -> None:
        done.model.peft_config["default"].base_model_name_or_path = self.request.base.name  # a path of this machine says nothing elsewhere
        about = {"base": self.request.base.name, "base_identity": self.request.base.identity, "method": self.request.lessons.method, "seed": self.request.seed}

        def write(draft: Path) -> None:
            done.model.save_pretrained(str(draft), safe_serialization=True, save_embedding_layers=False)  # "auto" asks the hub
            for path in draft.rglob("*"):
                if path.is_file() and path.suffix not in KEPT:
                    path.unlink()
            _require_finite(draft)
            if self.request.lessons.method != "rlhf" and importlib.util.find_spec("gguf") is not None:
                shape = {**self.base_config, "lora_alpha": done.model.peft_config["default"].lora_alpha}
                lora_gguf.write(draft / "adapter_model.safetensors", draft / lora_gguf.FILE, shape)
            measured = {name: value for name, value in done.numbers.items() if name not in ("seconds", "out_of_time")}  # the same learning, the same hash
            (draft / "fine_tuning.json").write_bytes(orjson.dumps(about | {"recipe": self.request.recipe.as_json(), **measured}))

        place.parent.mkdir(parents=True, exist_ok=True)
        with explained():
            write_folder(place, write, "the learnt adapter")

    def _under(self, adapter: str) -> Any:
        """The base with an adapter ('' for none); `_answers` unwraps it."""
        if not adapter:
            return self.base
        from peft import PeftModel

        with explained():
            return PeftModel.from_pretrained(self.base, adapter)

    def _answers(self, name: str, model: Callable[[], Any]) -> Json:
        def make() -> Json:
            wrapped, part = model(), self._part(name, _ANSWERED)

            def told(done: int, of: int) -> None:
                part(done / max(1, of), f"answer {done} of {of}", {})

            try:
                if self.request.lessons.method == "rlhf":
                    return {identity: list(pair) for identity, pair in rewards(wrapped, self.tokenizer, self.request.pairs, told).items()}
                return dict(
                    answers(wrapped, self.tokenizer, self.request.questions, labels=self.request.labels, max_tokens=self.request.max_tokens, told=told)
                )
            finally:
                if wrapped is not self.base:
                    self.base = wrapped.unload()

        return self._once(f"answers-{name}.json", _ANSWERED, make)

    def _once(self, name: str, share: float, make: Callable[[], Json], good: Callable[[Json], bool] = lambda _: True) -> Json:
        """The result of a step that was done before, or is done now and kept."""
        place = self.folder / name
        try:
            done = orjson.loads(place.read_bytes())
            found: Json | None = done["result"] if done["fingerprint"] == self.request.fingerprint and good(done["result"]) else None
        except (OSError, orjson.JSONDecodeError, KeyError, TypeError):
            found = None
        if found is None:
            found = make()
            place.parent.mkdir(parents=True, exist_ok=True)
            write_file(place, orjson.dumps({"fingerprint": self.request.fingerprint, "result": found}), "its result")
        self._share += share
        return found

    def _part(self, name: str, share: float) -> Progress:
        begun = self._share
        return lambda done, line, numbers: self._progress(begun + share * done, f"{name}: {line}", numbers)


def _spare_the_others() -> None:
    """Half of the cores, as everything else that computes in the background, unless OMP_NUM_THREADS says otherwise."""
    import torch

    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(default_threads())


def _texts(row: Example | Pair) -> Sequence[str]:
    return (row.answer,) if isinstance(row, Example) else (row.chosen, row.rejected)


def _require_finite(folder: Path) -> None:
    """Raises LearningError for weights that are no numbers: they would answer nothing."""
    from safetensors.torch import load_file

    for path in folder.glob("*.safetensors"):
        if any(not math.isfinite(float(tensor.float().abs().sum())) for tensor in load_file(path).values()):
            raise LearningError("The learnt weights are no numbers.", "Nothing was kept, what serves stays.")
