# gmaug: the commands of the companion. `make` alone prints them.
PYTHON ?= python3
VENV ?= .venv
PROFILE ?= default
SEED ?= 0
DATA ?=
JOBS ?= 1
TRAIN ?=

# A misspelled parameter stops before anything runs.
known := PYTHON VENV PROFILE SEED DATA JOBS TRAIN MAKEFLAGS
given := $(foreach name,$(.VARIABLES),$(if $(findstring command,$(origin $(name))),$(name)))
unknown := $(filter-out $(known),$(given))
ifneq ($(strip $(unknown)),)
$(error unknown parameter: $(unknown); there are $(filter-out MAKEFLAGS,$(known)))
endif

ifneq ($(filter-out all,$(TRAIN)),)
$(error TRAIN=$(TRAIN): only TRAIN=all is known)
endif

python := $(VENV)/bin/python
run_options := --profile "$(PROFILE)" --seed "$(SEED)" --jobs "$(JOBS)" $(if $(DATA),--data "$(DATA)")

.DEFAULT_GOAL := help
.PHONY: help venv plan reproduce notebooks test lab book crate bench audit clean

help:  ## this list
	@echo "gmaug: when do generated images help a classifier trained on an imbalanced set?"
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' Makefile
	@echo "Parameters: PROFILE=smoke|default|paper SEED=0 DATA=folder JOBS=1 TRAIN=all VENV=.venv PYTHON=python3"

venv: $(VENV)/.ready  ## set up the virtual environment in .venv

$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(python) -m pip install --quiet --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $@

plan: venv  ## what the paper's own experiment takes: GPU-hours, memory and disk of every stage
	$(python) notebooks/recorded/paper.py

reproduce: venv  ## run every notebook and regenerate figures/; PROFILE= SEED= DATA= JOBS= TRAIN=all
	$(if $(TRAIN),$(python) notebooks/recorded/record.py generators --sets middle unlike-faint unlike-bold alike-faint alike-bold)
	$(if $(filter paper,$(PROFILE)),$(python) notebooks/recorded/paper.py)
	$(python) -m gmaug reproduce $(run_options)

notebooks: venv  ## a default run, its outputs stored in notebooks/; JOBS=
	$(python) -m gmaug reproduce --write-back $(run_options)

test: venv  ## lint, pytest, and nbval over the notebooks
	@mkdir -p runs
	$(VENV)/bin/ruff check .
	OMP_NUM_THREADS=1 $(python) -m pytest tests -n 2 --dist loadfile --ignore tests/benchmarks
	GMAUG_PROFILE=smoke GMAUG_RUNS="$(CURDIR)/runs/nbval" GMAUG_PROGRESS="$(CURDIR)/runs/nbval.txt" \
		OMP_NUM_THREADS=1 $(python) -m pytest -n 2 --dist loadfile --nbval-lax --nbval-current-env --nbval-cell-timeout=1800 --nbval-kernel-startup-timeout=600 notebooks

lab: venv  ## JupyterLab on the notebooks
	$(VENV)/bin/jupyter lab notebooks

book: venv  ## the companion as a site in runs/book, from the committed notebooks; nothing is run
	OMP_NUM_THREADS=1 $(python) notebooks/book/build.py

crate: venv  ## ro-crate-metadata.json, which describes the files for archives
	$(python) notebooks/book/crate.py

bench: venv  ## benchmarks against peers, as ratios in one run
	$(python) -m pytest tests/benchmarks -s --benchmark-columns=min,median,rounds

audit: venv  ## one cheap record of each kind run again and compared; DATA=
	$(python) notebooks/recorded/audit.py $(if $(DATA),--data "$(DATA)")

clean:  ## forget the runs (not the environment)
	rm -rf runs
