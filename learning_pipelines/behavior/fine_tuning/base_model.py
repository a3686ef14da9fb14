"""The model that fine-tuning begins at: the packaged weights, a folder, or a name of the Hugging Face hub.

Belongs here: which one is meant, its identity, loading it inside the child process. Not here: training it (lora.py), the file of weights (llm_weights.py).

The packaged weights are a quantized GGUF file; transformers reads it through `gguf_file` and dequantizes it (135 million weights, 540 MB in fp32, a few
seconds). What is trained is this model, not the 4-bit one that the embedded server runs; the test lets both sides answer by the dequantized one.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from learning_pipelines.encoder_local import one_line
from learning_pipelines.errors import BadInput, LearningError, Unavailable
from learning_pipelines.llm_weights import FILE, SHA256, ensure_weights
from learning_pipelines.retrieval.artifacts import hash_of
from learning_pipelines.settings import Settings

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

PACKAGED = "SmolLM2-135M-Instruct"
SETTING = "LEARNING_FINETUNE_MODEL"


@dataclass(frozen=True, slots=True)
class Base:
    """`name`: what it is called where paths do not matter; `source`: folder or name on the hub; `file`: the GGUF file in the folder, '' for none.
    `identity`: what an adapter fits: it is learnt anew for another one."""

    name: str
    source: str
    identity: str
    file: str = ""

    def as_json(self) -> dict[str, str]:
        return {"name": self.name, "source": self.source, "identity": self.identity, "file": self.file}


def chosen(settings: Settings) -> Base:
    """The base by the settings; packaged weights are fetched at first use. Raises BadInput for a folder without a model, EmbeddedModelError."""
    wanted = settings.finetune_model
    if wanted is None:
        return Base(PACKAGED, str(ensure_weights(settings.home).parent), SHA256, FILE)
    folder = Path(wanted).expanduser()
    if not folder.is_dir():
        if wanted.startswith((".", "/", "~")):
            raise BadInput(f"{SETTING} names a folder that is not there: {wanted}.", "Correct it, or unset it for the packaged model.")
        return Base(Path(wanted).name, wanted, wanted)
    if not (folder / "config.json").is_file():
        raise BadInput(f"The folder that {SETTING} names holds no model (no config.json): {wanted}.", "Name the folder of a causal model.")
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        raise BadInput(f"The model in {wanted} has no weights in safetensors.", "Convert it: files that can run code are not read.")
    return Base(folder.name, str(folder), "/".join(hash_of(path)[:24] for path in weights))


def load_tokenizer(base: Base) -> PreTrainedTokenizerBase:
    """With a token for padding; raises BadInput where it has no chat template, without which nobody can say what the model is sent."""
    from transformers import AutoTokenizer

    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(base.source, **_which(base))  # nosec B615 # a folder of this machine
    except (OSError, ValueError) as error:
        raise _unreadable(base, error) from error
    if tokenizer.chat_template is None or tokenizer.eos_token is None:
        raise BadInput(f"The tokenizer of {base.name} has no chat template or no end-of-turn token.", f"Name an instruct model in {SETTING}.")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer  # type: ignore[no-any-return]


def load_causal(base: Base) -> PreTrainedModel:
    """In fp32, plain: nothing of it says that it was quantized. Raises BadInput, Unavailable."""
    import torch
    from transformers import AutoModelForCausalLM

    try:
        read = {"dtype": torch.float32, "use_safetensors": not base.file, **_which(base)}
        model: Any = AutoModelForCausalLM.from_pretrained(base.source, **read)  # nosec B615 # a folder of this machine
    except (OSError, ValueError) as error:
        raise _unreadable(base, error) from error
    for place in (model, model.config):  # dequantized on reading: trainers would refuse it as a quantized one
        for name in ("quantization_config", "hf_quantizer", "is_quantized", "quantization_method"):
            if hasattr(place, name):
                delattr(place, name)
    return model  # type: ignore[no-any-return]


def as_scorer(model: PreTrainedModel, padding: int, seed: int) -> PreTrainedModel:
    """The model with a head that gives one number instead of tokens; the head is random (by `seed`), the rest shares its weights."""
    import torch
    from transformers import AutoModelForSequenceClassification

    config = type(model.config).from_dict({**model.config.to_dict(), "num_labels": 1, "pad_token_id": padding})
    torch.manual_seed(seed)
    scorer: Any = AutoModelForSequenceClassification.from_config(config)  # type: ignore[no-untyped-call]
    setattr(scorer, scorer.base_model_prefix, model.base_model)
    return scorer  # type: ignore[no-any-return]


def _which(base: Base) -> dict[str, Any]:
    return {"gguf_file": base.file} if base.file else {"trust_remote_code": False}


def _unreadable(base: Base, error: Exception) -> LearningError:
    kind = Unavailable if isinstance(error, OSError) else BadInput
    return kind(f"The model {base.name} cannot be loaded: {one_line(error)}.", f"See to {SETTING}, or unset it for the packaged model.")
