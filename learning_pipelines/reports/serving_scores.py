"""How good what serves is now: the production prompt and the serving index of an agent, asked anew on a held-out set that stays the same.

Belongs here: freezing the set, asking, comparing with the first time. Not here: SQL (storage/serving_scores.py), the test (drift.py), metrics.

Drift of a model behind an endpoint shows only if it is asked: answers are never taken from the cache, and are not put there. What a week costs is bounded by
LEARNING_REPORT_ITEMS. The set is the same share of the test split for every week, drawn by hash; it changes, under the next number and with the reason, only
where items are gone or changed, or a set that was too small can be twice as large. Scores alone are kept, no answers; nothing that learns reads them,
and no level of the gate is spent.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from learning_pipelines.errors import LearningError
from learning_pipelines.llm import model_name
from learning_pipelines.llm_budget import Budget
from learning_pipelines.prompts.summary import interval
from learning_pipelines.prompts.task import Item
from learning_pipelines.reports.drift import drift
from learning_pipelines.settings import Settings
from learning_pipelines.storage import guidance, prompt_runs, prompts, tenants, versions
from learning_pipelines.storage import serving_scores as storage
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.serving_scores import FrozenSet, Kind, Score
from learning_pipelines.storage.tenants import AgentRef

ACCOUNT = "serving_scores"
LEAST = 5
"""A set of fewer items would say nothing for years."""
FIRST = "first score"
CANNOT = "what served in an earlier week cannot be asked any more"


def score_week(connection: Connection, agent: AgentRef, settings: Settings, week: dt.date, *, closed: bool = True) -> dict[str, Score | None]:
    """Scores what serves of an agent for a week and stores it; None for what has its score already. Where nothing can be measured the reason is stored.

    `closed`: the week is the latest that is over; of an older one nothing can be measured. `connection`: role learning_pipeline, autocommit.
    """
    settings = settings.model_copy(update={"report_items": storage.items_wanted(connection, agent, settings.report_items)})
    found: dict[str, Score | None] = {}
    for kind, measure in MEASURES.items():
        if storage.measured(connection, agent, kind, week):
            found[kind] = None
            continue
        if settings.report_items == 0:
            score = _nothing("LEARNING_REPORT_ITEMS is 0")
        else:
            score = _attempt(measure, connection, agent, settings, week) if closed else _nothing(CANNOT)
        storage.store(connection, agent, kind, week, score)
        found[kind] = score
    return found


def _attempt(measure: Callable[..., Score], connection: Connection, agent: AgentRef, settings: Settings, week: dt.date) -> Score:
    try:
        return measure(connection, agent, settings, week)
    except LearningError as error:  # an endpoint that is down must not keep the report of the week from being made
        return _nothing(f"{type(error).__name__}: the model or the encoder could not be asked")


def _nothing(reason: str, version: int | None = None) -> Score:
    return Score(None, version, "", "", "", (), None, None, 0, 0, {}, reason)


def _prompt(connection: Connection, agent: AgentRef, settings: Settings, week: dt.date) -> Score:
    from learning_pipelines.prompts.scoring import Scorer

    serving = prompts.labelled(connection, agent)
    if serving is None:
        return _nothing("the agent has no prompt with the label production")
    frozen = _prompt_set(connection, agent, settings)
    if frozen is None:
        return _nothing(f"fewer than {LEAST} approved examples with an answer are in the test split", serving.version)
    held, items = frozen
    scorer = Scorer(
        connection, agent, settings, items, account=ACCOUNT, budget=Budget(calls=_most_calls(len(items)), usd=settings.optimization_usd), fresh=True
    )  # fmt: skip
    try:
        version = prompts.version(connection, agent, serving.version)
        assert version is not None
        evaluator, prompt = scorer.as_served(version)
        scored = evaluator(prompt, items)
    finally:
        spent = scorer.budget.spent
        scorer.record()
    shown = guidance.serving(connection, agent).guidance
    model = model_name(settings)
    subject = f"{serving.content_hash.hex()}/{shown}/{model}"
    return _score(
        connection, agent, "prompt", week, held, subject, [one.score for one in scored], version=serving.version, metric=evaluator.metric.type, model=model,
        faults=sum(one.fault is not None for one in scored), calls=spent.requests,
    )  # fmt: skip


def _index(connection: Connection, agent: AgentRef, settings: Settings, week: dt.date) -> Score:
    from learning_pipelines.retrieval.encoders import Encoders
    from learning_pipelines.retrieval.evaluation import evaluate
    from learning_pipelines.retrieval.loaded import Loaded
    from learning_pipelines.retrieval.metrics import NDCG
    from learning_pipelines.storage import indexes
    from learning_pipelines.storage.found_chunks import any_document

    if not any_document(connection, agent.organization_id, agent.agent_id):
        return _nothing("the agent has no documents")
    version = indexes.serving(connection, agent.organization_id, agent.agent_id)
    if version is None:
        return _nothing("the organization has no index yet")
    frozen = _index_set(connection, agent, settings)
    if frozen is None:
        return _nothing(f"fewer than {LEAST} judged questions are in the test split", version.number)
    held, texts = frozen
    with Encoders(settings) as encoders:
        loaded = Loaded(settings, encoders.of)
        measured = evaluate(connection, agent.organization_id, agent.agent_id, version, loaded, texts, held.gains)
    found = measured.of(NDCG)
    config = hashlib.sha256(orjson.dumps(version.config, option=orjson.OPT_SORT_KEYS)).hexdigest()
    return _score(
        connection, agent, "index", week, held, f"{config}/{version.encoder.name}", [found[query] for query in held.items], version=version.number,
        metric=NDCG, model=version.encoder.name, faults=0, calls=0,
    )  # fmt: skip


def _score(
    connection: Connection, agent: AgentRef, kind: Kind, week: dt.date, held: FrozenSet, subject: str, scores: Sequence[float], **known: Any
) -> Score:  # fmt: skip
    first = storage.first_scores(connection, agent, kind, held.number, subject, week)
    bounds = interval(scores)
    return Score(
        set_number=held.number, subject=subject, scores=tuple(scores), score=math.fsum(scores) / len(scores), interval=(bounds.low, bounds.high),
        drift={} if first is None else drift(first, scores), **known,
    )  # fmt: skip


MEASURES: Mapping[Kind, Callable[..., Score]] = {"prompt": _prompt, "index": _index}


def _prompt_set(connection: Connection, agent: AgentRef, settings: Settings) -> tuple[FrozenSet, list[Item]] | None:
    """The frozen set with its items, frozen now if need be; None while there are too few."""
    labels = tenants.answers_of(connection, agent)[1]
    held = storage.newest_set(connection, agent, "prompt")
    kept = [] if held is None or held.dataset_id is None else _of_ids(_test_items(connection, agent, held.dataset_id, labels), held.items)
    whole = held is not None and len(kept) == len(held.items) and _hash(kept) == held.content_hash
    newest = versions.newest(connection, agent)
    fresh = [] if newest is None else _drawn(_test_items(connection, agent, newest.id, labels), settings.report_items)
    reason = _why_frozen(held, whole, len(fresh), settings.report_items)
    if reason is None:
        assert held is not None
        return held, kept
    if newest is None or len(fresh) < LEAST:
        return None
    return storage.freeze(connection, agent, "prompt", [item.id for item in fresh], _hash(fresh), reason, dataset_id=newest.id), fresh


def _index_set(connection: Connection, agent: AgentRef, settings: Settings) -> tuple[FrozenSet, dict[str, str]] | None:
    """The frozen set with the questions' texts; judgements are those of the day it was frozen. A question that was taken back or erased needs a new set."""
    from learning_pipelines.retrieval.judged import judged_queries

    now = {query.id: query for query in judged_queries(connection, agent, "test")}
    held = storage.newest_set(connection, agent, "index")
    whole = held is not None and set(held.items) <= set(now) and _hash([(name, now[name].text, held.gains[name]) for name in held.items]) == held.content_hash
    fresh = _drawn(list(now.values()), settings.report_items)
    reason = _why_frozen(held, whole, len(fresh), settings.report_items)
    if reason is not None:
        if len(fresh) < LEAST:
            return None
        gains = {query.id: dict(query.documents) for query in fresh}
        content = _hash([(query.id, query.text, gains[query.id]) for query in fresh])
        held = storage.freeze(connection, agent, "index", [query.id for query in fresh], content, reason, gains=gains)
    assert held is not None
    return held, {name: now[name].text for name in held.items}


