"""A desk whose search can be refined: documents, feedback and an index in the database, and what a run of refinement makes of them.

Belongs here: worlds with a planted secret. Not here: tests.
"""

from __future__ import annotations

import random
from pathlib import Path
from uuid import UUID

from learning_pipelines.acceptance import approval
from learning_pipelines.acceptance.approval import OPERATOR
from learning_pipelines.retrieval.index import IndexConfig
from learning_pipelines.retrieval.knowledge import ensure_base
from learning_pipelines.retrieval.loaded import Loaded
from learning_pipelines.retrieval.queries import refresh_queries
from learning_pipelines.retrieval.refinement import Kind, Refined, Run, refine
from learning_pipelines.retrieval.searcher import Hit, Searcher
from learning_pipelines.retrieval.task import Training
from learning_pipelines.retrieval.training_data import training_of
from learning_pipelines.settings import Settings
from learning_pipelines.storage import acceptance, chunk_edits, indexes
from learning_pipelines.storage.database import Connection, snapshot
from learning_pipelines.storage.tenants import AgentRef, known_agent
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.retrieval.fake_encoders import WordEncoder, fake_encoders
from learning_pipelines_tests.retrieval.judging import BY_TEXT, SHARES

SETTINGS = Settings(database_url=None)
FILLER = [f"{a}{b}" for a in ("ledg", "book", "form", "mont", "line", "step", "numb", "note") for b in ("er", "ing", "al", "h", "ory")]
ASIDE = [f"{a}{b}" for a in ("pray", "kind", "soon", "thank", "hell", "deal", "sir", "today") for b in ("ly", "est", "wards", "ish", "some", "ette", "let")]
THINGS = 120


class World:
    """One agent with documents and feedback; its index built, its questions judged. The vector leg says next to nothing."""

    def __init__(self, connection: Connection, load: Load, home: Path, documents: dict[str, str], lexical_weight: float = 0.95) -> None:
        self.connection, self.load, self.home = connection, load, home
        self.settings = SETTINGS.model_copy(update={"home": home})
        self.encoder = WordEncoder(dimensions=32)
        _, self.encoders = fake_encoders(self.encoder)
        self.loaded = Loaded(self.settings, lambda version: self.encoder)
        load("agents", [{"agent": "desk"}])
        load("documents", [{"document_id": name, "agent": "desk", "text": text} for name, text in documents.items()])
        self.agent: AgentRef = known_agent(connection, "default", "desk")
        self.tenant = self.agent.organization_id
        ensure_base(connection, self.tenant, self.encoders)
        base = indexes.base(connection, self.tenant)
        assert base is not None
        indexes.put_base(connection, self.tenant, base.encoder.id, IndexConfig(lexical_weight=lexical_weight).as_json())

    def say(self, questions: list[tuple[str, list[str]]]) -> None:
        rows = [{"query": text, "agent": "desk", "retrieved": helped, "relevant": helped, "helped": True} for text, helped in questions]
        result = self.load("retrieval_feedback", rows)
        assert not result.rejected, result.errors
        refresh_queries(self.connection, self.agent, rule=BY_TEXT, shares=SHARES)

    def refine(self, kind: Kind, folder: str = "run") -> Refined:
        place = self.home / folder
        place.mkdir(exist_ok=True)
        return refine(Run(self.connection, self.agent, self.settings, self.encoders, self.loaded, place, lambda share, line, numbers: None), kind)

    def search(self, query: str, k: int = 3) -> list[Hit]:
        version = indexes.serving(self.connection, self.tenant, self.agent.agent_id)
        assert version is not None
        with snapshot(self.connection):
            return Searcher(self.connection, self.tenant, self.agent.agent_id, version, self.loaded).search(query, k)

    def training(self) -> Training:
        """What learners are given now."""
        version = indexes.serving(self.connection, self.tenant, self.agent.agent_id)
        assert version is not None
        return training_of(self.connection, self.agent, version, self.encoders, self.home, 0)

    def approve(self, proposal: UUID | None) -> None:
        assert proposal is not None
        approval.approve(self.connection, self.tenant, proposal, "immediate", OPERATOR, settings=self.settings)

    def rollback(self) -> None:
        approval.rollback(self.connection, self.agent, OPERATOR, "index", settings=self.settings)

    def chunks(self) -> dict[str, list[str]]:
        """Document to its chunks, in order."""
        found: dict[str, list[str]] = {}
        for chunk in chunk_edits.base_chunks(self.connection, self.agent):
            found.setdefault(chunk.document_id, []).append(chunk.id)
        return found

    def tests(self, kind: str) -> int:
        return len(acceptance.tests(self.connection, self.agent, kind))


def asked(rng: random.Random, words: str) -> str:
    """No two questions are near-duplicates of each other: they would all go into one split."""
    return f"{' '.join(rng.sample(ASIDE, 4))} {words} {' '.join(rng.sample(ASIDE, 4))}"


def foreign_documents() -> dict[str, str]:
    """Of each thing one text says how its Vorsteuer comes back, which people ask for as VAT refund, and two say something else in the words asked for."""
    rng = random.Random(0)
    kinds = {"vor": "vorsteuer zurück", "war": "warranty", "del": "delivery"}
    return {f"{thing}-{kind}": f"thing{thing} {words} {' '.join(rng.choices(FILLER, k=12))}" for thing in range(THINGS) for kind, words in kinds.items()}


def foreign_questions(shuffled: bool = False, seed: int = 1) -> list[tuple[str, list[str]]]:
    rng = random.Random(seed)
    made = [(asked(rng, f"VAT refund thing{thing}"), [f"{thing}-vor"]) for thing in range(THINGS)]
    made += [(asked(rng, f"{('warranty', 'delivery')[thing % 2]} thing{thing}"), [f"{thing}-{('war', 'del')[thing % 2]}"]) for thing in range(THINGS)]
    if shuffled:
        helped = [each for _, each in made]
        rng.shuffle(helped)
        made = [(text, each) for (text, _), each in zip(made, helped, strict=True)]
    return made
