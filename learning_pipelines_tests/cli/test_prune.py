"""`learning-pipelines prune` on a real installation.

Belongs here: what the verb prints and does. Not here: archiving itself (feedback/archive/).
"""

from __future__ import annotations

from pathlib import Path

from learning_pipelines.feedback.identity import organization_id
from learning_pipelines.settings import Settings
from learning_pipelines.storage.store import Store
from learning_pipelines_tests.cli.command_line import call
from learning_pipelines_tests.cli.conftest import Load
from learning_pipelines_tests.feedback.rows import AGENT, execution


def test_prune_says_first_what_it_would_touch_and_then_does_it(home: Path, load_rows: Load) -> None:
    load_rows("agents", [AGENT], "pruned")
    load_rows("executions", [execution("e1", created_at="2025-03-12T09:00:00Z")], "pruned")
    store = Store(Settings(home=home, database_url=None))
    with store.database.connect("owner") as owner:
        for name in ("agent_executions", "agent_feedback"):
            owner.execute("SELECT learning.make_partitions(%s, '2025-03-01', 1)", [name])
        owner.execute("UPDATE agent_executions SET received_at = '2025-03-12' WHERE organization_id = %s", [organization_id("pruned")])
        owner.execute("DELETE FROM outbox WHERE organization_id = %s", [organization_id("pruned")])
    would = call(home, "prune", "--dry-run", "--json").document
    assert (would["dry_run"], would["touched"]["agent_executions"], would["archived"]["months"]) == (True, 1, ["2025-03"])
    done = call(home, "prune", "--json")
    assert (done.code, done.document["touched"]["agent_executions"], done.document["archived"]["files"]) == (0, 1, 1), done.document
    nothing = call(home, "prune")
    assert (nothing.code, "nothing" in nothing.out) == (0, True)