def _why_frozen(held: FrozenSet | None, whole: bool, available: int, most: int) -> str | None:
    """Why the next set is needed; None where the old one goes on."""
    if held is None:
        return FIRST
    if not whole:
        return "items of the set before are gone or changed"
    if len(held.items) < most and available >= 2 * len(held.items):
        return f"the set before had {len(held.items)} items, and {available} are there now"
    return None


def _test_items(connection: Connection, agent: AgentRef, dataset_id: Any, labels: Sequence[str]) -> list[Item]:
    """Examples of the test split; an answer that is none of the labels could be given by no prompt."""
    return [
        Item(row["id"], row["input_text"], row["expected_output"], row["input_context"])
        for row in prompt_runs.items(connection, agent, dataset_id)
        if row["split"] == "test" and (not labels or row["expected_output"] in labels)
    ]


def _of_ids(items: Sequence[Item], ids: Sequence[str]) -> list[Item]:
    known = {item.id: item for item in items}
    return [known[name] for name in ids if name in known]


def _drawn(items: Sequence[Any], most: int) -> list[Any]:
    """At most so many of them, by the hash of their ids: the same whenever it is done, and not the oldest."""
    return sorted(items, key=lambda one: hashlib.sha256(one.id.encode()).digest())[:most]


def _hash(content: Sequence[Any]) -> bytes:
    plain = [[one.id, one.input, one.expected] if isinstance(one, Item) else one for one in content]
    return hashlib.sha256(orjson.dumps(plain, option=orjson.OPT_SORT_KEYS)).digest()


def _most_calls(items: int) -> int:
    """An answer and perhaps a judgement of each item, and some that have to be repeated."""
    return 2 * items + max(10, items // 5)
