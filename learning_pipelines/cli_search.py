"""`learning-pipelines search`: what the index that serves finds for a question, and why.

Belongs here: the verb and its lines. Not here: what every verb shares (cli_output.py), searching (retrieval/).
"""

from __future__ import annotations

from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING

import click

from learning_pipelines.cli_output import Output, organization_option, say, verb
from learning_pipelines.cli_store import opened
from learning_pipelines.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Iterator

    from learning_pipelines.retrieval.answering import Answered
    from learning_pipelines.retrieval.searcher import Hit
    from learning_pipelines.storage.database import Connection

_SHOWN_CHARS = 240


@click.command("search")
@click.argument("text")
@click.option("--agent", metavar="SLUG", help="Search as this agent does (default: all documents, by the base index).")
@click.option("-k", "k", type=click.IntRange(1, 100), default=10, show_default=True, help="How many chunks at most.")
@organization_option
@verb
def search_command(text: str, agent: str | None, k: int, organization: str | None, output: Output) -> None:
    """Search the documents for TEXT. What is not indexed yet is indexed first."""
    from learning_pipelines.retrieval.answering import MOST_CHARS, NO_DOCUMENTS, Answered, answer
    from learning_pipelines.retrieval.encoders import Encoders
    from learning_pipelines.retrieval.knowledge import ensure_base
    from learning_pipelines.retrieval.loaded import Loaded
    from learning_pipelines.storage import found_chunks
    from learning_pipelines.storage.database import snapshot

    if not text.strip() or len(text) > MOST_CHARS or "\x00" in text:
        raise BadInput(f"TEXT must hold 1 to {MOST_CHARS} characters, and no NUL.", "Say what you look for in a few words.")
    with opened(organization) as at, Encoders(at.settings) as encoders:
        connection, tenant, agent_id = at.connection, at.tenant, at.agent_id(agent)
        if not found_chunks.any_document(connection, tenant, agent_id):
            answered = Answered([], None, NO_DOCUMENTS)
        else:
            ensure_base(connection, tenant, encoders, agent_id=agent_id, wait=False, progress=lambda share, line, numbers: say(f"  {line}"))

            @contextmanager
            def still() -> Iterator[Connection]:
                with snapshot(connection):
                    yield connection

            def connect() -> AbstractContextManager[Connection]:
                return nullcontext(connection)

            answered = answer(connect, still, Loaded(at.settings, encoders.of), tenant, agent_id, text, k)
    output.answer(answered.as_json(), lambda: _lines(answered))


def _lines(answered: Answered) -> list[str]:
    if not answered.hits:
        return [answered.hint or "Nothing was found."]
    by = "the base index" if not answered.index else f"version {answered.index} of the index"
    by += ": learning is switched off" if answered.disabled else ""
    return [line for number, hit in enumerate(answered.hits, start=1) for line in _of_hit(number, hit)] + [f"By {by}."]


def _of_hit(number: int, hit: Hit) -> list[str]:
    why, text = hit.explanation, " ".join(hit.text.split())
    cosine = "no vector yet" if why.cosine is None else f"meaning {why.cosine:.2f}"
    parts = [f"words {why.bm25_share:.2f} (BM25 {why.bm25:.2f})", cosine, f"mixed {why.mixed:.3f} at {why.lexical_weight:.2f} for words"]
    if why.expansion:
        parts.append("also looked for " + ", ".join(f"{term} ({weight:.2f})" for term, weight in why.expansion.items()))
    if why.reranked is not None:
        parts.append(f"re-ranked to {why.reranked:.3f}")
    if why.relevance is not None:
        parts.append("helped {:.0%} of whom it was shown to ({:.0%} to {:.0%})".format(*why.relevance))
    return [
        f"{number:>2}. {hit.score:.3f}  {hit.document_id}  {hit.heading}",
        f"    {text[:_SHOWN_CHARS]}{'…' if len(text) > _SHOWN_CHARS else ''}",
        f"    {' · '.join(parts)}",
    ]
