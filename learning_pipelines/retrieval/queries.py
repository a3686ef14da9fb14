"""Judged questions of an agent, kept up to date: counted from what people said, compared with each other, each with its permanent split.

Belongs here: the steps of a refresh, each in the one transaction. Not here: how gains are counted (storage/retrieval_queries.py), the rules of splits.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from learning_pipelines.examples.similarity import DuplicateRule
from learning_pipelines.examples.splits import SplitNumbers
from learning_pipelines.feedback.privacy import scrub
from learning_pipelines.retrieval.answers import gains
from learning_pipelines.retrieval.near_questions import OpenEncoder, refresh_near
from learning_pipelines.retrieval.query_splits import Shares, decided
from learning_pipelines.storage import outbox, retrieval_answers
from learning_pipelines.storage import retrieval_queries as storage
from learning_pipelines.storage.database import Connection, database_errors
from learning_pipelines.storage.tenants import AgentRef


@dataclass
class Refreshed:
    """What one refresh did: judged answers that say something of passages, questions looked at, new, changed, gone; personal data replaced in
    new ones; `numbers` of the splits, if they were looked at."""

    answers: int = 0
    questions: int = 0
    new: int = 0
    changed: int = 0
    gone: int = 0
    near_merged: int = 0
    scrubbed: int = 0
    clusters: int = 0
    numbers: SplitNumbers | None = None
    by_kind: dict[str, int] = field(default_factory=dict)


def refresh_queries(
    connection: Connection, agent: AgentRef, *, rule: DuplicateRule, shares: Shares, open_encoder: OpenEncoder | None = None
) -> Refreshed:
    """Takes up what is new in retrieval feedback. Running it again, or twice at once, changes nothing more.

    Events cost what they are; deciding splits reads one row of numbers per question of the agent, and only where a question changed.
    The encoder is opened only if there is a new question and the rule has a cosine (ValueError if it has one and there is no encoder).
    """
    done = Refreshed()
    with database_errors(f"counting the retrieval feedback of {agent.partition}"):
        outbox.adopt_foreign_entries(connection)
        with connection.transaction():
            storage.lock_questions(connection, agent)
            if storage.take_up(connection, agent):
                judged = [(one, gains(one)) for one in retrieval_answers.answers(connection, agent)]
                done.answers = retrieval_answers.store(connection, agent, judged)
            done.questions = storage.touched(connection)
            if done.questions:
                done.changed, done.gone = storage.count(connection, agent)
                done.new = storage.store_new(connection, agent, list(_scrubbed(connection, agent, done)))
            searched = refresh_near(connection, agent, rule, open_encoder)
            done.near_merged = searched.merged
            if done.questions or searched.questions:
                found = decided(storage.board(connection, agent), shares)
                storage.store_decisions(connection, agent, found.rows)
                done.numbers, done.clusters = found.numbers, found.clusters
    return done


def _scrubbed(connection: Connection, agent: AgentRef, done: Refreshed) -> Iterator[tuple[str, str]]:
    """New questions without personal data: whatever is learnt from them (pairs, terms, examples) holds none then."""
    for name, text in storage.new_texts(connection, agent):
        clean = scrub(text)
        for kind, count in clean.counts.items():
            done.by_kind[kind] = done.by_kind.get(kind, 0) + count
        done.scrubbed += sum(clean.counts.values())
        yield name, str(clean.texts[0])
