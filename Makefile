# Everything runs from .venv in this folder, which each target sets up for itself: a fresh machine needs
# Python 3.11 or newer and make. Another Python: make test PYTHON=python3.13
PYTHON ?= python3
JOBS ?= 2
PYTEST_ARGS ?=
SMOKE_VENV ?= .venv-smoke
BENCH_ARGS ?=
SECONDS ?=
SEEDS ?= $(shell date +%s)0000:
SOAK_ARGS ?=
CRASH_ARGS ?=
TREND_ARGS ?=

# What needs the interpreter most: the decisions, the actors, the store, and three nodes as processes.
SMOKE_TESTS := tests/unit tests/actors tests/persistence/test_sqlite.py tests/persistence/test_sqlite_opening.py \
	tests/cli/test_serve.py::test_three_processes_are_one_service

BIN := .venv/bin
INSTALL := python -m pip --disable-pip-version-check install --quiet
LINKS := raft_actors/transports raft_actors/persistence
CODE := $(wildcard raft_actors transports persistence tests benchmarks examples)
CHECKED_PACKAGES := $(wildcard raft_actors tests benchmarks examples)
CHECKS := ruff lint-imports flake8-async pyright mypy verifytypes

# Images of containers set it. Hundreds of processes that tests start would each compile the package anew, which takes
# longer than to import it does.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo test test-thorough test-lowest smoke soak coverage storage-crashes mutations connectivity links docs check $(CHECKS) format bench trend bugs wheel clean
# Two installs into one .venv at once would break it: SIDE_BY_SIDE says that whatever is asked for is installed.
ifndef SIDE_BY_SIDE
.NOTPARALLEL:
endif
# JOBS targets at a time, and what one prints in one piece, where make knows how to.
BESIDE = $(MAKE) --no-print-directory --jobs $(JOBS) $(if $(filter output-sync,$(.FEATURES)),--output-sync=target) \
	SIDE_BY_SIDE=1

help:  ## Show this list
	@awk -F ':.*  ## ' '/^[a-z-]+:.*  ## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: .venv/.installed-cli  ## See a cluster at work
	$(BIN)/raft-actors demo

test: .venv/.installed-test  ## Run all tests, on JOBS (2) cores
	$(BIN)/python -m pytest -n $(JOBS) $(PYTEST_ARGS)

test-thorough: .venv/.installed-test  ## Run all tests, with two to three times the seeds and rounds
	THOROUGH=1 $(BIN)/python -m pytest -n $(JOBS) $(PYTEST_ARGS)

test-lowest: .venv-lowest/.installed  ## Run all tests with the oldest packages that pyproject.toml allows
	.venv-lowest/bin/python -m pytest -n $(JOBS) $(PYTEST_ARGS)

# A few minutes' worth of tests on another Python (make smoke PYTHON=python3.13), in an environment of its own.
smoke: $(SMOKE_VENV)/.installed  ## Try PYTHON: install, run the quick tests and three nodes
	$(SMOKE_VENV)/bin/python -m pytest -q -n $(JOBS) -p no:cacheprovider $(SMOKE_TESTS)

# Versions that pyenv has, each in an environment of its own.
smoke-%:
	@$(MAKE) --no-print-directory smoke PYTHON="$$(pyenv root)/versions/$*/bin/python" SMOKE_VENV=.venv-smoke-$*

smoke-venv-%:
	@$(MAKE) --no-print-directory .venv-smoke-$*/.installed PYTHON="$$(pyenv root)/versions/$*/bin/python" \
		SMOKE_VENV=.venv-smoke-$*

coverage: .venv/.installed-test  ## Run all tests, and show which lines and branches they miss
	$(BIN)/python -m pytest -n $(JOBS) --cov --cov-report=term $(PYTEST_ARGS)

storage-crashes: .venv/.installed-test  ## Crash SQLite stores at every write and sync (CRASH_ARGS=...; half an hour)
	$(BIN)/python -m tests.persistence.power --jobs $(JOBS) $(CRASH_ARGS)

mutations: .venv/.installed-test  ## Break the engine in every known way, and see the simulator notice (MUTATION_ARGS=...)
	$(BIN)/python -m tests.mutations --jobs $(JOBS) $(MUTATION_ARGS)

connectivity: .venv/.installed-test  ## Which links a cluster needs, as a table in docs/ (CONNECTIVITY_ARGS=...)
	$(BIN)/python -m tests.connectivity --jobs $(JOBS) $(CONNECTIVITY_ARGS)

links: .venv/.installed-test  ## Break links between real processes, and make a table in docs/ of what it costs (LINKS_ARGS=...)
	$(BIN)/python -m tests.links $(LINKS_ARGS)

.PHONY: audit fuzz fuzz-soak
ADVISORIES ?= all.zip
FUZZ_ARGS ?=

# Another seed each time, which it tells. FUZZ_ARGS='--targets resp --inputs 10000000', say.
fuzz: .venv/.installed-test  ## Feed every parser of bytes from elsewhere with bytes nearly in order (FUZZ_ARGS=...)
	$(BIN)/python -m tests.fuzz $(FUZZ_ARGS)

# Goes on where whoever ran it last stopped: commit what it changes. FUZZ_ARGS='--seconds 240 --jobs 2', say.
fuzz-soak: .venv/.installed-test  ## The same on all cores until each parser has had 10,000,000 (in tests/fuzz/soak.json)
	$(BIN)/python -m tests.fuzz --soak tests/fuzz/soak.json --jobs $(JOBS) $(FUZZ_ARGS)

# No network is needed: ADVISORIES is OSV's export for PyPI, a zip of JSON documents.
audit: .venv/.installed-dev  ## Look for known vulnerabilities of pinned packages in ADVISORIES=all.zip
	$(BIN)/python -m tests.audit $(ADVISORIES)

