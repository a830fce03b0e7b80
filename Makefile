# make night   a whole night on the embedded default, from nothing but Python
# make test    the tests          make long   the long ones too
# make lint    ruff and mypy      make clean  remove what make made
# make reference   docs/reference.md and docs/messages.md from the code
# make coverage    branches of the policy modules, by their own tests
# make sbom        sbom.json: what is installed, with licences and hashes      make audit   known advisories about it
#
# TORCH names torch's version, TORCH_INDEX where it comes from: a CPU wheel index, a Jetson's wheels;
# empty means pip's own configuration. TORCH_CUDA=yes fetches CUDA on a machine without a GPU.
PYTHON ?= python3
TORCH ?= torch==2.13.0
TORCH_INDEX ?=
TORCH_CUDA ?=
# The tests run in so many processes of one thread each: to models of this size a second thread is worth a quarter.
TEST_PROCESSES ?= 2
VENV ?= .venv
HOME_DIR ?= .home
SHELL := /bin/bash

bin := $(VENV)/bin
pip := $(bin)/python -m pip install --disable-pip-version-check --quiet --quiet
SOURCES := edge_sleep kernels profiles benchmarks tests .ci docker

.PHONY: night test long lint reference coverage sbom audit clean
.DELETE_ON_ERROR:

night: $(VENV)/.installed
	@.ci/night.sh $(bin)/edge-sleep night --home $(HOME_DIR) \
		--sessions edge_sleep/seedling/sessions --probes edge_sleep/seedling/probes.yaml

test: $(VENV)/.installed-test
	@OMP_NUM_THREADS=1 $(bin)/python -m pytest -m "not long and not alone" -n $(TEST_PROCESSES) --dist worksteal; beside=$$?; \
		$(bin)/python -m pytest -m "alone and not long"; exit $$((beside | $$?))

long: $(VENV)/.installed-test
	$(bin)/python -m pytest -m "long"

lint: $(VENV)/.installed-dev
	$(bin)/ruff check --line-length 130 --target-version py310 --select E,F,W,I,B,UP,SIM --ignore SIM905 \
		--per-file-ignores 'tests/*:E501' $(SOURCES)
	$(bin)/mypy

reference: $(VENV)/.installed
	@$(bin)/python .ci/reference.py

coverage: $(VENV)/.installed-dev
	@OMP_NUM_THREADS=1 $(bin)/python .ci/policy.py

sbom: $(VENV)/.installed-dev
	@$(bin)/python .ci/sbom.py

audit: $(VENV)/.installed
	@$(bin)/python .ci/audit.py

# A venv that is there is used as it is: on a Jetson it may have been made with --system-site-packages.
$(bin)/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' || { \
		echo "edge_sleep runs on Python 3.10 to 3.13; name one: make PYTHON=python3.12" >&2; exit 2; }
	@echo "making $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@$(bin)/python -m pip install --disable-pip-version-check --quiet --upgrade 'pip>=23'

$(VENV)/.torch: $(bin)/python Makefile
	@TORCH='$(TORCH)' TORCH_INDEX='$(TORCH_INDEX)' TORCH_CUDA='$(TORCH_CUDA)' \
		TORCH_TARGET='$(firstword $(MAKECMDGOALS) night)' $(bin)/python .ci/torch.py
	@touch $@

$(VENV)/.installed: $(VENV)/.torch setup.cfg constraints.txt
	@echo "installing edge_sleep"
	@$(pip) -c constraints.txt -e .
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	@echo "installing what the tests need"
	@$(pip) -c constraints.txt -e '.[test]'
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed-test
	@$(pip) -c constraints.txt -e '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) $(HOME_DIR) sbom.json .coverage build dist *.egg-info .pytest_cache .hypothesis .mypy_cache .ruff_cache
