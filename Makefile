# Every target does its own set-up: Python 3.11+, make and git are enough.
# ARGS are handed on (make demo ARGS=--no-serve); TORCH_INDEX names another package index for torch (README).

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
BROWSER_TESTS := learning_pipelines_tests/browser
PEERS := .venv-peers/.installed
PEER_SERVERS := .venv-peer-servers/.installed
PEER_OPTIMIZERS := .venv-peer-optimizers/.installed
PEER_EXPERIMENTS := .venv-peer-experiments/.installed
PIP_ARGS := -c constraints.txt $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))

.PHONY: audit install demo up down learning-worker learning-scheduler learning-optimize learning-train learning-analyze learning-cleanup learning-report learning-status learning-test-all test test-browser test-slow lint types fuzz outage behavior-story peers peer-servers peer-optimizers peer-experiments benchmark benchmark-agreement benchmark-behavior benchmark-significance benchmark-privacy benchmark-datasets benchmark-index benchmark-judge benchmark-lineage benchmark-model benchmark-prompts benchmark-service attacks benchmark-duplicates benchmark-review benchmark-few-shot benchmark-gate benchmark-rules benchmark-retrieval benchmark-expansion benchmark-finetune benchmark-finetuning benchmark-embedding benchmark-corrections benchmark-search benchmark-next-action benchmark-playbooks benchmark-experiment-metrics benchmark-experiment-ratios benchmark-rollouts benchmark-dashboard benchmark-retention review-real-data clean

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed, $(PYTHON) is older: make $(MAKECMDGOALS) PYTHON=python3.11"; exit 1; }
	@echo "Installing into $(VENV) (about 2 GB, a few minutes the first time) …"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --disable-pip-version-check $(PIP_ARGS) -e '.[dev]'
	@touch $(STAMP)

demo: install
	@$(BIN)/learning-pipelines demo $(ARGS)

up: install
	@$(BIN)/learning-pipelines up $(ARGS)

down: install
	@$(BIN)/learning-pipelines down $(ARGS)

# `make up` in two parts, each in a terminal or service of its own: first the worker (API, Dagster's code server and UI), then the scheduler (Dagster's
# daemon: schedules, sensors, the queue of runs). Of each there is one; a second scheduler is refused. Whatever runs is stopped by `make down`.
learning-worker: install
	@$(BIN)/learning-pipelines up --only worker $(ARGS)

learning-scheduler: install
	@$(BIN)/learning-pipelines up --only scheduler $(ARGS)

# The jobs by hand, through Dagster, with or without a scheduler; ARGS="--organization acme --agent desk", "--json". Their own schedules are in the README.
learning-optimize: install
	@$(BIN)/learning-pipelines run prompt_optimization $(ARGS)

learning-train: install
	@$(BIN)/learning-pipelines run rag_training $(ARGS)

learning-analyze: install
	@$(BIN)/learning-pipelines run ab_test_analysis $(ARGS)

learning-cleanup: install
	@$(BIN)/learning-pipelines run cleanup $(ARGS)

# Makes the report of the latest closed week; `learning-pipelines report` shows it.
learning-report: install
	@$(BIN)/learning-pipelines run learning_report $(ARGS)

# Rows, jobs with their last and next run, what waits, how fresh everything is, and what is wrong with what to do about it.
learning-status: install
	@$(BIN)/learning-pipelines status $(ARGS)

# Every test there is: minutes of `make test`, then the slow ones, then the browser.
learning-test-all:
	@$(MAKE) --no-print-directory test
	@$(MAKE) --no-print-directory test-slow
	@$(MAKE) --no-print-directory test-browser

# The public clients of peers, which the tests of interoperability drive: 300 MB, 30 s.
peers: $(PEERS)

# Servers of peers for the load benchmark, in no test: 1.3 GB, 90 s.
peer-servers: $(PEER_SERVERS)

# Optimizers of peers for the benchmark of prompts, in no test: 400 MB, 40 s.
peer-optimizers: $(PEER_OPTIMIZERS)

# Statistics of a peer for the benchmark of experiments, in no test: 350 MB, 30 s.
peer-experiments: $(PEER_EXPERIMENTS)

.venv-%/.installed: requirements-%.txt
	@echo "Installing $< into $(@D) …"
	@$(PYTHON) -m venv --clear $(@D)
	@$(@D)/bin/python -m pip install --disable-pip-version-check -q -r $<
	@touch $@

# Three workers on two cores, because a third of the time each waits for processes and servers; each with a server and homes of its own; the tests of a file stay together, since they share what is slow to set up.
# The longest files come first (conftest.py); xdist itself would begin with those of the most tests and end with stories of ten tests and minutes.
# Of threads one each: on matrices as small as these, two per worker wait for each other in loops (a policy's tests: 8 s of CPU instead of 27).
test:
	@$(MAKE) --no-print-directory --jobs=2 install peers lint types
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder -m 'not slow' --ignore learning_pipelines_tests/browser $(ARGS)

