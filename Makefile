PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help install demo paper-mini report test test-cluster test-isolated check clean

help: ## show this
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

install: $(VENV)/installed ## make .venv and install the project and its tools

PIP = $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or later is needed; set PYTHON=/path/to/python3"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) '.[dev]'
	@touch $@ $(VENV)/runnable

$(VENV)/runnable: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) .
	@touch $@

demo: $(VENV)/runnable ## zigzag and its controls on the embedded model at 4 and 20 steps: tables and contact sheet, in 3 to 4 minutes
	$(BIN)/python -m zz.run dataset=quick gamma1=2 steps=4,20 controls=true store=demo \
		"scorers=[shapes_correct,shapes_alignment]" -m

MINI = $(or $(STORE),store-mini)
CORES ?= $(shell nproc 2>/dev/null || echo 2)
PART_1 = table_02,table_01,table_06,figure_20,figure_19,figure_10,headline
PART_2 = figure_09,figure_07,table_12
PART_3 = table_14,table_05,table_08,table_09,table_10
PART_4 = table_16,table_17,table_18,theorems,guidance_matters,figure_05,figure_02,figure_11,figure_12,figure_13,$\
	figure_01,figure_08,figure_15,figure_16,figure_17,figure_18,figure_25,figure_26,figure_03,figure_04,figure_27,$\
	table_03,table_04,table_07,table_11,table_13,table_15,figure_06,figure_14,figure_21,figure_22,figure_23,figure_24
PARTS = $(or $(PART),1 2 3 4)

paper-mini: $(VENV)/runnable ## the whole paper on the embedded models, in hours: PART=1 to 4 for one part of about an hour; resumable
	@$(foreach part,$(PARTS),$(BIN)/python -m zz.run experiment=$(PART_$(part)) scale=mini store=$(MINI) runner.devices=$(CORES) && ) true
	$(BIN)/python -m zz.export store=$(MINI) scale=mini out=docs/results/mini.tar.xz
	$(BIN)/python -m zz.report store=$(MINI) out=$(MINI)/report.html

report: install ## report.html: one page of the store: claims, tables, pairs of pictures; STORE=demo for another one
	$(BIN)/python -m zz.report $(if $(STORE),store=$(STORE))

test: install ## the tests, but for the long ones marked ci
	$(BIN)/python -m pytest -m "not ci and not cluster"

test-cluster: install ## arrays, tasks and requeueing on a real SLURM of two nodes on this machine; needs root, and apt
	ZZ_TEST_CLUSTER=1 $(BIN)/python -m pytest -m cluster -n 0 -rs tests/cluster

test-isolated: install ## workers of scorers that run in environments of their own, however they end
	$(BIN)/python -m pytest -n 0 tests/metrics/test_isolated.py

check: install ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean: ## remove the environment and caches; results stay
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache dist
