"""LoRA with trl and peft: supervised fine-tuning, direct preference optimization, a reward model. It runs in the child process (work.py).

Belongs here: the three trainers with one recipe, what a training came to. Not here: what watches it (watch.py), decoding, files that are kept (work.py).

LoRA: Hu et al. 2022, "LoRA: Low-Rank Adaptation of Large Language Models", on all linear layers. dpo: Rafailov et al. 2023, "Direct Preference
Optimization"; the old model is the new one without its adapter. Reward model: Bradley and Terry 1952, the log odds that an answer is preferred are the
difference of two numbers that one head gives (as in Ouyang et al. 2022); no policy is optimized against it.
"""

from __future__ import annotations

import errno
import math
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from learning_pipelines.behavior.fine_tuning.lessons import Lessons
from learning_pipelines.behavior.fine_tuning.recipe import ALPHA, DROPOUT, RANK, Recipe
from learning_pipelines.encoder_local import cpu_has_bf16, one_line
from learning_pipelines.errors import Unavailable
from learning_pipelines.retrieval.task import Progress

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

Json = dict[str, Any]
LESS_MEMORY = "Give it more memory, or name a smaller model (LEARNING_FINETUNE_MODEL). What serves stays."


@dataclass(frozen=True)
class Trained:
    """`model` carries the adapter that validation liked best. `learnt`: whether it was ever better there than the model it began at."""

    model: Any
    learnt: bool
    curve: list[Json]
    numbers: Json


def train(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, lessons: Lessons, recipe: Recipe, folder: Path, fingerprint: str, seed: int, progress: Progress
) -> Trained:
    """Trains an adapter on `model`, from the last whole checkpoint of this fingerprint in `folder` on. The model stays wrapped; `unload()` unwraps it.

    Raises Diverged, and Unavailable where memory or disk run out. Randomness follows from the seed: going on from a checkpoint reaches the same weights.
    """
    from learning_pipelines.behavior.fine_tuning.watch import Watch, newest_whole, validation_losses

    checkpoint, begun = newest_whole(folder, fingerprint)
    watch = Watch(fingerprint, recipe.seconds, begun, progress)
    if checkpoint is not None:
        progress(0.0, f"goes on from {checkpoint.name}", {})
    with explained():
        trainer = _trainer(model, tokenizer, lessons, recipe, folder, seed, watch)
        trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    history = trainer.state.log_history
    losses, best = validation_losses(history), int(trainer.state.best_global_step or 0)
    numbers: Json = {
        "steps": trainer.state.global_step, "best_step": best, "train_rows": len(lessons.train), "validation_rows": len(lessons.validation),
        "seconds": round(watch.elapsed, 1), "out_of_time": watch.out_of_time, "start_validation_loss": losses[0], "validation_loss": min(losses),
        "training_loss": _tail([float(entry["loss"]) for entry in history if "loss" in entry]),
        **_preferred([entry for entry in history if "eval_loss" in entry], losses.index(min(losses))),
    }  # fmt: skip
    shutil.rmtree(folder, ignore_errors=True)
    return Trained(trainer.model, best > 0 and min(losses) < losses[0], _curve(history), numbers)


@contextmanager
def explained() -> Iterator[None]:
    """Memory or disk that run out, as what they are. Raises Unavailable."""
    try:
        yield
    except MemoryError as error:
        raise Unavailable("Fine-tuning ran out of memory.", LESS_MEMORY) from error
    except RuntimeError as error:
        said = str(error).lower()
        if "out of memory" in said or "can't allocate memory" in said or "not enough memory" in said:
            raise Unavailable("Fine-tuning ran out of memory.", LESS_MEMORY) from error
        if "no space left" in said:
            raise _full() from error
        raise
    except OSError as error:
        if error.errno == errno.ENOMEM:
            raise Unavailable("Fine-tuning ran out of memory.", LESS_MEMORY) from error
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise _full() from error
        raise Unavailable(f"Fine-tuning cannot read or write a file: {one_line(error)}.", "See to LEARNING_HOME and run it again.") from error


