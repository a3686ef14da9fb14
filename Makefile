# Every target does its own set-up: Python 3.11+, make and git are enough.
# ARGS are handed on (make demo ARGS=--no-serve); TORCH_INDEX names another package index for torch (README).

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
BROWSER_TESTS := learning_pipelines_tests/browser
TEST_ARGS := -n 4 --dist loadfile --no-loadscope-reorder -m 'not slow' --ignore $(BROWSER_TESTS)
MEASURED := test-artifacts/coverage
PEERS := .venv-peers/.installed
PEER_SERVERS := .venv-peer-servers/.installed
PEER_OPTIMIZERS := .venv-peer-optimizers/.installed
PEER_EXPERIMENTS := .venv-peer-experiments/.installed
PIP_ARGS := -c constraints.txt $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))

# Compiled modules are kept, whatever the shell says: tests start hundreds of processes, each of which would compile the package anew (0.8 s).
export PYTHONDONTWRITEBYTECODE :=

.PHONY: audit install demo up down learning-worker learning-scheduler learning-optimize learning-train learning-analyze learning-cleanup learning-report learning-status learning-test-all test tests test-browser test-slow coverage lint types fuzz outage chaos mutants state-machines behavior-story peers peer-servers peer-optimizers peer-experiments review-real-data scale-out clean

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed, $(PYTHON) is older: make $(MAKECMDGOALS) PYTHON=python3.11"; exit 1; }
	@echo "Installing into $(VENV) (3 GB, with CUDA 6.6: a few minutes the first time) …"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --disable-pip-version-check --no-compile $(PIP_ARGS) -e '.[dev]'
	@$(BIN)/python -m compileall -qq -j 0 --invalidation-mode timestamp $(VENV)/lib || true  # on every core, as pip would not; some packages hold files that are no Python
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

# The jobs by hand, through Dagster, with or without a scheduler; ARGS="--organization acme", "--json", of the first two "--agent desk". Their own schedules
# are in the README.
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

# Four workers on two cores, because half of the time each waits for processes and servers; each with a server and homes of its own; the tests of a file stay together, since they share what is slow to set up.
# The longest files come first (conftest.py); xdist itself would begin with those of the most tests and end with stories of ten tests and minutes.
# Of threads one each: on matrices as small as these, two per worker wait for each other in loops (a policy's tests: 8 s of CPU instead of 27).
# Types are checked beside the tests: what they find stands between the dots, and the target fails at its end.
test:
	@$(MAKE) --no-print-directory --jobs=2 install peers lint
	@$(MAKE) --no-print-directory --jobs=2 types tests

tests: install
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(TEST_ARGS) $(ARGS)

# What `make test` runs of the package, also in the processes that it starts, line by line and branch by branch; then docs/untested.md is written of it.
coverage: install peers
	@rm -rf $(MEASURED)
	@OMP_NUM_THREADS=1 $(BIN)/coverage run -m pytest $(TEST_ARGS) $(ARGS) || { echo "With tests that fail the list would name too much."; exit 1; }
	@$(BIN)/coverage combine -q && $(BIN)/coverage json -q && $(BIN)/coverage html -q
	@$(BIN)/python -m learning_pipelines_tests.docs.untested

# What `make test` leaves out: simulations at their full size, stories of many processes.
test-slow: install
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m slow $(ARGS)

# In Chromium (Debian's package chromium, or LEARNING_CHROMIUM); what needs packages from npm is skipped where npm is not installed.
test-browser: install
	@if command -v npm > /dev/null; then npm ci --prefix $(BROWSER_TESTS) --no-audit --no-fund --loglevel=error; else echo "npm is not installed: what needs its packages is skipped"; fi
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 3 --dist loadfile --timeout 150 -m 'not slow' $(BROWSER_TESTS) $(ARGS)

fuzz: install
	@FUZZ_CASES=10000 $(BIN)/python -m pytest --tb=line learning_pipelines_tests/api/test_fuzz.py $(ARGS)

outage: install
	@OUTAGE_SECONDS=60 $(BIN)/python -m pytest learning_pipelines_tests/client/test_against_the_service.py $(ARGS)

