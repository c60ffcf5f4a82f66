# Every target is a line of `make help`; CI runs these targets and nothing else (.ci/run).
BIN := .venv/bin
PYTHON ?= python3
ARGS ?=
JOBS ?= 2
PYTEST_ARGS ?=
BENCH_ARGS ?=
PINS_ARGS ?=
FUZZ_ARGS ?=
CHAOS_ARGS ?=
RELEASE_ARGS ?=
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
  --annotation-style line $(PINS_ARGS) pyproject.toml --all-extras --group build
export PYTHON

.PHONY: help serve setup dev test lint fmt type bench emulators fuzz chaos docs site pins release ci
.DEFAULT_GOAL := help

help: ## This list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/\1|\2/p' Makefile | while IFS='|' read -r t d; do printf '%-8s %s\n' "$$t" "$$d"; done

serve: setup ## Run the server: make serve ARGS="--port 5100 --dev"
	@$(BIN)/ecrate serve $(ARGS)

setup: .venv/.stamp-run ## Make .venv with what ecrate needs to run

dev: .venv/.stamp-dev ## The same, with what the tests and linters need

.venv/.stamp-run: requirements/run.txt pyproject.toml tools/venv
	tools/venv .venv $<
	@touch $@

.venv/.stamp-dev: requirements/dev.txt requirements/run.txt pyproject.toml tools/venv
	tools/venv .venv $<
	@touch .venv/.stamp-run $@

test: dev ## Run the tests: make test PYTEST_ARGS="tests/aws -k put_image"
	@tools/system-packages
	tools/with-scratch $(BIN)/pytest -n $(JOBS) $(PYTEST_ARGS)

lint: dev ## Check format, style, types and layers
	$(BIN)/ruff format --check . && $(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

fmt: dev ## Format the code and apply the linter's safe fixes
	$(BIN)/ruff check --fix-only --quiet . ; $(BIN)/ruff format .

type: dev ## Check the types only
	$(BIN)/mypy

bench: dev ## Measure: make bench BENCH_ARGS="push pull"
	@tools/system-packages
	$(BIN)/python -m benchmarks $(BENCH_ARGS)

emulators: dev .venv-peers/.stamp ## Measure every operation beside moto's server and MiniStack
	$(BIN)/python -m benchmarks.emulators $(BENCH_ARGS)

.venv-docs/.stamp: requirements/docs.txt tools/venv
	tools/venv .venv-docs $<
	@touch $@

.venv-peers/.stamp: requirements/peers.txt tools/venv
	tools/venv .venv-peers $<
	@touch $@

fuzz: dev ## Fuzz the parsers: make fuzz FUZZ_ARGS="--seconds 600 manifest"
	$(BIN)/python -m tools.fuzz $(FUZZ_ARGS)

chaos: dev ## Break things at random while clients work: make chaos CHAOS_ARGS="--seconds 600 --backend sqlite KillNode"
	@tools/system-packages
	$(BIN)/python -m tools.chaos $(CHAOS_ARGS)

docs: dev ## Write the generated pages of docs/, and man pages to .venv/share/man, where man finds them
	$(BIN)/python -m tools.operations
	$(BIN)/python -m tools.observability
	$(BIN)/python -m tools.errors
	$(BIN)/python -m tools.options
	$(BIN)/python -m tools.man .venv/share/man

site: .venv-docs/.stamp ## Make build/site of docs/; a warning fails it
	.venv-docs/bin/python -m sphinx --fresh-env --fail-on-warning --keep-going --quiet docs build/site
	@! grep -rnE '<(script|link|img|iframe)[^>]*"(https?:)?//' --include='*.html' build/site  # nothing from elsewhere

pins: dev ## Compile requirements/*.txt again: make pins PINS_ARGS=--upgrade
	$(COMPILE) --output-file requirements/run.txt
	$(COMPILE) --group dev --constraint requirements/run.txt --output-file requirements/dev.txt
	$(subst pyproject.toml --all-extras,,$(COMPILE)) --group peers --output-file requirements/peers.txt
	$(subst pyproject.toml --all-extras,,$(COMPILE)) --group docs --output-file requirements/docs.txt

release: dev ## Build wheel, sdist, image and chart of this commit: make release RELEASE_ARGS=/tmp/dist
	$(BIN)/python -m tools.release $(RELEASE_ARGS)

ci: lint test site ## What CI runs
