# Needs git, make and Python 3.11, 3.12 or 3.13; not root. Every target sets up what it needs; a second run installs nothing.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && { echo $$p; break; }; done)
VENV := .venv
LINT := .venv-lint
LEAGUE := .venv-league
DOCS := .venv-docs
VENDOR := .venv-vendor
BI := .venv-bi
METRICS := .venv-metrics
DEPLOY := .venv-deploy
BIN := $(VENV)/bin
UV ?= $(shell command -v uv)
LOCKED := pip install --quiet --no-deps --require-hashes
# $(call install,FOLDER,FILE,WHEN): the packages locked in FILE, by uv where there is one, which takes a third of the time, else
# by pip. WHEN is `now`, or `later` for those of which little is imported: modules are compiled when they first are.
define install
test -n "$(PYTHON)" || { echo "No Python 3.11, 3.12 or 3.13 found; install one or say make PYTHON=/path/to/python3.11" >&2; exit 1; }; \
test -x $(1)/bin/python || $(PYTHON) -m venv $(if $(UV),--without-pip) $(1); \
$(if $(UV),$(UV) $(LOCKED) $(if $(filter now,$(3)),--compile-bytecode) --python $(1)/bin/python --requirement $(2) 2>/dev/null ||) \
{ $(if $(UV),$(1)/bin/python -m ensurepip >/dev/null &&) $(1)/bin/python -m $(LOCKED) --disable-pip-version-check \
	$(if $(filter later,$(3)),--no-compile) --requirement $(2); }
endef

.PHONY: help celery environments setup nightly tour test collect sweeps simulate month-ends simulate-submissions forecast fuzz crash cluster first-load soak incidents shared-store dev bi lint lint-code lint-sql lint-types lint-conventions format bench league metrics image docs wheel lock clean
.DEFAULT_GOAL := help

help: ## what can be made
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(VENV)/.ready ## virtual environment with locked dependencies, and the dbt manifest
	@$(BIN)/python -m debitura_pipeline.orchestration.manifest

nightly: setup ## the main job once, a simulated night later each time unless the settings say otherwise
	@$(BIN)/debitura nightly

tour: setup ## a partner's five steps, from a roster's row to a fee in the report, in folder tour/
	@$(BIN)/debitura tour $(ARGS)

celery: $(VENV)/.ready-celery ## what `debitura worker` needs in addition: Celery with Redis

environments: $(LINT)/.ready $(VENV)/.ready-dev $(VENV)/.ready-celery $(VENDOR)/.ready $(BI)/.ready $(METRICS)/.ready $(DEPLOY)/.ready ## all that lint and test need

WORKERS ?= 3
test: setup $(VENV)/.ready-dev $(VENV)/.ready-celery $(VENDOR)/.ready $(BI)/.ready $(METRICS)/.ready $(DEPLOY)/.ready ## every test, on real parts, WORKERS=3 at a time
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

collect: $(VENV)/.ready-dev $(VENV)/.ready-celery ## compile the tests once, which each worker of `make test` would do otherwise
	@mkdir -p build
	@$(BIN)/python -m pytest --collect-only --quiet >build/collected.txt || { tail -40 build/collected.txt; exit 1; }

sweeps: export TEST_DAY = all
sweeps: test ## the tests, each with all the cases of which `make test` takes some by the day; an hour or more

SEEDS ?= 20000
simulate: setup $(VENV)/.ready-dev ## many histories of a moving world (SEEDS=20000), two at a time
	@$(BIN)/python -m tests.simulation --seeds $(SEEDS)

PAGES ?= 5000
fuzz: setup $(VENV)/.ready-dev ## damaged pages through both parsers (PAGES=5000 of each listing)
	@FUZZ_PAGES=$(PAGES) $(BIN)/python -m pytest -n auto tests/landing/test_fuzz.py $(ARGS)

crash: setup $(VENV)/.ready-dev ## SIGKILL at every write point and at 200 random moments, both engines; hours
	@$(BIN)/python -m tests.crash $(ARGS)

