# Needs make and a Python of 3.11 to 3.13; everything else comes from PyPI into .venv.
PYTHON ?= python3
AIRFLOW ?= 3.3
# The folder of `make up`; IN=.demo shows what the demo made.
IN ?= .up
CONSTRAINTS := constraints/airflow-$(AIRFLOW).txt
READY := .venv/ready-$(AIRFLOW)
SPEC := pyproject.toml hatch_build.py airflow_ml_provider/__init__.py
export PATH := $(CURDIR)/.venv/bin:$(PATH)
# Set, it has each of Airflow's many processes compile Airflow anew.
unexport PYTHONDONTWRITEBYTECODE
.DEFAULT_GOAL := help
.PHONY: help demo demo-streams up test check bench soak constraints clean

help: ## what can be made
	@sed -n 's/^\([a-z-]*\):.*## /  \1\t/p' $(MAKEFILE_LIST)

$(READY): $(SPEC) $(CONSTRAINTS)
	@echo "Installing into .venv (Airflow $(AIRFLOW)); the first time takes some minutes"
	@test -x .venv/bin/python || $(PYTHON) -m venv .venv
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check uv -c $(CONSTRAINTS)
	@.venv/bin/uv pip install --quiet --python .venv/bin/python -c $(CONSTRAINTS) --group dev -e ".[all]"
	@.venv/bin/python -c "from airflow_ml_provider.backends.local.java import find_jdk; find_jdk()" 2>/dev/null \
	    || .venv/bin/uv pip install --quiet --python .venv/bin/python -c $(CONSTRAINTS) -e ".[all,jdk]"
	@rm -f .venv/ready-* && touch $@

demo: $(READY) ## run the DAG flight_delays on this machine and sum it up
	@python -m scripts.demo

demo-streams: $(READY) ## the same for flight_streams, with a Kafka broker and a key-value store
	@python -m scripts.demo --dag flight_streams

up: $(READY) ## Airflow and MLflow for the browser, until Ctrl-C
	@python -m scripts.up --home $(IN)

check: $(READY) ## format, lint, types and import rules
	ruff check .
	ruff format --check .
	mypy --num-workers 2
	lint-imports --no-logo

test: check ## check, then every test
	pytest -m "not soak" --numprocesses 3 --no-loadscope-reorder --durations 25

bench: $(READY) ## the benchmarks
	@for name in parse_cost cluster_start small_job dag_steps mounts api_calls log_pages warm_job adf_parse notebook_prints; do echo "== $$name"; python benchmarks/$$name.py || exit 1; done

soak: $(READY) ## storms of kills and faults: SOAK_MINUTES, SOAK_SEED, SOAK_RUNS
	pytest -m soak -s

constraints: $(READY) ## resolve the constraints of every supported Airflow anew
	python -m scripts.constraints

clean: ## remove what the other targets made
	rm -rf .venv .demo .up .cache dist
