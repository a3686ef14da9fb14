"""What an erasure did: collected by its steps, kept in its row between them, told by its certificate.

Belongs here: the value and its JSON. Not here: the certificate (certificate.py).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Touched:
    """`rows`: rows deleted or changed by table. `files`: paths in the artifact store (relative to it), `here`: folders of this machine (relative to
    LEARNING_HOME), both to be deleted once the rows are gone. `archives`: archived files that were written anew. `datasets`: {agent, old, successor};
    `prompts`: {agent, old, successor, why}; `retrain`: {agent, kind, version}; `kept`: what stays and why, in words; `remaining`: columns in which something
    of the person was found afterwards. None of it names the person."""

    rows: Counter[str] = field(default_factory=Counter)
    files: list[str] = field(default_factory=list)
    here: list[str] = field(default_factory=list)
    archives: list[str] = field(default_factory=list)
    datasets: list[dict[str, Any]] = field(default_factory=list)
    prompts: list[dict[str, Any]] = field(default_factory=list)
    retrain: list[dict[str, Any]] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    remaining: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        return {
            "rows": dict(self.rows), "files": self.files, "here": self.here, "archives": self.archives, "datasets": self.datasets,
            "prompts": self.prompts, "retrain": self.retrain, "kept": self.kept, "remaining": self.remaining,
        }  # fmt: skip

    @classmethod
    def of(cls, document: dict[str, Any]) -> Touched:
        """What `as_json` gave; parts that are missing are empty."""
        lists = {name: list(document.get(name, [])) for name in ("files", "here", "archives", "datasets", "prompts", "retrain", "kept", "remaining")}
        return cls(rows=Counter(document.get("rows", {})), **lists)
