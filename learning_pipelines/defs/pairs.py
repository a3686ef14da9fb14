"""Group retrieval: what people said about search results, as training pairs and as relevance of chunks.

Belongs here: assets and checks of questions, pairs and relevance. Not here: counting, mining, fitting (retrieval/), learning from pairs (retrieval.py).
"""

from contextlib import closing
from typing import Any

import dagster as dg

from learning_pipelines.defs.common import OWNERS, agent_behind, check, encoder_at_need, table_columns
from learning_pipelines.defs.freshness import WHEN_WRITTEN
from learning_pipelines.defs.partitions import agents
from learning_pipelines.examples.similarity import rule_of
from learning_pipelines.feedback.privacy import EMAIL_PATTERN
from learning_pipelines.retrieval.loaded import Loaded
from learning_pipelines.retrieval.pairs import Paired, new_pairs, refresh_pairs
from learning_pipelines.retrieval.queries import Refreshed, refresh_queries
from learning_pipelines.retrieval.relevance_refresh import Fitted, refresh_relevance
from learning_pipelines.storage import chunk_relevance as stored_relevance
from learning_pipelines.storage import pair_checks, training_pairs
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.store import Store
from learning_pipelines.storage.tenants import AgentRef


@dg.asset(
    partitions_def=agents,
    deps=["chunk_embeddings", "agent_executions", "agent_feedback"],
    group_name="retrieval",
    kinds={"postgres"},
    owners=OWNERS,
    freshness_policy=WHEN_WRITTEN,
    pool="postgres_write",
    code_version="1",
    check_specs=[
        dg.AssetCheckSpec("questions_disjoint", asset="embedding_training_pairs", blocking=True, description="No passage, person or wording is in two splits."),
        dg.AssetCheckSpec("only_train_teaches", asset="embedding_training_pairs", blocking=True, description="No pair is of a question outside train."),
        dg.AssetCheckSpec("no_false_negatives", asset="embedding_training_pairs", blocking=True, description="No negative is of a document that helped."),
        dg.AssetCheckSpec("no_raw_email_in_pairs", asset="embedding_training_pairs", blocking=True, description="No pair holds a raw e-mail address."),
    ],
)
def embedding_training_pairs(context: dg.AssetExecutionContext, store: dg.ResourceParam[Store]) -> dg.MaterializeResult:
    """Questions of the train split with passages that helped, passages that did not, and hard negatives mined from all chunks; without personal data."""
    with store.pipeline() as connection, closing(Loaded(store.settings)) as loaded:
        agent = agent_behind(connection, context.partition_key)
        counted = questions_up_to_date(connection, store, agent)
        done = refresh_pairs(connection, agent, loaded=loaded)
        found = pair_checks.faults(connection, agent, EMAIL_PATTERN)
        return dg.MaterializeResult(
            metadata={
                "dagster/table_name": "learning.embedding_training_pairs",
                "dagster/column_schema": table_columns(connection, "embedding_training_pairs"),
                **pairs_metadata(counted, done, training_pairs.counts(connection, agent), pair_checks.numbers(connection, agent)),
                "new_in_7_days": new_pairs(connection, agent),
            },
            check_results=[
                check("questions_disjoint", found.straddling, "passages, people or groups of nearly the same questions in two splits"),
                check("only_train_teaches", found.untaught + found.held_out, "pairs of questions that are held out"),
                check("no_false_negatives", found.false_negatives, "negatives of documents that helped with the question or nearly the same one"),
                check("no_raw_email_in_pairs", found.raw_emails, "pairs with a raw e-mail address"),
            ],
        )


@dg.asset(
    partitions_def=agents,
    deps=["knowledge_chunks", embedding_training_pairs],
    group_name="retrieval",
    kinds={"postgres"},
    owners=OWNERS,
    freshness_policy=WHEN_WRITTEN,
    pool="postgres_write",
    code_version="1",
    check_specs=[
        dg.AssetCheckSpec("posteriors_possible", asset="chunk_relevance", description="Every mean is in its interval, nothing helped more than it was seen."),
    ],
)
def chunk_relevance(context: dg.AssetExecutionContext, store: dg.ResourceParam[Store]) -> dg.MaterializeResult:
    """How relevant each chunk is to those who look at it: a Beta posterior from retrieval feedback about train questions, corrected for position."""
    with store.pipeline() as connection:
        agent = agent_behind(connection, context.partition_key)
        questions_up_to_date(connection, store, agent)
        fitted = refresh_relevance(connection, agent)
        return dg.MaterializeResult(
            metadata={
                "dagster/table_name": "learning.chunk_relevance",
                "dagster/column_schema": table_columns(connection, "chunk_relevance"),
                "dagster/row_count": len(stored_relevance.relevance(connection, agent)),
                **relevance_metadata(fitted),
            },
            check_results=[check("posteriors_possible", stored_relevance.out_of_range(connection, agent), "posteriors that cannot be")],
        )


def questions_up_to_date(connection: Connection, store: Store, agent: AgentRef) -> Refreshed:
    """New retrieval feedback counted and split by the settings of the installation; nothing new costs a few queries and opens no encoder."""
    with encoder_at_need(store.settings) as opener:
        return refresh_queries(connection, agent, rule=rule_of(store.settings), shares=store.settings.split_shares, open_encoder=opener)


def pairs_metadata(counted: Refreshed, done: Paired, counts: dict[str, int], numbers: dict[str, Any]) -> dict[str, Any]:
    """Numbers of questions and pairs; no user text."""
    return {
        "dagster/row_count": sum(counts.values()), **{f"pairs_{label}": count for label, count in counts.items()},
        "questions_counted": counted.questions, "new_questions": counted.new, "personal_data_replaced": counted.scrubbed,
        "questions_paired": done.questions, "new_pairs": done.new, "withdrawn_pairs": done.withdrawn,
        "questions_without_positive": done.without_positive, "questions_without_vectors": done.without_vectors, **numbers,
    }  # fmt: skip


def relevance_metadata(fitted: Fitted) -> dict[str, Any]:
    """Numbers of the fit; nothing where nothing had changed."""
    if fitted.prior is None:
        return {"fitted": False}
    alpha, beta = fitted.prior
    looked = {f"examination_at_rank_{rank}": fitted.examination[rank - 1] for rank in (1, 2, 3, 5, 10) if rank <= len(fitted.examination)}
    return {"fitted": True, "shown": fitted.shown, "prior_mean": alpha / (alpha + beta), "prior_strength": alpha + beta, **looked}
