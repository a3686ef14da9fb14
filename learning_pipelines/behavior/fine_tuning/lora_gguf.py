"""A learnt adapter in llama.cpp's own format, so that the server that runs the 4-bit weights can run it: `llama-server -m WEIGHTS.gguf --lora adapter.gguf`.

Belongs here: names and layout of the tensors. Not here: training (lora.py), which files are kept (work.py).

Of models of the architecture llama alone, as the packaged one is: llama.cpp stores the rows of its query and key projections in another order (pairs of
rotated dimensions beside each other, as in its convert_hf_to_gguf.py), which the adapter's rows must follow.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from learning_pipelines.retrieval.task import Floats

FILE = "adapter.gguf"
_NAMES = {
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
}  # fmt: skip
_TENSOR = re.compile(r"model\.layers\.(\d+)\.(\w+\.\w+)\.lora_([AB])\.weight$")


def write(adapter: Path, place: Path, config: Mapping[str, Any]) -> bool:
    """Writes the adapter (a safetensors file of peft) to `place`; `config`: the base's, with lora_alpha. False, and nothing is written, where the base
    is of another architecture or the adapter changes what is no layer."""
    import gguf
    from safetensors.numpy import load_file

    tensors = load_file(adapter)
    if config.get("model_type") != "llama" or not all(_TENSOR.search(name) for name in tensors):
        return False
    writer = gguf.GGUFWriter(str(place), arch="llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", float(config["lora_alpha"]))
    for name, tensor in sorted(tensors.items()):
        layer, part, side = _TENSOR.search(name).groups()  # type: ignore[union-attr]
        values = tensor.astype(np.float32)
        if side == "B" and part in ("self_attn.q_proj", "self_attn.k_proj"):
            heads = config["num_attention_heads"] if part.endswith("q_proj") else config["num_key_value_heads"]
            values = in_their_order(values, int(heads))
        writer.add_tensor(f"blk.{layer}.{_NAMES[part]}.weight.lora_{side.lower()}", np.ascontiguousarray(values))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return True


def in_their_order(rows: Floats, heads: int) -> Floats:
    """(out, rank) rows of a projection, first and second halves of each head interleaved."""
    out = rows.shape[0]
    return rows.reshape(heads, 2, out // heads // 2, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)
