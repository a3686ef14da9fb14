"""Group retrieval: documents cut into chunks, and the chunks' vectors; what keeps the base index current.

Belongs here: assets, checks and metadata of chunks and vectors. Not here: how they are made (retrieval/knowledge.py), learning from feedback (retrieval.py).
"""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import dagster as dg

from learning_pipelines.defs.common import OWNERS, agent_behind, check, table_columns
from learning_pipelines.defs.freshness import WHEN_WRITTEN
from learning_pipelines.defs.partitions import agents
from learning_pipelines.retrieval import lexical
from learning_pipelines.retrieval.chunking import CHUNKER
from learning_pipelines.retrieval.encoders import Encoders
from learning_pipelines.retrieval.knowledge import Chunking, embed_used, ensure_base, incomplete, refresh_texts
from learning_pipelines.storage import chunk_vectors, chunks, outbox
from learning_pipelines.storage.chunks import Holdings
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.ingest_sql import NIL
from learning_pipelines.storage.store import Store
from learning_pipelines.storage.tenants import AgentRef

PROBLEMS_SHOWN = 50


@dg.asset(
    partitions_def=agents,
    deps=["documents"],
    group_name="retrieval",
    kinds={"postgres"},
    owners=OWNERS,
    freshness_policy=WHEN_WRITTEN,
    pool="postgres_write",
    code_version=CHUNKER,
    check_specs=[
        dg.AssetCheckSpec("every_document_chunked", asset="knowledge_chunks", description="Every active document is chunked, or says why it cannot be."),
    ],
)
def knowledge_chunks(context: dg.AssetExecutionContext, store: dg.ResourceParam[Store]) -> dg.MaterializeResult:
    """An agent's documents and the shared ones as chunks with the headings they stand under; only documents that changed are cut again."""
    with store.pipeline() as connection:
        agent = agent_behind(connection, context.partition_key)
        with chunks.locked(connection, agent.organization_id):
            done, postings = refresh_texts(connection, agent.organization_id, store.settings.language, agent.agent_id, _log(context))
        held = chunks.holdings(connection, agent.organization_id, CHUNKER, agent.agent_id)
        return dg.MaterializeResult(
            metadata={
                "dagster/table_name": "learning.knowledge_chunks",
                "dagster/column_schema": table_columns(connection, "knowledge_chunks"),
                **chunks_metadata(done, held),
                **postings_metadata(postings),
                **({"without chunks": problems_table(chunks.problems(connection, agent.organization_id, PROBLEMS_SHOWN))} if held.problems else {}),
            },
            check_results=[check("every_document_chunked", held.behind, "documents that are not chunked as they are")],
        )


@dg.asset(
    partitions_def=agents,
    deps=[knowledge_chunks],
    group_name="retrieval",
    kinds={"postgres"},
    owners=OWNERS,
    freshness_policy=WHEN_WRITTEN,
    pool="encoder",  # a first build may encode for an hour: feedback must not wait behind it
    code_version="1",
    check_specs=[
        dg.AssetCheckSpec("no_orphan_embeddings", asset="chunk_embeddings", description="Every vector is of a chunk that is there, of its encoder's length."),
        dg.AssetCheckSpec("index_complete", asset="chunk_embeddings", description="Every chunk has the postings and vectors of what serves."),
    ],
)
def chunk_embeddings(context: dg.AssetExecutionContext, store: dg.ResourceParam[Store]) -> dg.MaterializeResult:
    """Vectors of chunks, by every encoder that serves, served before or is a candidate; only missing ones are encoded. The base index is complete then."""
    with store.pipeline() as connection:
        agent = agent_behind(connection, context.partition_key)
        # Shared documents are everybody's, and every agent's refresh takes them up.
        places = [(owner, outbox.newest(connection, owner)) for owner in (agent, AgentRef(agent.organization_id, agent.organization, UUID(NIL), ""))]
        stored = _index_up_to_date(context, connection, store, agent)
        for owner, place in places:
            if place is not None:
                outbox.advance(connection, outbox.INDEX_READER, owner, place)
        found = incomplete(connection, agent.organization_id, agent.agent_id)
        return dg.MaterializeResult(
            metadata={
                "dagster/table_name": "learning.chunk_embeddings",
                "dagster/column_schema": table_columns(connection, "chunk_embeddings"),
                **vectors_metadata(stored, chunk_vectors.counts(connection, agent.organization_id)),
            },
            check_results=[
                check("no_orphan_embeddings", chunk_vectors.orphans(connection, agent.organization_id), "vectors that belong to no chunk of a document"),
                check("index_complete", sum(found.values()), "documents or chunks that the index lacks"),
            ],
        )


def _index_up_to_date(context: dg.AssetExecutionContext, connection: Connection, store: Store, agent: AgentRef) -> Mapping[str, int]:
    """Vectors stored, by encoder."""
    with Encoders(store.settings) as encoders:
        base = ensure_base(connection, agent.organization_id, encoders, agent_id=agent.agent_id, progress=_log(context))
        learnt = embed_used(connection, agent.organization_id, encoders, agent.agent_id, _log(context))
    return {**learnt, **{name: count + learnt.get(name, 0) for name, count in base.vectors.items()}}


def _log(context: dg.AssetExecutionContext) -> Any:
    return lambda share, line, numbers: context.log.info(f"{line} ({share:.0%})" if share else line)


def chunks_metadata(done: Chunking, held: Holdings) -> dict[str, int]:
    """Numbers of chunking; no user text."""
    return {
        "dagster/row_count": held.chunks, "documents": held.documents,
        "documents_chunked_now": done.documents, "added": done.written.added, "kept": done.written.kept, "removed": done.written.removed,
        "problems": sum(held.problems.values()), **{f"problem: {kind}": count for kind, count in held.problems.items()},
    }  # fmt: skip


def problems_table(problems: Sequence[tuple[str, str]]) -> dg.MarkdownMetadataValue:
    """Ids of documents that have no chunks, with the reason, which quotes none of their text."""
    rows = (f"| {name.replace('|', ' ')} | {problem} |" for name, problem in problems)
    return dg.MetadataValue.md("\n".join(["| document | why |", "|---|---|", *rows]))


def vectors_metadata(stored: Mapping[str, int], counts: Mapping[str, int]) -> dict[str, int]:
    """Numbers of vectors; no user text."""
    return {
        "dagster/row_count": sum(counts.values()), "encoded_now": sum(stored.values()),
        **{f"vectors of {name}": count for name, count in counts.items()}, **{f"encoded_now by {name}": count for name, count in stored.items()},
    }  # fmt: skip



def postings_metadata(done: lexical.Refreshed) -> dict[str, int | str]:
    """Numbers of the lexical leg; no user text."""
    return {"postings_added": done.added, "postings_removed": done.removed, "analyzer": done.analyzer}
