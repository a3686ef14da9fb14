"""The route of search: what an agent's index finds for a question, and why.

Belongs here: path, role, shapes of answers. Not here: searching (retrieval/), which version serves (storage/indexes.py).
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field

from learning_pipelines.api.experiments_serving import EXPOSURE, LONGEST_UNIT, PROBLEM, UNIT, checked
from learning_pipelines.api.problems import without_nul
from learning_pipelines.api.service import Principal, Service, Serving, User
from learning_pipelines.errors import LearningError, Unavailable
from learning_pipelines.retrieval.answering import MOST_CHARS, MOST_HITS, answer
from learning_pipelines.storage.database import Connection

router = APIRouter(tags=["search"])


class Relevance(BaseModel):
    """How often the chunk helped whoever was shown it: the posterior's mean and its 95 % interval."""

    mean: float
    low: float
    high: float


class Explanation(BaseModel):
    """Where the score comes from: BM25 with its share of the query's ideal score, the cosine (null: the chunk has no vector yet), both mixed by
    lexical_weight; what the re-ranker made of that (null: it did not look); terms that were added to the query; relevance, for trainers."""

    bm25: float
    bm25_share: float
    cosine: float | None
    lexical_weight: float
    mixed: float
    reranked: float | None
    expansion: dict[str, float] = Field(json_schema_extra={"example": {"vat": 0.4}})
    relevance: Relevance | None


class SearchHit(BaseModel):
    chunk_id: str = Field(json_schema_extra={"example": "0c1f5a"})
    document_id: str = Field(json_schema_extra={"example": "vat-returns"})
    score: float
    text: str
    heading: str = Field(json_schema_extra={"example": "VAT returns > Due dates"})
    explanation: Explanation


class SearchAnswer(BaseModel):
    """Best first. `index`: number of the version that found them all, 0 for the organization's base. `hint`: why there are none. `disabled`: learning is
    switched off for the agent, so the base index answered. `experiment`, `variant`: what the unit takes part in; null: in none."""

    results: list[SearchHit]
    index: int | None
    hint: str | None = Field(json_schema_extra={"example": None})
    disabled: bool = Field(False, json_schema_extra={"example": False})
    experiment: str | None = Field(json_schema_extra={"example": "5f2d8e1c-0f5b-4d0e-9a53-0c8f3f0a7b11"})
    variant: str | None = Field(json_schema_extra={"example": "treatment"})
    experiment_problem: str | None = Field(description=PROBLEM, json_schema_extra={"example": None})


@router.get("/search", response_model=SearchAnswer)
async def get_search(
    who: User, service: Serving, q: Annotated[str, Query(min_length=1, max_length=MOST_CHARS, description="What is looked for, in words.")],
    agent: Annotated[str | None, Query(max_length=255, description="Slug or uuid: its index, its documents and the shared ones.")] = None,
    k: Annotated[int, Query(ge=1, le=MOST_HITS, description="How many chunks at most.")] = 10,
    unit: Annotated[str | None, Query(max_length=LONGEST_UNIT, description=UNIT)] = None,
    exposure: Annotated[bool, Query(description=EXPOSURE)] = True,
) -> dict[str, Any]:  # fmt: skip
    """The chunks that answer a question best, with where their scores come from.

    With `agent` by the index that serves the agent, and with `unit`, while an experiment on it runs, by that of the unit's variant; without, all documents
    of the organization by the base index. Nothing to find is no error: `hint` says what is missing.
    """
    without_nul(q=q)
    return await run_in_threadpool(_search, service, who, q, agent, k, checked(unit), exposure)


def _search(service: Service, who: Principal, query: str, name: str | None, k: int, unit: str | None, exposure: bool) -> dict[str, Any]:
    found = None
    if name is not None:
        with service.acting(who) as connection:
            found = service.agent(connection, who, name, "agent")

    def still() -> AbstractContextManager[Connection]:
        return service.sessions.acting(who.acting, still=True)

    def by(number: int | None) -> dict[str, Any]:
        agent_id = None if found is None else found.agent_id
        return answer(lambda: service.acting(who), still, service.loaded, who.organization_id, agent_id, query, k, number=number).as_json()

    try:
        return service.experiments.served(found, "index", unit, exposure, by)
    except Unavailable:
        raise
    except LearningError as error:  # whatever is wrong with what serves, it is not the request
        raise Unavailable(error.cause, error.advice) from error