def _trainer(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, lessons: Lessons, recipe: Recipe, folder: Path, seed: int, watch: Any
) -> Any:
    from datasets import Dataset
    from peft import LoraConfig
    from trl.trainer.dpo_config import DPOConfig
    from trl.trainer.dpo_trainer import DPOTrainer
    from trl.trainer.reward_config import RewardConfig
    from trl.trainer.reward_trainer import RewardTrainer
    from trl.trainer.sft_config import SFTConfig
    from trl.trainer.sft_trainer import SFTTrainer

    steps = max(1, math.ceil(len(lessons.train) / recipe.batch))
    look = max(1, steps // recipe.looks)
    said: Json = {
        "output_dir": str(folder), "per_device_train_batch_size": recipe.batch, "per_device_eval_batch_size": recipe.batch, "num_train_epochs": recipe.epochs,
        "learning_rate": recipe.rate, "lr_scheduler_type": "linear", "warmup_steps": max(1, steps * recipe.epochs // 10), "max_grad_norm": 1.0,
        "logging_steps": 1, "logging_nan_inf_filter": False, "report_to": [], "disable_tqdm": True, "seed": seed, "data_seed": seed,
        "eval_strategy": "steps", "eval_steps": look, "eval_on_start": True, "save_strategy": "steps", "save_steps": look, "save_total_limit": 2,
        "load_best_model_at_end": True, "metric_for_best_model": "eval_loss", "greater_is_better": False, "gradient_checkpointing": False,
        "bf16": _bf16() and lessons.method != "rlhf", "use_cpu": not _gpu(), "max_length": None, "dataloader_pin_memory": False,
    }  # fmt: skip
    task = {"task_type": "SEQ_CLS", "modules_to_save": ["score"]} if lessons.method == "rlhf" else {"task_type": "CAUSAL_LM"}
    lora = LoraConfig(r=recipe.rank, lora_alpha=ALPHA * recipe.rank // RANK, lora_dropout=DROPOUT, target_modules="all-linear", **task)
    train_rows, look_rows = (Dataset.from_list([row.trl() for row in rows]) for rows in (lessons.train, lessons.validation))
    parts: Json = {
        "model": model, "train_dataset": train_rows, "eval_dataset": look_rows, "processing_class": tokenizer, "peft_config": lora, "callbacks": [watch]
    }  # fmt: skip
    tokenizer.padding_side = "right"
    if lessons.method == "sft":
        return SFTTrainer(args=SFTConfig(completion_only_loss=True, **said), **parts)
    if lessons.method == "dpo":
        return DPOTrainer(args=DPOConfig(beta=recipe.beta, **said), **parts)
    return RewardTrainer(args=RewardConfig(**said), **parts)


def _gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def _bf16() -> bool:
    import torch

    return torch.cuda.is_bf16_supported() if _gpu() else cpu_has_bf16()


def _curve(history: list[Json]) -> list[Json]:
    """(step, loss) of training and (step, validation_loss) of every look, in order."""
    named = {"loss": "loss", "eval_loss": "validation_loss"}
    return [{"step": int(entry["step"]), named[name]: round(float(entry[name]), 5)} for entry in history for name in named if name in entry]


def _preferred(looks: list[Json], best: int) -> Json:
    """Of pairs: the share of validation pairs whose better answer the model gives the higher reward."""
    found = next((looks[best][name] for name in ("eval_rewards/accuracies", "eval_accuracy") if name in looks[best]), None)
    return {} if found is None else {"validation_preferred": float(found)}


def _tail(losses: list[float]) -> float:
    """Mean of the last tenth: single batches jump."""
    last = losses[-max(1, len(losses) // 10) :]
    return sum(last) / len(last) if last else 0.0


def _full() -> Unavailable:
    return Unavailable("Fine-tuning has no space left on its disk.", "Free space in LEARNING_HOME and run it again: it goes on from the last checkpoint.")
