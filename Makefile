# The commands of endline. A bare machine needs Python 3.11 (or newer, below 3.14) and make; everything else comes here.
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
BIN := .venv/bin
export DO_NOT_TRACK := 1
.DEFAULT_GOAL := help
.PHONY: help install mirror_audio test lint viz docs airflow airflow-test clean

help:  ## show the commands
	@grep -hE '^[a-z_-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

install: .venv/.installed  ## make the environment in .venv

# The stamp is touched last: an interrupted installation is simply taken up again.
.venv/.installed: pyproject.toml
	@test -n "$(PYTHON)" || { echo "No Python found: install Python 3.11, or call make PYTHON=/path/to/python3.11."; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
		{ echo "$(PYTHON) is not Python 3.11 to 3.13: call make PYTHON=/path/to/python3.11."; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv --clear .venv
	@echo "Installing into .venv (about 4 minutes and 7 GB the first time) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,docs,notebook,simulation]'
	@touch $@

mirror_audio: install  ## run the main job: mirror motors, from recordings (simulated if there are none) to a report
	@$(BIN)/kedro run --pipeline=mirror_audio

lint: install
	@$(BIN)/ruff format --check conftest.py src tests benchmarks
	@$(BIN)/ruff check conftest.py src tests benchmarks
	@$(BIN)/mypy
	@$(BIN)/lint-imports

# In the order of the folders: by their number of tests, the three notebooks would come last, and one worker idle.
test: lint  ## run linters and tests, two at once
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses=2 --dist=loadfile --no-loadscope-reorder \
		--durations=25 --durations-min=10

viz: install  ## draw the lineage of the data into build/
	@$(BIN)/kedro viz build

docs: install  ## build the documentation into build/site
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "build/site/index.html; $(BIN)/mkdocs serve shows it with its search"

# Airflow has an environment of its own, with the versions that were tried together; it never imports the project.
.airflow/.installed: orchestration/requirements.txt
	@test -x .airflow/venv/bin/python || $(PYTHON) -m venv --clear .airflow/venv
	@echo "Installing Airflow into .airflow/venv (about 2 minutes and 400 MB the first time) ..."
	@.airflow/venv/bin/python -m pip install --quiet --disable-pip-version-check --requirement orchestration/requirements.txt
	@touch $@

airflow: install .airflow/.installed  ## retrain each station on the schedule of conf/base/schedule.yml, seen on http://localhost:8080
	@$(BIN)/endline dags
	@orchestration/airflow standalone

airflow-test: install .airflow/.installed  ## run the schedule of one station once, on a small simulated set
	@$(BIN)/python benchmarks/airflow_test.py

clean:  ## remove the environments, and Airflow's database
	@rm -rf .venv .airflow
