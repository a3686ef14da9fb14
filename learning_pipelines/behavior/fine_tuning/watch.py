"""What watches a training from inside: its losses, its end, and checkpoints that are whole or not at all.

Belongs here: the callback of trl's trainers, finding the checkpoint to go on from. Not here: the trainers themselves (lora.py).

trl's trainers write a checkpoint file by file. Beside each one that is complete lies its hash; what was cut off by a kill has none and is deleted. What
they write besides safetensors (state of the optimizer) is read with torch's `weights_only`, and is deleted with the run: none of it is kept.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
from transformers import TrainerCallback, TrainerControl, TrainerState

from learning_pipelines.behavior.fine_tuning.recipe import PATIENCE
from learning_pipelines.errors import LearningError
from learning_pipelines.retrieval.artifacts import hash_of
from learning_pipelines.retrieval.learning.checkpoints import write_file
from learning_pipelines.retrieval.task import Progress

EXPLODED, IN_A_ROW = 5.0, 3
_WHOLE = ".whole"


class Diverged(LearningError):
    """The loss is no number any more, or grew out of all bounds. Nothing of it is kept."""

    def __init__(self, step: int, what: str) -> None:
        super().__init__(
            f"Fine-tuning diverged at step {step}: {what}.", "Nothing was kept, what serves stays. See to the examples, or name another model."
        )


class Watch(TrainerCallback):
    """One per training. `begun`: seconds that earlier attempts took."""

    def __init__(self, fingerprint: str, seconds: float, begun: float, progress: Progress) -> None:
        self._fingerprint, self._seconds, self._progress = fingerprint, seconds, progress
        self._start = time.monotonic() - begun
        self._high = 0
        self.out_of_time = False

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self._start

    def on_log(self, args: Any, state: TrainerState, control: TrainerControl, logs: Mapping[str, float] | None = None, **_: Any) -> None:
        said = logs or {}
        for name in ("loss", "eval_loss", "grad_norm"):
            if name in said and not math.isfinite(said[name]):
                raise Diverged(state.global_step, f"{name.replace('_', ' ')} is {said[name]}")
        if "loss" in said:
            first = next((entry["loss"] for entry in state.log_history if "loss" in entry), said["loss"])
            self._high = self._high + 1 if said["loss"] > EXPLODED * first + 1 else 0
            if self._high >= IN_A_ROW:
                raise Diverged(state.global_step, f"the loss grew from {first:.3g} to {said['loss']:.3g}")
            self._progress(state.global_step / max(1, state.max_steps), f"step {state.global_step} of {state.max_steps}", {"loss": said["loss"]})

    def on_evaluate(self, args: Any, state: TrainerState, control: TrainerControl, metrics: Mapping[str, float] | None = None, **_: Any) -> None:
        losses = validation_losses(state.log_history)
        line = f"step {state.global_step}: validation loss {losses[-1]:.4f}, best {min(losses):.4f}"
        self._progress(state.global_step / max(1, state.max_steps), line, {"validation_loss": losses[-1]})
        if len(losses) - 1 - losses.index(min(losses)) >= PATIENCE:
            control.should_training_stop = True

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self.out_of_time = self.elapsed >= self._seconds
        if self.out_of_time or state.global_step >= state.max_steps:
            control.should_training_stop = control.should_evaluate = control.should_save = True

    def on_save(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        place = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        about = {"fingerprint": self._fingerprint, "sha256": hash_of(place), "seconds": self.elapsed}
        write_file(place.with_name(place.name + _WHOLE), orjson.dumps(about), "a checkpoint")


def validation_losses(history: Sequence[Mapping[str, Any]]) -> list[float]:
    """Of every look, the one before the first step included."""
    return [float(entry["eval_loss"]) for entry in history if "eval_loss" in entry]


def newest_whole(folder: Path, fingerprint: str) -> tuple[Path | None, float]:
    """(checkpoint to go on from, seconds that were trained for it); (None, 0) to begin at the beginning. Those cut off or of other data are deleted."""
    found: tuple[Path | None, float] = (None, 0.0)
    for place in sorted((path for path in folder.glob("checkpoint-*") if path.is_dir()), key=lambda path: int(path.name.rpartition("-")[2])):
        note = place.with_name(place.name + _WHOLE)
        try:
            about = orjson.loads(note.read_bytes())
            good = about["fingerprint"] == fingerprint and about["sha256"] == hash_of(place)
        except (OSError, orjson.JSONDecodeError, KeyError, TypeError):
            good = False
        if good:
            found = place, float(about["seconds"])
        else:
            shutil.rmtree(place, ignore_errors=True)
    return found
