# Two commands do all the set-up: `make run` serves, `make test` tests.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
BARE   := .venv-bare
NOT_BARE := backends conformance faults test_bench.py test_deploy.py test_garbage.py

.PHONY: help run test fuzz bare check audit backends loki protobuf bench format clean

help: ## say what can be made
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

run: $(READY) ## serve on 127.0.0.1:8080
	@echo "Sonda answers on http://127.0.0.1:8080 in a moment. From another terminal:"
	@echo
	@sed -n '/<!-- first curl -->/,/^```$$/p' README.md | grep -v -e '^```' -e '<!--'
	@echo
	@exec $(BIN)/sonda-server

test: $(READY) ## run every test; says which backends were not there
	$(BIN)/python -m pytest

fuzz: $(READY) ## some minutes of bodies and requests that are meant to hurt; FUZZ_SEED=… repeats a run
	FUZZ=full $(BIN)/python -m pytest tests/fuzz

bare: $(BARE)/.ready ## run the tests that need neither an extra nor a backend, where no extra is installed
	$(BARE)/bin/python -m pytest -m "not backend" $(addprefix --ignore=tests/,$(NOT_BARE))

check: $(READY) ## lint, types, layers, and the wheel in an empty environment
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pip check
	$(BIN)/python tools/check_wheel.py

audit: $(READY) ## ask the package registry whether a pinned release was withdrawn
	$(BIN)/python tools/audit.py

backends: ## install or build what the tests speak to, and what they judge deploy/ by
	$(PYTHON) tests/backends/install.py
	$(PYTHON) -m tools.deploy_tools

loki: $(READY) ## run the Loki that `make backends` has installed, on port 3100
	@$(BIN)/python -m tests.backends.loki --port 3100

protobuf: $(READY) ## make the Python modules of the .proto files
	$(BIN)/python -m tools.make_protobuf

bench: $(READY) ## measure what an acknowledgement costs; some: make bench ROWS=loki,stdout ARGS=--quick
	@$(BIN)/python -m bench $(if $(ROWS),--rows $(ROWS)) $(ARGS)

format: $(READY) ## lay the code out
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## remove what these commands made, but the installed backends
	rm -rf $(VENV) $(BARE) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(READY): WITH := '.[all]' --group dev
$(BARE)/.ready: WITH := . --group test
$(READY) $(BARE)/.ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Sonda needs Python 3.11 or later; name one: make PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(@D)/bin/python -m pip install --quiet --constraint constraints.txt --editable $(WITH)
	@touch $@