# Other seeds each time, unless SEEDS=… says which; failures are added to soak-failures.jsonl.
soak: .venv/.installed-cli  ## Run simulated clusters under faults until Ctrl-C, or for SECONDS=...
	$(BIN)/raft-actors simulate --seeds $(SEEDS) --jobs $(JOBS) --failures soak-failures.jsonl \
		$(if $(SECONDS),--for $(SECONDS)) $(SOAK_ARGS)

# Without a network: links within the site are followed, those to other sites only read.
docs: .venv/.installed-docs  ## Build the documentation as a site in build/docs, and check it
	$(BIN)/python -m sphinx --quiet --fail-on-warning --keep-going --fresh-env --builder html docs build/docs
	$(BIN)/python docs/check_site.py build/docs
	@echo "open build/docs/index.html"

ifdef SIDE_BY_SIDE
check: $(CHECKS)
else
check: .venv/.installed-dev  ## Run every linter and type checker, JOBS (2) at a time
	@$(BESIDE) check
endif

ruff: .venv/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

mypy: .venv/.installed-dev
	$(BIN)/mypy $(addprefix -p ,$(CHECKED_PACKAGES))

# As an installed package sees it, not the checkout: so it is installed into an environment that borrows the libraries.
verifytypes: .venv/.installed-dev  ## Check that every public name has a known type
	rm -rf .venv-types build/lib build/bdist.*
	$(BIN)/python -m venv --without-pip .venv-types
	$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
		> "$$(.venv-types/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/libraries.pth"
	PYTHONWARNINGS=ignore $(BIN)/$(INSTALL) --no-deps --no-build-isolation --upgrade --target \
		"$$(.venv-types/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" .
	@cd .venv-types && report=$$(PATH="$$PWD/bin:$$PATH" PYRIGHT_PYTHON_IGNORE_WARNINGS=1 \
		../$(BIN)/pyright --verifytypes raft_actors --ignoreexternal) \
		&& echo "$$report" | grep score || { echo "$$report"; exit 1; }

# Without the setting it asks the network for a newer release of itself.
pyright: .venv/.installed-dev
	PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(BIN)/pyright

# It has nothing to say of the other half of the files, and is the slowest of all checks.
flake8-async: .venv/.installed-dev
	$(BIN)/flake8 $$(grep -rlE 'async|trio|anyio' --include='*.py' $(CODE))

lint-imports: .venv/.installed-dev
	$(BIN)/lint-imports --no-logo

format: .venv/.installed-dev  ## Format the code, and mend what ruff can mend safely
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

bench: .venv/.installed-bench  ## Measure throughput and latency (BENCH_ARGS=...)
	$(BIN)/python -m benchmarks $(BENCH_ARGS)

trend: .venv/.installed-bench  ## Add this commit's figures to benchmarks/trend.jsonl, and plot all (TREND_ARGS=...)
	$(BIN)/python -m benchmarks.trend $(TREND_ARGS)

bugs: .venv/.installed-test  ## Show each bug of docs/bugs.md on the commit before its fix
	$(BIN)/python -m tests.bugs

wheel: .venv/.installed-test  ## Build sdist and wheel into dist/
	rm -rf build dist
	$(BIN)/python -m build --no-isolation

clean:  ## Remove the environment and everything built or cached
	rm -rf .venv .venv-lowest .venv-smoke* .venv-types build dist htmlcov .coverage .coverage.* *.egg-info
	rm -rf .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find $(CODE) -name __pycache__ -type d -prune -exec rm -rf {} +

# One stamp for each extra, so that the demo need not wait for the linters. Each is newer than what it was
# installed from; --no-build-isolation has the pinned setuptools build the package. The one warning left out
# is setuptools' banner about folders with a package's name.
.venv/.installed-%: pyproject.toml setup.py constraints.txt | .venv/.created $(LINKS)
	$(BIN)/$(INSTALL) --constraint constraints.txt setuptools
	PYTHONWARNINGS=ignore $(BIN)/$(INSTALL) --constraint constraints.txt --no-build-isolation \
		--editable '.[$*]'
	@touch $@

.venv-lowest/.installed: pyproject.toml setup.py constraints-lowest.txt | .venv-lowest/.created $(LINKS)
	.venv-lowest/bin/$(INSTALL) --constraint constraints-lowest.txt setuptools
	PYTHONWARNINGS=ignore .venv-lowest/bin/$(INSTALL) --constraint constraints-lowest.txt --no-build-isolation \
		--editable '.[test-lowest]'
	@touch $@

# Not the extras of the whole suite: neither plots nor peers.
$(SMOKE_VENV)/.installed: pyproject.toml setup.py constraints.txt | $(SMOKE_VENV)/.created $(LINKS)
	$(SMOKE_VENV)/bin/$(INSTALL) --constraint constraints.txt setuptools pytest pytest-trio pytest-xdist hypothesis apsw
	PYTHONWARNINGS=ignore $(SMOKE_VENV)/bin/$(INSTALL) --constraint constraints.txt --no-build-isolation \
		--editable '.[certs,cli]'
	@touch $@

# An sdist can't hold the links of the repository: it would pack what they lead to a second time.
$(LINKS):
	ln -s ../$(@F) $@

.venv/.created .venv-lowest/.created $(SMOKE_VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "error: Python 3.11 or newer is needed, and '$(PYTHON)' is not: make PYTHON=/path/to/python3.11" >&2; \
		exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
		echo "error: '$(PYTHON)' lacks the venv module: install it (Debian: apt install python3-venv)," \
			"or take another: make PYTHON=/path/to/python3.11" >&2; \
		exit 1; }
	$(PYTHON) -m venv $(@D)
	@touch $@
