# Every target does its own set-up in .venv; a second call is quick. Only Python 3.11+ and make are needed.

VENV := .venv
BIN := $(VENV)/bin
# The first Python here that is new enough; `make PYTHON=/path/to/python test` chooses another.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help demo demo-llamacpp demo-gemma test fuzz coverage mutate check format dashboards bench bench-peers reproduce-tables influxd up down lock audit clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/runtime.done ## Sweep the built-in simulator: the whole path in under a minute, offline
	@$(BIN)/tokenswarm demo

demo-llamacpp: $(VENV)/llamacpp.done ## The same against a real llama.cpp server with a tiny random model
	@$(BIN)/tokenswarm demo --server llamacpp

demo-gemma: $(VENV)/gemma.done ## The same with Gemma 3 270M: real text, slow on a CPU (Gemma terms apply)
	@$(BIN)/tokenswarm demo --server gemma

test: $(VENV)/dev.done ## All tests, real llama.cpp servers included
	@sh tests/all.sh $(BIN)/python $(PYTEST_ARGS)

fuzz: $(VENV)/dev.done ## The property tests with new random examples, ten times as many
	@$(BIN)/python -m pytest -m hypothesis --hypothesis-profile=random $(PYTEST_ARGS)

coverage: $(VENV)/dev.done ## Branch coverage of the core by its own tests; fails under 90 %
	@$(BIN)/python tests/core_coverage.py

mutate: $(VENV)/dev.done ## Mutation tests of the core's arithmetic: a change of it that no test notices (20 minutes; MUTATE_ARGS="http1 sse")
	@cd tests && ../$(BIN)/python -m mutation $(MUTATE_ARGS)

check: $(VENV)/dev.done ## Lint, format and types; are dashboards and licences what their source makes?
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/python -m harness.grafana.files --check
	@$(BIN)/python requirements/licences.py --check

format: $(VENV)/dev.done ## Format the code
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

dashboards: $(VENV)/runtime.done ## Write dashboards/*.json from harness/grafana
	@$(BIN)/python -m harness.grafana.files

bench: $(VENV)/runtime.done ## How exact the client is and what an event costs, against a C server's truth (half an hour; BENCH_ARGS=--quick)
	@$(BIN)/python bench/bench.py $(BENCH_ARGS)

bench-peers: $(VENV)/runtime.done ## The same load with aiperf, guidellm, evalscope and inference-perf (8 GB to install once; BENCH_ARGS=--help)
	@$(BIN)/python bench/peers.py $(BENCH_ARGS)

reproduce-tables: $(VENV)/runtime.done ## Published benchmarks once more, against profiles of the published systems (10 minutes; REPRODUCE_ARGS=--help)
	@$(BIN)/python -m harness.reproduce $(REPRODUCE_ARGS)

up: ## InfluxDB, Grafana, Locust's master and workers in Docker, with dashboards, on 127.0.0.1
	@sh deploy/compose/up.sh

down: ## Stop what `make up` started; its data stays
	@sh deploy/compose/down.sh

influxd: ## A real InfluxDB 2.8 for the tests, built from source into the cache (Go and Rust; five minutes, once)
	@tests/influxd/build.sh

lock: $(VENV)/dev.done ## Pin every dependency anew in requirements/
	@$(PIP) install uv
	@for set in runtime:build llamacpp:llamacpp gemma:gemma dev:dev; do \
		groups="--group build"; \
		case $$set in llamacpp:*) groups="$$groups --extra llamacpp";; gemma:*) groups="$$groups --extra gemma";; \
			dev:*) groups="$$groups --group dev --extra gemma";; esac; \
		$(BIN)/uv pip compile pyproject.toml $$groups --universal --python-version 3.11 --generate-hashes \
			--no-header --no-emit-index-url --no-emit-find-links --quiet \
			$$([ $${set%:*} = runtime ] || echo -c requirements/runtime.lock) -o requirements/$${set%:*}.lock || exit; \
	done
	@$(BIN)/python requirements/licences.py

audit: $(VENV)/dev.done ## Known vulnerabilities of the pinned packages (asks PyPI and needs its JSON pages)
	@$(PIP) install pip-audit
	@$(BIN)/pip-audit --strict --disable-pip --require-hashes -r requirements/runtime.lock -r requirements/llamacpp.lock

clean: ## Remove what the targets made, results excepted
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist

$(VENV)/bin/python:
	@[ -n "$(PYTHON)" ] || { echo "tokenswarm needs Python 3.11 or newer; none was found (make PYTHON=/path/to/python3.11 ...)" >&2; exit 2; }
	@echo "making $(VENV) with $(PYTHON)"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 2; }

# One stamp a lock file: installed anew only when the lock or the package's metadata changes.
$(VENV)/%.done: requirements/%.lock pyproject.toml | $(VENV)/bin/python
	@echo "installing requirements/$*.lock into $(VENV) (once)"
	@$(PIP) install --require-hashes -r requirements/$*.lock
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@