# What `make test` leaves out: simulations at their full size, stories of many processes.
test-slow: install
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m slow $(ARGS)

# In Chromium (Debian's package chromium, or LEARNING_CHROMIUM); what needs packages from npm is skipped where npm is not installed.
test-browser: install
	@if command -v npm > /dev/null; then npm ci --prefix $(BROWSER_TESTS) --no-audit --no-fund --silent; else echo "npm is not installed: what needs its packages is skipped"; fi
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --timeout 150 -m 'not slow' $(BROWSER_TESTS) $(ARGS)

fuzz: install
	@FUZZ_CASES=10000 $(BIN)/python -m pytest --tb=line learning_pipelines_tests/api/test_fuzz.py $(ARGS)

outage: install
	@OUTAGE_SECONDS=60 $(BIN)/python -m pytest learning_pipelines_tests/client/test_against_the_service.py $(ARGS)

# Learning behaviour end to end, with the packaged encoder and the command line as processes (two minutes).
behavior-story: install
	@BEHAVIOR_STORY=1 $(BIN)/python -m pytest learning_pipelines_tests/test_behavior_end_to_end.py $(ARGS)

lint: install
	@$(BIN)/ruff check .
	@$(BIN)/lint-imports --no-cache > /dev/null || $(BIN)/lint-imports --no-cache

# What others know about what is installed (pip-audit asks pypi.org), unsafe constructs (bandit; what is left out is explained in pyproject.toml), secrets in the
# repository beyond those that were looked at (detect-secrets; examples in docs and tests stand in .secrets.baseline).
audit: install .venv-audit/.installed
	@$(BIN)/python -m learning_pipelines_tests.audit .venv-audit/bin/pip-audit
	@.venv-audit/bin/bandit -q -r learning_pipelines -c pyproject.toml
	@.venv-audit/bin/detect-secrets-hook --no-verify --baseline .secrets.baseline $$(git ls-files) || [ $$? = 3 ]  # 3: lines moved, which the file says now
	@echo "nothing unexplained"

types: install
	@$(BIN)/mypy

benchmark: install
	@$(BIN)/python -m learning_pipelines_tests.benchmarks.loop $(ARGS)

benchmark-privacy: install
	@$(BIN)/python -m learning_pipelines_tests.benchmarks.privacy $(ARGS)

benchmark-datasets: install
	@$(BIN)/python -m learning_pipelines_tests.benchmarks.datasets $(ARGS)

benchmark-agreement: install
	@$(BIN)/python -m learning_pipelines_tests.benchmarks.agreement $(ARGS)

# A policy learnt from real trajectories beside its baselines, controls, latency (about 10 minutes on a quiet machine; ARGS="--sets sgd,latency"). LEARNING_TEST_DATA names the data's folder.
benchmark-behavior: install
	@$(BIN)/python -m learning_pipelines_tests.benchmarks.behavior $(ARGS)

# Real ratings judged by a model (about 2 s a verdict with the embedded one; needs LEARNING_TEST_DATA).
benchmark-judge: install
	@$(BIN)/python -m learning_pipelines_tests.benchmarks.judge $(ARGS)

benchmark-model: install
	@$(BIN)/python -m learning_pipelines_tests.benchmarks.embedded_model $(ARGS)

# Two seeds with 100 test items took 79 minutes on two busy cores; goes on where it was interrupted. LEARNING_TEST_DATA names the folder of the data sets; ARGS="--table" only prints.
benchmark-prompts: install peer-optimizers
	@$(BIN)/python -m learning_pipelines_tests.benchmarks.prompts $(ARGS)

# About 5 minutes; with ARGS=--peers MLflow and Phoenix beside it (7 minutes), with ARGS=--features what each feature costs (7 minutes).
benchmark-service: install $(if $(findstring --peers,$(ARGS)),peer-servers)
	@$(BIN)/python -m learning_pipelines_tests.benchmarks.service $(ARGS)

# Seconds: calls until the prompt that is returned exists, gepa beside our search.
benchmark-rules: install
	@$(BIN)/python -m learning_pipelines_tests.benchmarks.rule_task $(ARGS)

# About 5 minutes: level, twenty weeks, null task (gepa beside our search), power and coverage of the gate.
benchmark-gate: install
	@$(BIN)/python -m learning_pipelines_tests.benchmarks.gate $(ARGS)

# 2 minutes: corrections of substance told from changes of style, by significance, by words, by vectors. LEARNING_TEST_DATA names the data's folder.
benchmark-significance: install
	@$(BIN)/python -m learning_pipelines_tests.benchmarks.significance $(ARGS)

# What learning adds to search on real questions (10 minutes; ARGS="--shuffled 20": feedback drawn by chance). LEARNING_TEST_DATA names the data's folder.
benchmark-retrieval: install
	@$(BIN)/python -m learning_pipelines_tests.benchmarks.retrieval $(ARGS)

# Fine-tuning and a static model beside sentence-transformers' own recipe (20 minutes on a quiet core for 512 questions: ARGS="--rows 512 --epochs 1").
benchmark-finetune: install
	@$(BIN)/python -m learning_pipelines_tests.benchmarks.finetune $(ARGS)