# Kills every part of a running system at random and fills its disk (as root, on a disk of its own), then checks what must hold: 200 blows take about 40 minutes.
chaos: install
	@$(BIN)/python -m learning_pipelines_tests.chaos $(if $(ARGS),$(ARGS),--events 200 --seed 7)

# The prompt registry, the annotation queue and experiments against models of them: 300 stories each instead of the few of `make test`.
state-machines: install
	@STATE_MACHINES=300 $(BIN)/python -m pytest learning_pipelines_tests/chaos -k "model" $(ARGS)

# Learning behaviour end to end, with the packaged encoder and the command line as processes (two minutes).
behavior-story: install
	@BEHAVIOR_STORY=1 $(BIN)/python -m pytest learning_pipelines_tests/test_behavior_end_to_end.py $(ARGS)

# Small wrong changes of the modules that decide (acceptance, sequential analysis, splits, policies), which tests must notice; fails on one that survives and
# stands in no explanation (learning_pipelines_tests/mutants/explained.toml). ARGS="acceptance", ARGS="experiments/exact splits".
mutants: install
	@OMP_NUM_THREADS=1 $(BIN)/python -m learning_pipelines_tests.mutants $(ARGS)

lint: install
	@$(BIN)/ruff check .
	@$(BIN)/lint-imports --no-cache > /dev/null || $(BIN)/lint-imports --no-cache

# Unsafe constructs (bandit; what is left out is explained in pyproject.toml), secrets in the repository beyond those that were looked at (detect-secrets; examples
# in docs and tests stand in .secrets.baseline), and last, since it asks pypi.org, what others know about what is installed (pip-audit).
audit: install .venv-audit/.installed
	@.venv-audit/bin/bandit -q -r learning_pipelines -c pyproject.toml
	@.venv-audit/bin/detect-secrets-hook --no-verify --baseline .secrets.baseline $$(git ls-files) || [ $$? = 3 ]  # 3: lines moved, which the file says now
	@$(BIN)/python -m learning_pipelines_tests.audit .venv-audit/bin/pip-audit
	@echo "nothing unexplained"

types: install
	@$(BIN)/mypy

.PHONY: bench bench-list bench-table

# All benchmarks at small sizes, one after the other (an hour); their results go to benchmarks/results/quick. What cannot run here is named at the end.
bench: install peer-servers peer-optimizers peer-experiments
	@$(BIN)/python -m benchmarks --all --quick

# One in full: `make bench-service`; `make bench-list` shows which there are. ARGS are the benchmark's own (`make bench-search ARGS="--chunks 20000"`), or
# `--quick`. A run without ARGS is kept in benchmarks/results, one with ARGS below LEARNING_HOME, or with `--publish` among them in benchmarks/results too.
bench-%: install
	@$(BIN)/python -m benchmarks $* $(ARGS)

bench-list: install
	@$(BIN)/python -m benchmarks --list

# The README's table, made of benchmarks/results.
bench-table: install
	@$(BIN)/python -m benchmarks --table

# Peers where they take part: in full always, with ARGS where these say so.
bench-service: $(if $(if $(ARGS),$(findstring --peers,$(ARGS)),always),peer-servers)
bench-few-shot: $(if $(if $(ARGS),$(findstring --peer,$(ARGS)),always),peer-optimizers)
bench-prompts: peer-optimizers
bench-experiments: peer-experiments

# Real human judgements through the annotation queue; LEARNING_TEST_DATA names the folder of the data sets.
review-real-data: install
	@$(BIN)/python -m learning_pipelines_tests.api.real_reviews $(ARGS)

# 1,000 agents on two workers of separate file systems, one of them killed in the middle; needs root for the file systems, and redis-server (Debian's package).
scale-out: install
	@$(BIN)/python -m learning_pipelines_tests.scale_out.story $(ARGS)

clean: down
	rm -rf $(VENV) .venv-peers .venv-peer-servers .venv-peer-optimizers .venv-peer-experiments .venv-audit .learning
