# Two commands do all the set-up: `make run` serves, `make test` tests.

# Without compiled bytecode each of the programs that the tests start compiles all that it imports.
unexport PYTHONDONTWRITEBYTECODE

PYTHON ?= python3
PORT   ?= $(or $(SONDA_PORT),8080)
VENV   := .venv
BIN    := $(VENV)/bin
SERVES := $(VENV)/.serves
READY  := $(VENV)/.ready
BARE   := .venv-bare
PYTEST := $(BIN)/python -m pytest
JOBS   ?= auto
# Many tests wait, for a process or for a time-out: twice as many jobs as cores keep these busy.
TWICE  := $(or $(filter-out auto,$(JOBS)),$(shell $(PYTHON) -c 'import os; print(2 * (os.cpu_count() or 1))'))
SHORT  := not backend and not long
MEETS_EXTRAS := $(addprefix tests/,unit sinks cli server/test_http.py server/test_openapi.py server/test_docs_page.py \
	server/test_config.py test_cases.py test_encoders.py test_docs.py test_library_programs.py test_platforms.py test_readme.py \
	test_scenario_gallery.py)

.PHONY: pictures docs docs-serve dist changelog reference help run test-fast test test-all fuzz bare check audit backends loki protobuf bench profile format clean

help: ## say what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

run: $(SERVES) ## serve on 127.0.0.1:8080; another port: make run PORT=9000
	@$(BIN)/python tools/run.py --port="$(PORT)"

test-fast: $(READY) ## the unit and property tests
	$(PYTEST) --numprocesses $(JOBS) --dist worksteal -m "not long" tests/unit tests/property

test: $(READY) ## all but what `test-all` adds
	$(PYTEST) --numprocesses $(TWICE) --dist worksteal -m "$(SHORT)"

test-all: $(READY) ## the rest: real products, what takes long, long rounds of faults and fuzzing, no extras, checks
	FAULTS=full PROPERTIES=full FUZZ=some $(PYTEST) --numprocesses $(JOBS) --dist worksteal -m "backend or long or rounds"
	$(MAKE) bare check audit

fuzz: $(READY) ## half an hour of bodies and requests that are meant to hurt; FUZZ_SEED=… repeats a run
	FUZZ=full $(PYTEST) tests/fuzz tests/conformance

bare: $(BARE)/.ready ## run what may meet an extra that is not installed, where none is
	$(BARE)/bin/python -m pytest --numprocesses $(JOBS) --dist worksteal -m "$(SHORT)" $(MEETS_EXTRAS)

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

loki: ## run a real Loki on port 3100; the first time it is built, which takes minutes and needs Go
	$(say_python_is_too_old)
	@$(PYTHON) tests/backends/install.py loki
	@exec $(PYTHON) -m tests.backends.loki --port 3100

dist: $(READY) ## build the wheel, the source distribution and the manual pages into dist
	rm -rf dist build/man
	$(BIN)/python -m build --outdir dist
	$(BIN)/python -m tools.man_pages build/man
	tar -C build -czf dist/sonda-man.tar.gz man

changelog: $(READY) ## print what is not released yet; a release: towncrier build --version X
	@$(BIN)/towncrier build --draft --version unreleased

docs: $(READY) ## build the site of the documents into build/docs/site
	$(BIN)/python -m tools.docs_site

docs-serve: $(READY) ## the same on http://localhost:8000
	$(BIN)/python -m tools.docs_site --serve

pictures: $(READY) ## take the pictures of the README anew, with the Chromium of `make backends`
	$(BIN)/python -m tools.pictures

reference: $(READY) ## write docs/reference from the schemas and the flags
	$(BIN)/python -m tools.reference

protobuf: $(READY) ## make the Python modules of the .proto files
	$(BIN)/python -m tools.make_protobuf

bench: $(READY) ## measure what an acknowledgement costs; some: make bench ROWS=loki,stdout ARGS=--quick
	@$(BIN)/python -m bench $(if $(ROWS),--rows $(ROWS)) $(ARGS)

profile: $(READY) ## draw where a server's time goes into build/profile.html: make profile ROW=loki
	@mkdir -p build
	BENCH_PROFILE=$(CURDIR)/build/profile.html $(BIN)/python -m bench --row $(or $(ROW),loki) --quick --clients 64

format: $(READY) ## lay the code out
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## remove what these commands made, but the installed backends
	rm -rf $(VENV) $(BARE) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis

define say_python_is_too_old
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Sonda needs Python 3.11 or later; name one: make PYTHON=python3.12" >&2; exit 1; }
endef

# Serving needs neither pip in the environment nor compiled bytecode: that halves the wait.
$(SERVES): pyproject.toml constraints.txt
	$(say_python_is_too_old)
	@echo "Installing Sonda and what it needs to serve into $(VENV) (once; some 20 seconds)."
	@test -x $(BIN)/python || $(PYTHON) -m venv --without-pip $(VENV)
	@$(PYTHON) -m pip --python $(BIN)/python install --quiet --disable-pip-version-check \
		--no-compile --constraint constraints.txt --editable '.[all]'
	@touch $@

$(READY): WITH := '.[all]' --group dev
$(BARE)/.ready: WITH := . --group test
$(READY) $(BARE)/.ready: pyproject.toml constraints.txt
	$(say_python_is_too_old)
	@echo "Installing Sonda and its tools into $(@D) (once; a minute or two)."
	@$(PYTHON) -m venv $(@D)
	@$(@D)/bin/python -m pip install --quiet --upgrade 'pip>=25.1'
	@$(@D)/bin/python -m pip install --quiet --constraint constraints.txt --editable $(WITH)
	@touch $@ $(if $(filter $(READY),$@),$(SERVES))
