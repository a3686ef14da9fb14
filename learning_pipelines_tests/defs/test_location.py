"""The code location as Dagster loads it: what there is, how it is named, and what it must not pull in.

Belongs here: names, crons, owners, imports. Not here: what assets compute, what schedules and sensors ask for.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from learning_pipelines.defs.freshness import scheduled
from learning_pipelines.defs.runner import JOBS
from learning_pipelines.settings import load_settings

PACKAGE = Path(__file__).resolve().parents[2] / "learning_pipelines"
EXTERNAL = {"agent_executions", "agent_feedback", "expert_annotations", "demonstrations", "documents"}
HEAVY = ("torch", "sentence_transformers", "transformers")


@pytest.fixture(scope="module")
def repository(location: dg.Definitions) -> dg.RepositoryDefinition:
    return location.get_repository_def()


@pytest.fixture(scope="module")
def nodes(location: dg.Definitions) -> dict[str, object]:
    return {node.key.to_user_string(): node for node in location.resolve_asset_graph().asset_nodes}


def test_the_location_can_be_loaded(location: dg.Definitions) -> None:
    dg.Definitions.validate_loadable(location)


def test_every_asset_is_where_it_belongs(nodes: dict[str, dg.AssetSpec]) -> None:
    assert {key: node.group_name for key, node in nodes.items()} == {
        "agent_executions": "feedback",
        "agent_feedback": "feedback",
        "rater_weights": "feedback",
        "feedback_metrics": "feedback",
        "expert_annotations": "examples",
        "learning_examples": "examples",
        "duplicate_clusters": "examples",
        "training_datasets": "examples",
        "annotation_agreement": "examples",
        "example_quality": "examples",
        "preference_pairs": "examples",
        "dataset_exports": "examples",
        "demonstrations": "behavior",
        "behavior_policy": "behavior",
        "behavior_patterns": "behavior",
        "playbooks": "behavior",
        "correction_patterns": "behavior",
        "guidance": "behavior",
        "correction_rules": "behavior",
        "documents": "retrieval",
        "knowledge_chunks": "retrieval",
        "chunk_embeddings": "retrieval",
        "embedding_training_pairs": "retrieval",
        "chunk_relevance": "retrieval",
        "reranker": "retrieval",
        "retrained_embeddings": "retrieval",
        "retrieval_evaluation": "retrieval",
        "query_expansions": "retrieval",
        "chunk_edits": "retrieval",
        "serving_scores": "reports",
        "learning_report": "reports",
        "report_delivery": "reports",
        "prompt_performance": "prompts",
        "prompt_candidates": "prompts",
        "prompt_evaluations": "prompts",
        "optimized_prompts": "prompts",
        "judge_verdicts": "prompts",
        "execution_scores": "prompts",
        "fine_tuned_models": "behavior",
        "experiment_metrics": "experiments",
        "experiment_decisions": "experiments",
    }


def test_what_people_write_is_external_and_the_rest_is_not(nodes: dict) -> None:
    assert {key for key, node in nodes.items() if node.is_external} == EXTERNAL


def test_every_asset_has_owner_kind_and_description(nodes: dict) -> None:
    assert {key: (bool(node.owners), bool(node.kinds), bool(node.description)) for key, node in nodes.items()} == dict.fromkeys(nodes, (True, True, True))


def test_every_asset_has_a_freshness_policy(nodes: dict) -> None:
    made_by_schedules = {key for key, node in nodes.items() if scheduled(node.freshness_policy_or_from_metadata)}
    assert made_by_schedules == {"experiment_metrics", "serving_scores", "learning_report", "report_delivery"}
    assert [key for key, node in nodes.items() if node.freshness_policy_or_from_metadata is None] == []


def test_lineage_leads_from_what_people_write_to_the_report(nodes: dict) -> None:
    parents = {key: {parent.to_user_string() for parent in node.parent_keys} for key, node in nodes.items() if not node.is_external}
    assert parents == {
        "guidance": {"learning_examples", "training_datasets"},
        "rater_weights": {"agent_feedback", "learning_examples", "expert_annotations"},
        "feedback_metrics": {"agent_executions", "agent_feedback", "rater_weights"},
        "learning_examples": {"agent_executions", "agent_feedback", "demonstrations"},
        "duplicate_clusters": {"learning_examples"},
        "annotation_agreement": {"learning_examples", "expert_annotations", "agent_feedback", "rater_weights"},
        "example_quality": {"learning_examples", "annotation_agreement", "expert_annotations", "agent_feedback", "rater_weights"},
        "training_datasets": {"learning_examples", "duplicate_clusters", "example_quality", "expert_annotations"},
        "preference_pairs": {"training_datasets"},
        "dataset_exports": {"training_datasets", "preference_pairs"},
        "prompt_performance": {"agent_executions", "agent_feedback"},
        "prompt_candidates": {"prompt_performance", "training_datasets"},
        "prompt_evaluations": {"prompt_candidates"},
        "optimized_prompts": {"prompt_evaluations"},
        "judge_verdicts": {"learning_examples", "expert_annotations"},
        "experiment_metrics": {"agent_executions", "agent_feedback"},
        "experiment_decisions": {"experiment_metrics"},
        "execution_scores": {"agent_executions", "judge_verdicts"},
        "fine_tuned_models": {"training_datasets", "preference_pairs"},
        "knowledge_chunks": {"documents"},
        "chunk_embeddings": {"knowledge_chunks"},
        "embedding_training_pairs": {"chunk_embeddings", "agent_executions", "agent_feedback"},
        "chunk_relevance": {"knowledge_chunks", "embedding_training_pairs"},
        "reranker": {"embedding_training_pairs", "chunk_embeddings"},
        "retrained_embeddings": {"reranker"},
        "retrieval_evaluation": {"retrained_embeddings"},
        "query_expansions": {"retrieval_evaluation"},
        "chunk_edits": {"query_expansions"},
        "behavior_policy": {"demonstrations", "learning_examples"},
        "behavior_patterns": {"demonstrations", "learning_examples"},
        "playbooks": {"behavior_patterns"},
        "correction_patterns": {"learning_examples", "expert_annotations"},
        "correction_rules": {"correction_patterns"},
        "serving_scores": {"training_datasets"},
        "learning_report": {"feedback_metrics", "learning_examples", "training_datasets", "serving_scores"},
        "report_delivery": {"learning_report"},
    }


def test_metrics_are_cut_by_day_work_by_agent_and_reports_by_week(nodes: dict) -> None:
    cuts = {key: type(node.partitions_def) for key, node in nodes.items() if node.partitions_def is not None}
    assert cuts == {
        "feedback_metrics": dg.DailyPartitionsDefinition,
        "learning_examples": dg.DynamicPartitionsDefinition,
        "guidance": dg.DynamicPartitionsDefinition,
        "duplicate_clusters": dg.DynamicPartitionsDefinition,
        "training_datasets": dg.DynamicPartitionsDefinition,
        "annotation_agreement": dg.DynamicPartitionsDefinition,
        "example_quality": dg.DynamicPartitionsDefinition,
        "preference_pairs": dg.DynamicPartitionsDefinition,
        "dataset_exports": dg.DynamicPartitionsDefinition,
        "prompt_performance": dg.DynamicPartitionsDefinition,
        "prompt_candidates": dg.DynamicPartitionsDefinition,
        "prompt_evaluations": dg.DynamicPartitionsDefinition,
        "optimized_prompts": dg.DynamicPartitionsDefinition,
        "judge_verdicts": dg.DynamicPartitionsDefinition,
        "execution_scores": dg.DynamicPartitionsDefinition,
        "fine_tuned_models": dg.DynamicPartitionsDefinition,
        "knowledge_chunks": dg.DynamicPartitionsDefinition,
        "chunk_embeddings": dg.DynamicPartitionsDefinition,
        "embedding_training_pairs": dg.DynamicPartitionsDefinition,
        "chunk_relevance": dg.DynamicPartitionsDefinition,
        "reranker": dg.DynamicPartitionsDefinition,
        "retrained_embeddings": dg.DynamicPartitionsDefinition,
        "retrieval_evaluation": dg.DynamicPartitionsDefinition,
        "query_expansions": dg.DynamicPartitionsDefinition,
        "chunk_edits": dg.DynamicPartitionsDefinition,
        "behavior_policy": dg.DynamicPartitionsDefinition,
        "behavior_patterns": dg.DynamicPartitionsDefinition,
        "playbooks": dg.DynamicPartitionsDefinition,
        "correction_patterns": dg.DynamicPartitionsDefinition,
        "correction_rules": dg.DynamicPartitionsDefinition,
        "serving_scores": dg.WeeklyPartitionsDefinition,
        "learning_report": dg.WeeklyPartitionsDefinition,
        "report_delivery": dg.WeeklyPartitionsDefinition,
    }


def test_checks_are_statements_about_their_assets(location: dg.Definitions) -> None:
    found = {f"{key.asset_key.to_user_string()}: {key.name}" for key in location.resolve_asset_graph().asset_check_keys}
    assert found == {
        "rater_weights: weights_in_range",
        "rater_weights: few_are_distrusted",
        "feedback_metrics: references_hold",
        "feedback_metrics: ratings_in_range",
        "learning_examples: references_hold",
        "learning_examples: no_duplicate_example",
        "learning_examples: no_raw_email",
        "learning_examples: no_raw_account_number",
        "learning_examples: scrubbed_by_current_rules",
        "duplicate_clusters: every_input_searched",
        "duplicate_clusters: links_within_clusters",
        "duplicate_clusters: no_approved_contradiction",
        "annotation_agreement: experts_agree",
        "example_quality: scores_stand",
        "example_quality: more_evidence_never_lowers",
        "example_quality: calibration_helps",
        "training_datasets: splits_disjoint",
        "training_datasets: only_approved",
        "training_datasets: rebuilds",
        "preference_pairs: answers_differ",
        "preference_pairs: splits_inherited",
        "preference_pairs: no_contradiction",
        "dataset_exports: bytes_as_recorded",
        "dataset_exports: rows_complete",
        "dataset_exports: no_personal_data",
        "prompt_performance: counts_every_execution",
        "prompt_evaluations: verdict_recomputes",
        "optimized_prompts: beats_current_prompt",
        "optimized_prompts: no_copied_examples",
        "judge_verdicts: judge_agrees_with_experts",
        "fine_tuned_models: artifacts_safe_and_whole",
        "knowledge_chunks: every_document_chunked",
        "chunk_embeddings: no_orphan_embeddings",
        "chunk_embeddings: index_complete",
        "embedding_training_pairs: questions_disjoint",
        "embedding_training_pairs: only_train_teaches",
        "embedding_training_pairs: no_false_negatives",
        "embedding_training_pairs: no_raw_email_in_pairs",
        "chunk_relevance: posteriors_possible",
        "retrieval_evaluation: beats_serving_index",
        "query_expansions: refinement_beats_serving_index",
        "chunk_edits: refinement_beats_serving_index",
        "behavior_policy: policy_beats_frequency_baseline",
        "playbooks: playbook_has_evidence",
        "correction_patterns: learnt_corrections_do_not_recur",
        "correction_rules: rules_help_on_held_out_corrections",
        "learning_report: latest_closed_week_exists",
        "learning_report: adds_up",
        "serving_scores: no_drift",
        "report_delivery: everybody_got_it",
        "guidance: guidance_beats_prompt_alone",
        "experiment_decisions: no_sample_ratio_mismatch",
        "experiment_decisions: guardrails_hold",
    }


def test_every_former_background_job_is_there(repository: dg.RepositoryDefinition) -> None:
    assert {name for name in repository.job_names if not name.startswith("__")} == {
        "prompt_optimization", "rag_training", "ab_test_analysis", "cleanup", "learning_report", "examples_refresh", "dataset_refresh", "index_refresh",
        "weights_refresh", "metrics_refresh", "judge_sample", "pairs_refresh", "fine_tuning", "behavior_learning", "report_redelivery",
        "erasure", "agents_refresh",
    }  # fmt: skip


def test_jobs_wait_in_the_pools_that_were_their_queues(repository: dg.RepositoryDefinition) -> None:
    pools = {}
    for name in ("prompt_optimization", "rag_training", "fine_tuning", "ab_test_analysis", "cleanup"):
        (pools[name],) = set().union(*(node.definition.pools for node in repository.get_job(name).nodes))
    assert pools == {
        "prompt_optimization": "llm", "rag_training": "training", "fine_tuning": "training", "ab_test_analysis": "postgres_write", "cleanup": "postgres_write",
    }  # fmt: skip
    assert {node.name: node.definition.pools for node in repository.get_job("learning_report").nodes} == {
        "serving_scores": {"llm"}, "write_learning_report": {"postgres_write"}, "report_delivery": set(),
    }  # fmt: skip
    of_behavior = {node.name: node.definition.pools for node in repository.get_job("behavior_learning").nodes}
    assert of_behavior == {name: {"llm" if name in ("guidance", "correction_rules") else "training"} for name in of_behavior}  # they ask the agent's model
    # Encoding takes long where writing does not: feedback does not wait behind it.
    assert {node.name: node.definition.pools for node in repository.get_job("index_refresh").nodes} == {
        "knowledge_chunks": {"postgres_write"}, "chunk_embeddings": {"encoder"},
    }  # fmt: skip


def test_schedules_run_their_jobs_at_the_agreed_times(repository: dg.RepositoryDefinition) -> None:
    zone = load_settings().timezone
    assert {one.name: (one.job_name, one.cron_schedule, one.execution_timezone) for one in repository.schedule_defs} == {
        "prompt_optimization_weekly": ("prompt_optimization", "0 2 * * 1", zone),
        "judge_sample_hourly": ("judge_sample", "30 * * * *", zone),
        "rag_training_daily": ("rag_training", "0 3 * * *", zone),
        "fine_tuning_monthly": ("fine_tuning", "0 5 1 * *", zone),
        "behavior_learning_weekly": ("behavior_learning", "0 4 * * 1", zone),
        "ab_test_analysis_hourly": ("ab_test_analysis", "0 * * * *", zone),
        "cleanup_weekly": ("cleanup", "0 1 * * 0", zone),
        "learning_report_weekly": ("learning_report", "0 9 * * 1", zone),
    }


def test_what_is_scheduled_can_be_run_by_hand_too(repository: dg.RepositoryDefinition) -> None:
    assert {one.job_name for one in repository.schedule_defs} <= set(JOBS) <= set(repository.job_names)


def test_sensors_start_the_jobs_of_what_changed(repository: dg.RepositoryDefinition) -> None:
    assert {one.name: sorted(target.job_name for target in one.targets) for one in repository.sensor_defs} == {
        "new_feedback": ["examples_refresh", "metrics_refresh", "weights_refresh"],
        "reviewed_examples": ["dataset_refresh"],
        "new_documents": ["index_refresh"],
        "training_pairs_ready": ["pairs_refresh", "rag_training"],
        "stored_rows": [],
        "operating_numbers": [],
        "failed_deliveries": ["report_redelivery"],
        "failed_runs": [],
        "requested_erasures": ["erasure"],
        "failed_checks": [],
        "lost_starts": [],
        "rows_left_behind": ["dataset_refresh", "examples_refresh", "index_refresh", "metrics_refresh", "pairs_refresh", "weights_refresh"],
        "crashed_runs": sorted({*repository.job_names} - {"__ASSET_JOB"}),
    }


def test_schedules_and_sensors_are_on_without_anybody_switching_them_on(repository: dg.RepositoryDefinition) -> None:
    assert {one.default_status for one in repository.schedule_defs} == {dg.DefaultScheduleStatus.RUNNING}
    assert {one.default_status for one in repository.sensor_defs} == {dg.DefaultSensorStatus.RUNNING}


def test_loading_imports_nothing_heavy_and_follows_the_settings(tmp_path: Path) -> None:
    program = f"""
