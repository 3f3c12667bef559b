# kd_det: `make demo` and `make test` set up everything they need.

VENV ?= .venv
export VENV
PYTEST_ARGS ?=

# Set-up decides whether the GPU can be used and leaves a note of it.
run = set -a && . "$(VENV)/kd_det.env" && "$(VENV)/bin/python"

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint

help:
	@echo 'make setup  make the virtual environment (10 minutes once, then at once)'
	@echo 'make demo   set up, then distil a small detector on made-up images'
	@echo 'make test   set up, then check the style and run the tests'
	@echo 'make lint   set up, then check style, format and spelling'
	@echo
	@echo 'Variables, as in make test VENV=.venv311:'
	@echo '  PYTHON       interpreter, 3.10 to 3.12 (the first suitable one)'
	@echo '  VENV         where the virtual environment is made (.venv)'
	@echo '  TORCH        what pip shall install as torch, with options'
	@echo '               (the version in constraints.txt), for example'
	@echo '               TORCH="torch==2.13.0 --index-url <index of CPU builds>"'
	@echo '  WHEELS       where the compiled op library is kept for the next'
	@echo '               environment (~/.cache/kd_det/wheels)'
	@echo '  MAX_JOBS     compilations at a time (the number of cores)'
	@echo '  FORCE_CUDA   1: compile GPU kernels on a machine without a GPU'
	@echo '  PYTEST_ARGS  passed on to pytest, for example "-k losses -x";'
	@echo '               "-n 0 --pdb" for one process'

setup:
	@bash tools/setup.sh

demo: setup
	@$(run) tools/demo.py

test: setup
	@$(run) -m ruff check .
	@OMP_NUM_THREADS=1 && export OMP_NUM_THREADS && \
	$(run) -m pytest -n auto --maxprocesses 8 $(PYTEST_ARGS)

lint: setup
	@$(run) -m ruff check .
	@$(run) -m ruff format --check .
	@$(run) -m codespell_lib
