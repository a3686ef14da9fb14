"""The names of export formats and what may be exported: light enough for the command line's help.

Belongs here: names. Not here: what a format looks like (exports.py).
"""

from __future__ import annotations

from typing import Literal, get_args

FormatName = Literal["openai-chat", "openai-dpo", "trl-dpo", "triples", "parquet"]
FORMATS: tuple[FormatName, ...] = get_args(FormatName)
SPLIT_CHOICES = ("train", "validation", "test", "all")
