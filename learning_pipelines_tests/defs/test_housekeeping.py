"""The clean-up of old prompt versions and exported files as a whole: what a dry run counts is what goes then, by the settings.

Belongs here: housekeeping.py on a real installation. Not here: which versions and files go (storage/, examples/), archiving (feedback/archive/).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from learning_pipelines.defs.housekeeping import tidy, would_tidy
from learning_pipelines.examples.exporting import export_to_artifacts
from learning_pipelines.settings import Settings
from learning_pipelines.storage.database import Connection, Database
from learning_pipelines.storage.llm_cache import DatabaseCache
from learning_pipelines.storage.store import Store
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.examples.approved import correction, dataset, refresh
from learning_pipelines_tests.feedback.rows import AGENT, agent_ref, table
from learning_pipelines_tests.storage.test_llm_cache import ANSWER


def test_a_dry_run_counts_the_versions_and_files_that_go_then(database: Database, pipeline: Connection, load: Load, tmp_path: Path) -> None:
    store = Store(Settings(home=tmp_path / "home", prompt_versions_kept=2, exports_kept=1, duplicate_cosine=None), database)
    load("agents", [AGENT])
    agent = agent_ref(pipeline)
    for version in (1, 2):
        load("examples", [correction(number) for number in range(version * 10, version * 10 + 10)])
        refresh(pipeline)
        export_to_artifacts(pipeline, agent, dataset(pipeline), "parquet", store.settings.artifacts)
    pipeline.execute("UPDATE dataset_exports SET created_at = now() - interval '8 days'")
    pipeline.execute(
        """INSERT INTO prompt_versions (organization_id, agent_id, version, parent_version, origin, messages, content_hash, created_at)
        SELECT %s, %s, n, 1, 'written', '[]', 'x', now() - interval '31 days' FROM generate_series(2, 6) AS n""",
        [agent.organization_id, agent.agent_id],
    )
    would = would_tidy(store).touched
    assert (would["prompt_versions"], would["dataset_exports"]) == (3, 1)
    assert [len(table(pipeline, name)) for name in ("prompt_versions", "dataset_exports")] == [6, 2]
    assert table(pipeline, "audit_log", "action = 'deleted'") == []
    done = tidy(store).touched
    assert (done["prompt_versions"], done["dataset_exports"]) == (3, 1)
    assert sorted(row["version"] for row in table(pipeline, "prompt_versions")) == [1, 5, 6]
    assert [path.parent.name for path in (tmp_path / "home").rglob("*.parquet")] == ["v2"]
    nothing = would_tidy(store).touched
    assert (nothing["prompt_versions"], nothing["dataset_exports"]) == (0, 0)


def test_answers_of_models_go_when_they_are_older_than_the_history(database: Database, pipeline: Connection, load: Load, tmp_path: Path) -> None:
    store = Store(Settings(home=tmp_path / "home", history_days=30), database)
    load("agents", [AGENT])
    cache = DatabaseCache(pipeline, agent_ref(pipeline).organization_id)
    old, new = "0a" * 32, "0b" * 32
    for key, text in ((old, "old"), (new, "new")):
        cache.put(key, replace(ANSWER, text=text))
    pipeline.execute("UPDATE llm_responses SET created_at = now() - interval '31 days' WHERE answer = 'old'")
    assert would_tidy(store).touched["llm_responses"] == 1 and cache.get(old) is not None
    assert tidy(store).touched["llm_responses"] == 1
    assert (cache.get(old), cache.get(new) is None) == (None, False)