cluster: setup $(VENV)/.ready-dev $(VENV)/.ready-celery ## nights of several partners on two Celery workers, as on one machine; ARGS="--kills 50" kills processes
	@$(BIN)/python -m tests.cluster $(ARGS)

first-load: setup $(VENV)/.ready-dev $(VENV)/.ready-celery ## first loads alone and with workers, equal row by row; ARGS="--cases 100000 --limited", "--kills 20"
	@$(BIN)/python -m tests.first_load $(ARGS)

NIGHTS ?= 400
month-ends: setup $(VENV)/.ready-dev ## hundreds of nights of a small world: the past stays as published, the waterfall closes (NIGHTS=400)
	@$(BIN)/python -m tests.month_ends --nights $(NIGHTS)

simulate-submissions: setup $(VENV)/.ready-dev ## 2,000 claims per engine through lost answers and crashes over HTTP; the protocol's larger model
	@$(BIN)/python -m tests.submission.histories
	@$(BIN)/python -m tests.submission.histories --engine postgresql --first 201
	@SUBMISSION_KILLS=50 $(BIN)/python -m pytest -q tests/submission/test_killed.py
	@LARGE_MODEL=1 $(BIN)/python -m pytest -q tests/submission/test_model.py

soak: setup $(VENV)/.ready-dev ## two weeks without anybody looking: outages, kills, a full disk; as root, an hour or two
	@$(BIN)/python -m tests.soak $(ARGS)

incidents: setup $(VENV)/.ready-dev ## real nights with one thing wrong each: one message when it opens, one when it is over
	@$(BIN)/python -m tests.incidents $(ARGS)

forecast: setup $(VENV)/.ready-dev ## years of simulated nights: how often the forecast's band holds; a quarter of an hour
	@$(BIN)/python -m tests.forecast $(ARGS)

shared-store: setup $(VENV)/.ready-dev ## nights killed at every request to an S3 server and at random moments; another machine goes on; an hour or two
	@$(BIN)/python -m tests.shared_store $(ARGS)

flow: setup $(VENV)/.ready-dev ## the whole flow with real daemon and receiver, with the time of each step; three minutes
	@$(BIN)/python -m tests.flow

dev: setup ## Dagster UI, daemon, schedule and sensors
	@$(BIN)/debitura dev

bi: $(BI)/.ready ## dashboards on the published file or on Postgres, http://127.0.0.1:8501 (ARGS="--port N")
	@$(BI)/bin/python -m bi $(ARGS)

lint: lint-code lint-sql lint-types lint-conventions ## format, lint (SQL too), strict types and conventions, nothing changed

lint-code: $(LINT)/.ready
	@$(LINT)/bin/ruff format --check .
	@$(LINT)/bin/ruff check .

lint-sql: $(LINT)/.ready
	@cd dbt && ../$(LINT)/bin/sqlfluff lint --processes 2 --disable-progress-bar --nocolor models tests

lint-types: $(LINT)/.ready $(VENV)/.ready-dev $(VENV)/.ready-celery
	@$(LINT)/bin/mypy

lint-conventions: $(VENV)/.ready-dev $(VENV)/.ready-celery
	@$(BIN)/python -m tools.conventions

format: $(LINT)/.ready ## put the code in form
	@$(LINT)/bin/ruff format .
	@$(LINT)/bin/ruff check --fix .
	@cd dbt && ../$(LINT)/bin/sqlfluff fix --quiet --disable-progress-bar models tests

bench: setup $(VENV)/.ready-dev ## the benchmarks of bench/README.md
	@$(BIN)/python -m bench $(ARGS)

league: setup $(VENV)/.ready-dev $(LEAGUE)/.ready ## the same worlds through this pipeline, dlt and a plain script
	@$(BIN)/python -m bench.league --peers $(LEAGUE)/bin/python $(ARGS)

