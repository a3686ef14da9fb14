"""The demo's retrieval: what simulated users said about articles trains a better index, the gate says whether it is one, whatever the answer.

Belongs here: which agent, what is said about it. Not here: learning and gate (retrieval/, acceptance/), the simulated users (searches.py).
"""

from __future__ import annotations

from typing import Any

from learning_pipelines.demo.changes import Say, demo_agent, run_and_approve
from learning_pipelines.retrieval.index import KINDS
from learning_pipelines.storage import acceptance, indexes
from learning_pipelines.storage.acceptance import Reservation
from learning_pipelines.storage.store import Store

AGENT = "knowledge"


def retrain(store: Store, organization: str, say: Say) -> dict[str, Any]:
    """{agent, serving, reason, changes}: `changes` has one entry per test an index change was put to, `reason` why the run proposed nothing."""
    agent = demo_agent(store, organization, AGENT)
    say(f"Learning a better index for {AGENT} from what was said about articles, then a test of it on held-out questions …")
    reason = run_and_approve(store, agent, "rag_training", say)
    with store.pipeline() as connection:
        serving = indexes.serving(connection, agent.organization_id, agent.agent_id)
        tests = [test for test in acceptance.tests(connection, agent) if test.kind in KINDS and test.verdict is not None]
    return {"agent": AGENT, "serving": None if serving is None else serving.number, "reason": reason, "changes": [_told(test) for test in tests]}


def retrieval_lines(document: dict[str, Any]) -> list[str]:
    """What happened, a line per test; without one, why there was none."""
    lines = [
        f"  retrieval {document['agent']} {one['kind']}: {one['verdict']}, nDCG@10 {one['score']:.3f} against {one['incumbent_score']:.3f} on {one['n']} "
        f"held-out questions (p = {one['p_value']:.2g})"
        for one in document["changes"]
    ]
    serves = "the base index serves" if not document["serving"] else f"index version {document['serving']} serves"
    return [*lines, f"            {serves}"] if lines else [f"  retrieval {document['agent']}: no test, {document['reason']}; {serves}"]


def _told(test: Reservation) -> dict[str, Any]:
    evidence = test.evidence
    return {
        "kind": test.kind, "verdict": test.verdict, "reason": evidence["reason"], "incumbent_score": evidence["incumbent_mean"],
        "score": evidence["candidate_mean"], "n": evidence["n"], "p_value": evidence["p_value"], "difference": evidence["difference"],
        "low": evidence["low"], "high": evidence["high"],
    }  # fmt: skip