import json, sys
from learning_pipelines.definitions import defs
repository = defs().get_repository_def()
graph = repository.asset_graph
starts = {{type(node.partitions_def).__name__: str(node.partitions_def.start.date()) for node in graph.asset_nodes if hasattr(node.partitions_def, "start")}}
zones = sorted({{one.execution_timezone for one in repository.schedule_defs}} | {{
    node.partitions_def.timezone for node in graph.asset_nodes if hasattr(node.partitions_def, "timezone")}})
print(json.dumps([sorted(set({HEAVY!r}) & set(sys.modules)), zones, starts]))
"""
    env = {**os.environ, "LEARNING_HOME": str(tmp_path), "LEARNING_TIMEZONE": "Europe/Berlin", "LEARNING_START_DATE": "2024-01-01"}
    ended = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    heavy, zones, starts = json.loads(ended.stdout)
    assert heavy == []
    assert zones == ["Europe/Berlin"]
    assert set(starts.values()) == {"2024-01-01"}


def test_only_the_folder_for_it_imports_dagster() -> None:
    importing = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if any(line.strip().startswith(("import dagster", "from dagster")) for line in path.read_text(encoding="utf-8").splitlines())
    }
    assert {name for name in importing if not name.startswith("defs/")} == {"definitions.py", "celery_app.py", "celery_launcher.py"}


def test_the_lint_rule_refuses_dagster_elsewhere() -> None:
    wrong = PACKAGE / "feedback" / "imaginary.py"
    command = [sys.executable, "-m", "ruff", "check", "--select", "TID251", "--stdin-filename", str(wrong), "-"]
    ended = subprocess.run(command, input="import dagster\n", cwd=PACKAGE.parent, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "TID251" in ended.stdout
