# Two commands for a fresh machine with Python >= 3.11 and make: `make run` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: run test lint types unit clean bench-otmann bench-trainer bench-proposal bench-transfer

# The main job on real data: thirty NASBOT trials on scikit-learn's digits, resumed where an earlier run left off.
run: $(INSTALLED)
	$(BIN)/automl run digits --trials 30 --study digits --storage sqlite:///automl.db --model digits.model

test: lint types unit

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(INSTALLED)
	$(BIN)/mypy

# Studies on PostgreSQL are tested where its programs are installed (apt-get install postgresql); see CONTRIBUTING.md.
# One thread a process: two pytest workers on two cores, each with torch and NumPy, would otherwise oversubscribe them.
unit: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile

bench-otmann bench-trainer bench-proposal bench-transfer: bench-%: $(INSTALLED)
	$(BIN)/python -m tests.benchmarks.$*

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "got Python %s, expected 3.11 or newer; name one with make PYTHON=python3.12" % sys.version.split()[0] or 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
