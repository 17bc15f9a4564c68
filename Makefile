# Each goal first makes its own environment in .venv: all it takes is Python 3.11 or later with pip, and make.
# To choose the Python: make PYTHON=python3.13 test

SCENARIO ?= scenarios/splitwise_hh.toml
PYTHON ?= $(shell for python in python3 python python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)

BIN := .venv/bin
# changed whenever what must be installed may have
READY := .venv/.ready

.PHONY: reliability run test test-torch lint check validate clean bench provisioning provisioning-quick

run: $(READY)  ## the main job: a whole Splitwise cluster over two minutes of conversations
	$(BIN)/emu run $(SCENARIO)

test: $(READY)
	$(BIN)/pytest

test-torch: $(READY)  ## what needs PyTorch, on a CPU
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,torch]'
	$(BIN)/pytest tests/calibrate/test_measure.py tests/real/test_torch_world.py

provisioning: $(READY)  ## the paper's questions about clusters, and the tables of docs/provisioning.md: hours; stopped, it goes on
	$(BIN)/emu provisioning --out results/provisioning --write docs/provisioning.md

provisioning-quick: $(READY)  ## the same at a quarter of the size, in minutes
	$(BIN)/emu provisioning --quick --out results/provisioning-quick --write docs/provisioning.md

lint: $(READY)
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(READY)  ## what things cost, measured: docs/performance.md and docs/scaling.md (minutes of CPU)
	PYTHONPATH=tests $(BIN)/python -m bench $(BENCH)

reliability: $(READY)  ## docs/reliability.md: every fault in every phase, every move, drawn plans, whole clusters; stopped, it goes on
	$(BIN)/python -m emu.reliability $(RELIABILITY)

check: lint test  ## the whole loop before a commit

validate: $(READY)  ## docs/validation.md, made again from runs; what needs ../shared stays as it is without
	$(BIN)/python -m emu.validate

# Some systems ship Python without what fills an environment with pip; then their own pip fills it.
$(READY): pyproject.toml
	@test -n "$(PYTHON)" || { echo "emu needs Python 3.11 or later; none was found on PATH" >&2; exit 1; }
	$(PYTHON) -m venv .venv || $(PYTHON) -m venv --clear --without-pip .venv
	if $(BIN)/python -m pip --version >/dev/null 2>&1; \
	then $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'; \
	else $(PYTHON) -m pip --python $(BIN)/python install --quiet --disable-pip-version-check --editable '.[dev]'; fi
	$(BIN)/python -m compileall -q emu tui  # else whoever keeps Python from writing bytecode compiles all of it at each start
	touch $(READY)

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
