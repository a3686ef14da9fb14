"""The jobs: what can be run by schedule, by sensor or by hand.

Belongs here: job definitions. Not here: when they run (schedules.py, sensors.py), what their assets do.
"""

import dagster as dg

from learning_pipelines.defs import reports
from learning_pipelines.defs.behavior import behavior_policy
from learning_pipelines.defs.behavior_patterns import behavior_patterns, playbooks
from learning_pipelines.defs.corrections import correction_patterns, correction_rules
from learning_pipelines.defs.curation import duplicate_clusters
from learning_pipelines.defs.datasets import dataset_exports, preference_pairs
from learning_pipelines.defs.examples import learning_examples, training_datasets
from learning_pipelines.defs.expansion import chunk_edits, query_expansions
from learning_pipelines.defs.experiment_decisions import experiment_decisions
from learning_pipelines.defs.experiments import experiment_metrics
from learning_pipelines.defs.feedback import feedback_metrics, rater_weights
from learning_pipelines.defs.fine_tuning import fine_tuned_models
from learning_pipelines.defs.guidance import guidance
from learning_pipelines.defs.judge import execution_scores, judge_verdicts
from learning_pipelines.defs.knowledge import chunk_embeddings, knowledge_chunks
from learning_pipelines.defs.pairs import chunk_relevance, embedding_training_pairs
from learning_pipelines.defs.prompts import optimized_prompts, prompt_candidates, prompt_evaluations, prompt_performance
from learning_pipelines.defs.quality import annotation_agreement, example_quality
from learning_pipelines.defs.retrieval import reranker, retrained_embeddings, retrieval_evaluation

examples_refresh = dg.define_asset_job(
    "examples_refresh", [learning_examples, example_quality], description="Takes up what is new in the outbox: learning examples of one agent, scored."
)
dataset_refresh = dg.define_asset_job(
    "dataset_refresh",
    [learning_examples, duplicate_clusters, annotation_agreement, example_quality, training_datasets, preference_pairs, dataset_exports],
    description="Brings examples, duplicates, quality, dataset, preference pairs and exported files of one agent up to date.",
)
weights_refresh = dg.define_asset_job("weights_refresh", [rater_weights], description="Judges the raters whom new feedback or reviews concern.")
metrics_refresh = dg.define_asset_job("metrics_refresh", [feedback_metrics], description="Computes the metrics of changed days again.")
prompt_optimization = dg.define_asset_job(
    "prompt_optimization",
    [prompt_performance, prompt_candidates, prompt_evaluations, optimized_prompts],
    description="Searches a better prompt for one agent, puts the winner to the gate and proposes it if it is better.",
)
rag_training = dg.define_asset_job(
    "rag_training",
    [reranker, retrained_embeddings, retrieval_evaluation, query_expansions, chunk_edits],
    description="Learns one agent's retrieval from feedback, puts the winner on validation to the gate and proposes it if it is better and harms nothing.",
)
behavior_learning = dg.define_asset_job(
    "behavior_learning",
    [behavior_patterns, playbooks, behavior_policy, correction_patterns, correction_rules, guidance],
    description="Learns one agent's behaviour from its experts' demonstrations and corrections, and proposes what tested better than what serves.",
)
fine_tuning = dg.define_asset_job(
    "fine_tuning",
    [fine_tuned_models],
    description="Fine-tunes one agent's language model on approved examples and preferences, puts it to the gate and proposes it if it is better.",
)
judge_sample = dg.define_asset_job(
    "judge_sample", [judge_verdicts, execution_scores], description="Scores a sample of live executions by the judging model, for agents that ask for it."
)
index_refresh = dg.define_asset_job(
    "index_refresh", [knowledge_chunks, chunk_embeddings], description="Takes up documents that changed: chunks, postings and vectors of one agent's index."
)
pairs_refresh = dg.define_asset_job(
    "pairs_refresh", [embedding_training_pairs, chunk_relevance], description="Counts new retrieval feedback of one agent: training pairs, relevance of chunks."
)
learning_report = dg.define_asset_job("learning_report",
    [reports.serving_scores, reports.learning_report, reports.report_delivery],
    description="Scores what serves, then the numbers of a closed week for every organization, and sends them where the settings say.",
)


ab_test_analysis = dg.define_asset_job(
    "ab_test_analysis",
    [experiment_metrics, experiment_decisions],
    description="Counts what is new for running experiments, then decides about each: harm is taken back, rollouts take their steps.",
)
report_redelivery = dg.define_asset_job(
    reports.REDELIVERY, [reports.report_delivery], description="Tries again to send the weekly reports whose delivery failed and is due."
)
