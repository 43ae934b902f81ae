# Everything that is done often. A machine needs python3 with pip, and make.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
WORKERS ?= 2
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS)

.PHONY: help setup check format test test-slow mutants demo clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(STAMP) ## Make .venv and install everything into it (at once when it is done already)

# Some systems have venv without its own pip: then pip is installed into it from outside.
$(STAMP): pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) 2>/dev/null || \
		{ rm -rf $(VENV); $(PYTHON) -m venv --without-pip $(VENV); }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m pip --python $(BIN)/python install -q pip
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt \
		-e '.[dev,cad,chroma,clip,cluster,draco,heic,imagenet,meshopt,raw,video,web,webdataset]'
	@touch $(STAMP)

check: setup ## Lint, format, types, import contracts, spelling
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell

format: setup ## Put the code into its form
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

test: setup ## Run the tests (a few minutes)
	@$(PYTEST)

test-slow: setup ## Run the tests that take long
	@$(PYTEST) -m slow

SAMPLE ?= 0
SEED ?= 0
AREAS ?= metrics losses evaluation engine split
FILES ?= *
mutants: setup ## Change the source, count what tests notice: docs/mutants.md (SAMPLE=100 SEED=1; hours without)
	@$(BIN)/python scripts/mutants.py --sample $(SAMPLE) --seed $(SEED) --areas $(AREAS) --files '$(FILES)'

DEMO := demo
demo: setup ## Eight sentences become 3D models, with the weights that ship
	@$(BIN)/triform shape_flow generate \
		--prompt "a round table with four legs" "an office chair" "a sofa with three seats" \
			"a double bed" "a bookcase with five shelves" "a floor lamp" "a wooden door" "a bathtub" \
		--format obj glb --output $(DEMO)/ --sheet $(DEMO)/contact_sheet.png
	@echo "The models (OBJ, GLB) and the image contact_sheet.png are in $(CURDIR)/$(DEMO)"
	@echo "In a browser, with your own words: $(BIN)/triform serve"

clean: ## Remove what was made: environment, caches, demo
	rm -rf $(VENV) $(DEMO) .mypy_cache .pytest_cache .ruff_cache build
	find src tests -name __pycache__ -prune -exec rm -rf {} +
