"""A transformer of a few thousand weights with a vocabulary of made-up words, and questions about made-up passages: a training that takes a second.

Belongs here: what several tests of encoders learn with. Not here: tests.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from learning_pipelines.encoder import Vectors
from learning_pipelines.encoder_local import LocalEncoder, name_of
from learning_pipelines.retrieval.bm25 import Bm25
from learning_pipelines.retrieval.index import IndexConfig
from learning_pipelines.retrieval.task import JudgedQuery, Passages, Training

DIMENSIONS = 32
NAMES = [f"{first}{second}" for first in ("bal", "cor", "dun", "fen", "gar", "hol", "jas", "kel") for second in ("a", "e", "i", "o", "u")]
ASKED = [f"ask{name}" for name in NAMES]
"""What questions say where passages say the name at the same place: only feedback can teach that they mean the same."""


def tiny_model(folder: Path, dimensions: int = DIMENSIONS) -> Path:
    """A sentence-transformers folder with random weights, the same each time."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from tokenizers.processors import TemplateProcessing
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *NAMES, *ASKED, "about", "what", "is", "the", "office", "says"]
    tokenizer = Tokenizer(WordLevel({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]", model_max_length=64
    )
    torch.manual_seed(0)
    shape = {"num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 2 * dimensions, "max_position_embeddings": 64}
    inner = folder.with_name(folder.name + "-inner")
    BertModel(BertConfig(vocab_size=len(words), hidden_size=dimensions, **shape)).save_pretrained(inner)
    fast.save_pretrained(inner)
    transformer = Transformer(str(inner))
    SentenceTransformer(modules=[transformer, Pooling(dimensions)], device="cpu").save_pretrained(str(folder), create_model_card=False)
    return folder


def tiny_training(model: Path, folder: Path, *, questions: int = len(NAMES)) -> Training:
    """One passage per name and a question in other words about it; the same question, put longer, chooses."""
    texts = [f"the office says {name} {other}" for name, other in zip(NAMES, reversed(NAMES), strict=True)]
    judged = [
        JudgedQuery(f"q{number}", f"what is {asked}", {f"d{number}": 1.0}, {f"d{number}": 1.0}, f"c{number}")
        for number, asked in enumerate(ASKED[:questions])
    ]
    ids = tuple(f"d{number}" for number in range(len(texts)))
    train = tuple(judged)
    validation = tuple(replace(query, id=f"v{query.id}", text=f"{query.text} about") for query in judged)
    encoder = LocalEncoder(str(model))
    passages = Passages(ids, ids, texts, encoder.encode(texts))
    negatives = {query.id: (ids[(number + 1) % len(ids)], ids[number]) for number, query in enumerate(judged)}
    vectors = _vectors(encoder, train), _vectors(encoder, validation)
    return Training(passages, Bm25.build(texts), train, validation, *vectors, negatives, _Named(str(model)), IndexConfig(), folder, 7)


def _vectors(encoder: LocalEncoder, queries: tuple[JudgedQuery, ...]) -> Vectors:
    return encoder.encode([query.text for query in queries]) if queries else np.empty((0, encoder.dimensions), dtype=np.float32)


class _Named:
    """The encoder that serves, as far as a learner looks at it."""

    def __init__(self, model: str) -> None:
        self.name, self.dimensions = name_of(model), DIMENSIONS

    def encode(self, texts: object, *, batch_size: int = 0) -> Vectors:
        raise AssertionError("a learner encodes with its own model")