metrics: setup $(METRICS)/.ready ## the SQL of every saved query of the metrics, build/metrics/duckdb and build/metrics/postgres
	@for engine in duckdb postgres; do \
		$(METRICS)/bin/python -I tools/metrics/compile.py dbt/target/semantic_manifest.json $$engine build/metrics/$$engine; done

image: setup $(VENV)/.ready-dev ## the Containerfile carried out without an engine, and a night in the result; as root, three minutes
	@$(BIN)/python -m tests.deploy.image

docs: setup $(DOCS)/.ready ## the documentation site, build/site/index.html; any broken link is an error
	@$(BIN)/python -m tools.docs
	@NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/mkdocs --quiet build --strict --clean
	@$(BIN)/python -m tools.docs.dbt_site build/site
	@$(BIN)/python -m tools.docs.offline build/site

wheel: setup ## the Python packages as a wheel, in build/wheel
	@rm -rf build/lib build/bdist.* build/wheel
	@$(BIN)/python -m pip --quiet --disable-pip-version-check wheel --no-deps --no-build-isolation --wheel-dir build/wheel .
	@$(BIN)/python -m tools.conventions.wheel build/wheel/*.whl

lock: ## new locks from requirements*.in (needs uv on the PATH)
	@for set in requirements requirements-dev requirements-lint requirements-league requirements-docs requirements-vendor requirements-bi \
		requirements-metrics requirements-celery requirements-kubernetes requirements-deploy requirements-uv; do \
		uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
			--no-header $$set.in --output-file $$set.txt; done

clean: ## remove environments and caches, never the data
	rm -rf $(VENV) $(LINT) $(LEAGUE) $(DOCS) $(VENDOR) $(BI) $(METRICS) $(DEPLOY) build *.egg-info dbt/target dbt/logs .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(VENV)/.ready: requirements.txt pyproject.toml
	@echo "Setting up $(VENV) (once; a minute or three, most of it downloads)"
	@echo "Installing $$(grep -c '==' requirements.txt) locked packages; it says nothing until it is done"
	@$(call install,$(VENV),requirements.txt,now)
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip >/dev/null
	@$(BIN)/python -m pip --quiet --disable-pip-version-check install --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.ready-dev: $(VENV)/.ready requirements-dev.txt
	@echo "Adding what the tests need"
	@$(call install,$(VENV),requirements-dev.txt,now)
	@touch $@

$(VENV)/.ready-celery: $(VENV)/.ready requirements-celery.txt
	@echo "Adding Celery"
	@$(call install,$(VENV),requirements-celery.txt,now)
	@touch $@

$(LINT)/.ready: requirements-lint.txt
	@echo "Setting up $(LINT) (once)"
	@$(call install,$(LINT),$<,later)
	@touch $@

$(LEAGUE)/.ready: requirements-league.txt
	@echo "Setting up $(LEAGUE) (once): what the pipeline is compared with"
	@$(call install,$(LEAGUE),$<,now)
	@touch $@

$(DOCS)/.ready: requirements-docs.txt
	@echo "Setting up $(DOCS) (once)"
	@$(call install,$(DOCS),$<,later)
	@touch $@

$(VENDOR)/.ready: requirements-vendor.txt
	@echo "Setting up $(VENDOR) (once): the vendor's own client, which drives the sandbox in the tests"
	@$(call install,$(VENDOR),$<,later)
	@touch $@

$(BI)/.ready: requirements-bi.txt
	@echo "Setting up $(BI) (once): Streamlit, for the dashboards"
	@$(call install,$(BI),$<,later)
	@touch $@

$(METRICS)/.ready: requirements-metrics.txt
	@echo "Setting up $(METRICS) (once): MetricFlow, which compiles the metrics"
	@$(call install,$(METRICS),$<,later)
	@touch $@

$(DEPLOY)/.ready: requirements-deploy.txt
	@echo "Setting up $(DEPLOY) (once): linters and schemas for the files in deploy/"
	@$(call install,$(DEPLOY),$<,later)
	@touch $@
