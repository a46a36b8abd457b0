# Two commands on a machine with Python 3.11+ and make: `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/bin
# What one test process has compiled, the others and the next run can use: it is half of the time before the first test.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test test-fast properties coverage release-check container lint with-airflow airflow-test telemetry-test with-collector schemas docs kill-test workers-test ledger-test mutants bench bench-extract bench-validate bench-ledger bench-paced bench-nested bench-pages bench-transports lock clean

help: ## what can be made
	@sed -n 's/^\([a-z-]*\):.*## /\1 ## /p' $(MAKEFILE_LIST) | awk -F ' ## ' '{printf "%-14s %s\n", $$1, $$2}'

.venv/done: .ci/constraints.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed; name one with PYTHON=") if sys.version_info < (3, 11) else 0'
	$(PYTHON) -m venv --clear .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r .ci/constraints.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

# mypy reads the libraries once, as pip compiles them: what `make lint` checks is our code.
.venv/types: .venv/done
	$(BIN)/python -m tests.library_types
	@touch $@

demo: .venv/done ## run a real job against the embedded sandbox, and show its report
	$(BIN)/cio-etl demo .

lint: .venv/types ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# More workers than cores: many tests wait for servers, time-outs and other processes.
WORKERS ?= 4

test: .venv/types with-airflow with-collector ## ruff, mypy and every test, side by side
	@$(MAKE) --no-print-directory -j2 lint pytest

.PHONY: pytest
pytest: .venv/done
	$(BIN)/pytest -n $(WORKERS) --dist worksteal

test-fast: .venv/done ## the tests of pure code, in less than a minute on 2 quiet cores
	$(BIN)/pytest -n 2 --dist worksteal -m "not slow"

properties: .venv/done ## every property with all of its examples, of which `make test` tries a share (some 2 minutes)
	$(BIN)/pytest -n 2 --dist worksteal --all-examples -m property

coverage: .venv/done ## every test, and which lines no test has run; prints, and fails for nothing
	$(BIN)/pytest -n $(WORKERS) --dist worksteal --cov=cio_etl --cov-report=term:skip-covered

.venv-airflow/done: tests/with_airflow/constraints.txt pyproject.toml
	$(PYTHON) -m venv --clear .venv-airflow
	.venv-airflow/bin/pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: \
		-r tests/with_airflow/constraints.txt
	.venv-airflow/bin/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

with-airflow: ## build .venv-airflow for the tests with Airflow; without it they are skipped
	@$(MAKE) --no-print-directory .venv-airflow/done || echo "no .venv-airflow: the tests with Airflow are skipped"

airflow-test: with-airflow ## every test with Airflow, the long ones too (some 4 minutes)
	PYTHONPATH=.:etl .venv-airflow/bin/python -m pytest -c tests/with_airflow/pytest.ini --rootdir tests/with_airflow \
		--confcutdir tests/with_airflow --all tests/with_airflow

.venv-telemetry/done: tests/telemetry/constraints.txt
	$(PYTHON) -m venv --clear .venv-telemetry
	.venv-telemetry/bin/pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: \
		-r tests/telemetry/constraints.txt
	@touch $@

with-collector: ## build .venv-telemetry, a collector of OpenTelemetry for the tests; without it they are skipped
	@$(MAKE) --no-print-directory .venv-telemetry/done || echo "no .venv-telemetry: the tests with a collector are skipped"

telemetry-test: .venv/done with-collector ## every test of metrics and traces, also with a collector of another maker
	$(BIN)/pytest tests/telemetry

schemas: .venv/done ## write the JSON Schemas of jobs, mappings and their tests, which editors read
	$(BIN)/cio-etl schema job > jobs/.schema.json
	$(BIN)/cio-etl schema mapping > mappings/.schema.json
	$(BIN)/cio-etl schema tests > mappings/tests/.schema.json

docs: .venv/done ## write the reference tables of the README files again
	$(BIN)/python -m tests.docs.generate

kill-test: .venv/done ## 200 kills -9 at random moments under faults (some 8 minutes)
	$(BIN)/python -m tests.killing --kills 200

workers-test: .venv/done ## four workers on one state database, killed, stopped and doubled at random (10 minutes)
	$(BIN)/python -m tests.workers --minutes 10

ledger-test: .venv/done ## 600 nights that send only what changed, with kills and refusals, beside models (some 30 minutes)
	$(BIN)/python -m tests.ledger_nights --nights 200 --api track
	$(BIN)/python -m tests.ledger_nights --nights 100 --api pipelines
	$(BIN)/python -m tests.mirror_nights --nights 200 --api track
	$(BIN)/python -m tests.mirror_nights --nights 100 --api pipelines

.venv-bench/done: tests/benchmarks/constraints.txt
	$(PYTHON) -m venv --clear .venv-bench
	.venv-bench/bin/pip install --quiet --disable-pip-version-check --require-hashes -r tests/benchmarks/constraints.txt
	@touch $@

mutants: .venv/done ## seed some 110 defects, one after the other, and see their tests fail (some 7 minutes)
	$(BIN)/python -m tests.mutants

bench: .venv/done .venv-bench/done ## the whole command beside other tools, in ratios
	$(BIN)/python -m tests.benchmarks.run
	$(BIN)/python -m tests.benchmarks.lanes

bench-extract: .venv/done .venv-bench/done ## reading from databases beside other tools, in ratios
	$(BIN)/python -m tests.benchmarks.extract

bench-validate: .venv/done ## `validate` beside mapping and packing alone
	$(BIN)/python -m tests.benchmarks.validate

bench-ledger: .venv/done ## a run that sends only what changed, beside `validate` and a run that sends all
	$(BIN)/python -m tests.benchmarks.ledger

bench-paced: .venv/done ## full bodies at 100 and 1,000 requests a second, by one process and by several (some 6 minutes)
	$(BIN)/python -m tests.benchmarks.paced

bench-nested: .venv/done ## rows with 20 nested values, beside 20 columns
	$(BIN)/python -m tests.benchmarks.nested

bench-pages: .venv/done ## the pages of `cio-etl ui` over 1,000 runs and a million rejects
	$(BIN)/python -m tests.benchmarks.pages

bench-transports: .venv/done .venv-bench/done ## what a request costs by our own connection, httpcore, httpx, httpx2 and pyreqwest
	$(BIN)/python -m tests.benchmarks.transports

.venv-release/done: tests/release/constraints.txt
	$(PYTHON) -m venv --clear .venv-release
	.venv-release/bin/pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: \
		-r tests/release/constraints.txt
	@touch $@

release-check: .venv-release/done ## build wheel and sdist, try the wheel in an empty environment, look for weaknesses (some 2 minutes)
	.venv-release/bin/python -m tests.release.check

container: ## build the container and run its demo, with podman, buildah or docker; BASE=debian needs no image registry
	tests/release/container.sh $(BASE)

# What the tests read from: real databases and stores, and the files of other tools.
TESTED := postgres mysql duckdb storage aws delta iceberg excel otel

lock: ## pin the current version of every dependency (needs uv)
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --group dev \
		$(TESTED:%=--extra %) pyproject.toml -o .ci/constraints.txt
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		--extra airflow pyproject.toml tests/with_airflow/requirements.in -o tests/with_airflow/constraints.txt
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		tests/release/requirements.in -o tests/release/constraints.txt
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		--prerelease allow tests/telemetry/requirements.in -o tests/telemetry/constraints.txt

clean: ## remove what was built
	rm -rf .venv .venv-bench .venv-airflow .venv-release .venv-telemetry dist .etl .pytest_cache .ruff_cache
