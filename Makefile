# geomflow's commands. `make demo` and `make test` need Python 3.11 or newer and nothing else.

PYTHON ?= $(firstword $(foreach p,python3.11 python3.12 python3.13 python3.14 python3,$(shell command -v $(p) 2>/dev/null)))
BIN := .venv/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: help demo test docs bench bench-ops bench-prep bench-evaluation clean

help:  ## show this list
	@sed -n 's/^\([a-z-]*\):.*## /make \1 \t/p' $(MAKEFILE_LIST)

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "geomflow wants Python 3.11 or newer; none found. Set PYTHON=/path/to/python"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "geomflow wants Python 3.11 or newer, $(PYTHON) is older. Set PYTHON=/path/to/python"; exit 1; }
	@$(PYTHON) -c 'import ensurepip' \
		|| { echo "$(PYTHON) cannot make virtual environments; on Debian install python3-venv"; exit 1; }
	$(PYTHON) -m venv .venv

.venv/installed: .venv/bin/python pyproject.toml constraints.txt
	$(PIP) --editable .
	@touch $@

.venv/installed-test: .venv/bin/python pyproject.toml constraints.txt
	$(PIP) --editable ".[test]"
	@touch .venv/installed $@

demo: .venv/installed  ## generate eight shapes with the embedded model into out/demo
	$(BIN)/geomflow generate chairs --count 8 --steps 2 --seed 1 --out out/demo
	@echo "Look at out/demo/preview.png, and open out/demo/0000.ply in any mesh viewer."
	@echo "Next: $(BIN)/geomflow generate --steps 1 --seed 100 --format glb --out out/more"
	@echo "      $(BIN)/geomflow --help"

test: .venv/installed-test  ## lint, types, import contracts and the default tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports
	$(BIN)/python -m pytest

.venv/installed-docs: .venv/installed-test
	$(PIP) --editable ".[test,docs]"
	@touch $@

docs: .venv/installed-docs  ## the documentation as a site, into build/site; open build/site/index.html
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

.venv/installed-bench: .venv/installed-test
	$(PIP) --editable ".[test,bench]"
	@touch $@

bench: .venv/installed-bench  ## print the benchmark tables (minutes)
	$(BIN)/python -m benchmarks

bench-ops: .venv/installed-bench  ## neighbourhood ops beside other libraries, into docs/results/ops.md
	$(BIN)/python -m benchmarks.ops --out docs/results

bench-prep: .venv/installed-bench  ## signs, and preparation beside other libraries, into docs/results (half an hour; GEOMFLOW_DATA)
	$(BIN)/python -m benchmarks.signs --out docs/results
	$(BIN)/python -m benchmarks.prep_peers --out docs/results
	$(BIN)/python -m benchmarks.prep_scaling --out docs/results

bench-evaluation: .venv/installed-bench  ## cost, calibration and traps of evaluation, into docs/results (needs build/seating)
	$(BIN)/python -m benchmarks.evaluation build/seating --out docs/results

clean:  ## remove everything that make made
	rm -rf .venv out build