# The packaged language model fine-tuned on real messages by all three methods, each with its control (sft: 50 minutes on a core that ten shared; goes on where it was interrupted).
benchmark-finetuning: install
	@$(BIN)/python -m learning_pipelines_tests.benchmarks.fine_tuning $(ARGS)

# Chunks a second made anew in the database: the packaged encoder, and a static one that is distilled for it; ARGS="--chunks 10000 --static 100000".
benchmark-embedding: install
	@$(BIN)/python -m learning_pipelines_tests.benchmarks.embedding $(ARGS)

# Ways of expanding queries beside each other, by cross-validation, and edits of chunks (5 minutes).
benchmark-expansion: install
	@$(BIN)/python -m learning_pipelines_tests.benchmarks.retrieval_expansion $(ARGS)

# Searches in 100,000 chunks of five tenants: times, recall against exact, versions swapped under load (15 minutes, most of it filling).
benchmark-search: install
	@$(BIN)/python -m learning_pipelines_tests.benchmarks.search $(ARGS)

# GET /agents/{agent_id}/next-action at 100,000 demonstrated steps: the service, its policy, the packaged encoder (2 minutes).
benchmark-next-action: install
	@$(BIN)/python -m learning_pipelines_tests.benchmarks.next_action $(ARGS)

# What playbooks know on real trajectories, controls, and how seldom chance is called an anti-pattern (2 minutes of a core).
benchmark-playbooks: install
	@$(BIN)/python -m learning_pipelines_tests.benchmarks.playbooks $(ARGS)

# The dashboard over ten million feedback rows, route and page (an installed Chromium): 30 minutes of loading; ARGS="--feedback 1000000" is shorter.
benchmark-dashboard: install
	@$(BIN)/python -m learning_pipelines_tests.benchmarks.dashboard $(ARGS)

# An hourly run over 1,000 running experiments and a long history: ARGS="--feedback 10000000"; ARGS=--ingest prints what the index costs at import.
benchmark-experiment-metrics: install
	@$(BIN)/python -m learning_pipelines_tests.benchmarks.experiment_metrics $(ARGS)

# Exact comparisons: values until told beside gbstats and an oracle, false alarms, real headline tests (10 minutes). LEARNING_TEST_DATA names the data's folder.
benchmark-experiments: install peer-experiments
	@$(BIN)/python -m learning_pipelines_tests.benchmarks.experiments $(ARGS)

# Ratios and means looked at twenty times: false differences beside gbstats' formula and a t test at each look (1 minute).
benchmark-experiment-ratios: install
	@$(BIN)/python -m learning_pipelines_tests.benchmarks.experiment_ratios $(ARGS)

# Whole rollouts on simulated people: how many harmful and harmless ones are taken back (4 minutes).
benchmark-rollouts: install
	@$(BIN)/python -m learning_pipelines_tests.benchmarks.rollouts $(ARGS)

# Errors that people corrected, with and without served corrections: two tasks, three seeds, 2,700 calls of the embedded model (15 minutes).
benchmark-corrections: install
	@$(BIN)/python -m learning_pipelines_tests.benchmarks.corrections $(ARGS)

# Demonstrations picked per input: 10,000 and 100,000 examples of three tenants (10 minutes, most of it filling); ARGS=--encode asks the encoder too.
benchmark-few-shot: install
	@$(BIN)/python -m learning_pipelines_tests.benchmarks.few_shot $(ARGS)

# Documents into an index: 10,000 chunks with the packaged encoder, and 1 % changed (10 minutes). ARGS="--chunks 100000 --encoder made": without the model.
benchmark-index: install
	@$(BIN)/python -m learning_pipelines_tests.benchmarks.index $(ARGS)

# A month of a million executions and as many feedback rows archived beside ingestion (3 minutes); ARGS="--rows 10000000" (30 GB of disk).
benchmark-retention: install
	@$(BIN)/python -m learning_pipelines_tests.benchmarks.retention $(ARGS)

attacks: install
	@$(BIN)/python -m learning_pipelines_tests.benchmarks.attacks $(ARGS)

benchmark-duplicates: install
	@$(BIN)/python -m learning_pipelines_tests.benchmarks.duplicates $(ARGS)

# Questions of lineage among 1,000,000 feedback events (5 minutes, most of it filling). ARGS="--events 100000" for a smaller one.
benchmark-lineage: install
	@$(BIN)/python -m learning_pipelines_tests.benchmarks.lineage $(ARGS)

benchmark-review: install
	@$(BIN)/python -m learning_pipelines_tests.benchmarks.review_queue $(ARGS)

# Real human judgements through the annotation queue; LEARNING_TEST_DATA names the folder of the data sets.
review-real-data: install
	@$(BIN)/python -m learning_pipelines_tests.api.real_reviews $(ARGS)

clean: down
	rm -rf $(VENV) .venv-peers .venv-peer-servers .venv-peer-optimizers .venv-peer-experiments .venv-audit .learning
