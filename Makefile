# kd_det: `make demo` and `make test` set up everything they need.

# also when it is empty
override VENV := $(or $(VENV),.venv)
export VENV
PYTEST_ARGS ?=

run = "$(VENV)/bin/python"

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint configs

help:
	@echo 'make setup  make the virtual environment (minutes once, then at once)'
	@echo 'make demo   set up, then distil a small detector on made-up images'
	@echo 'make test   set up, check what make lint checks, run the tests'
	@echo 'make lint   set up, then check style, format, spelling and types'
	@echo 'make configs  set up, then write the configs of papers from their tables'
	@echo
	@echo 'Variables, as in make test VENV=.venv311:'
	@echo '  PYTHON       interpreter, 3.10 to 3.13 (the first suitable one)'
	@echo '  VENV         where the virtual environment is made (.venv)'
	@echo '  TORCH        what pip shall install as torch, with options'
	@echo '               (the version in constraints.txt), for example'
	@echo '               TORCH="torch==2.14.1 --index-url <index of CPU builds>"'
	@echo '  OPS          compiled: compile all operators of MMCV, which takes a'
	@echo '               C++ compiler, C headers of Python and 16 core minutes'
	@echo '               (those of torchvision are used)'
	@echo '  WHEELS       where compiled operators are kept for the next'
	@echo '               environment (~/.cache/kd_det/wheels)'
	@echo '  MAX_JOBS     compilations at a time (the number of cores)'
	@echo '  FORCE_CUDA   1: compile GPU kernels on a machine without a GPU'
	@echo '  PYTEST_ARGS  passed on to pytest, for example "-k losses -x";'
	@echo '               "-n 0 --pdb" for one process'

setup:
	@bash tools/setup.sh

demo: setup
	@$(run) tools/demo.py

test: lint
	@OMP_NUM_THREADS=1 $(run) -m pytest -n auto --maxprocesses 8 $(PYTEST_ARGS)

lint: setup
	@$(run) -m ruff check .
	@$(run) -m ruff format --check .
	@$(run) -m codespell_lib
	@$(run) -m mypy

configs: setup
	@$(run) tools/write_configs.py
