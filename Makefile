# Everything a person types; `make help` lists it. No target does a thing twice: each is cheap to repeat.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

VENV    ?= .venv
ARGS    ?=
JOBS    ?= $(shell nproc)
SEEDS   ?= 1..2000
BIN     := $(abspath $(VENV))/bin
PY      := $(BIN)/python
PIP     := $(PY) -m pip --disable-pip-version-check --no-input install --quiet --no-compile --require-hashes --only-binary :all:
# Every core runs tests; ARGS="-n 0 --pdb" to look into one.
PYTEST  := $(PY) -m pytest -q -n $(JOBS)
DRILLS  := $(PY) -m pytest -q -n $(JOBS) -c tests/drills/pytest.ini --rootdir tests/drills --confcutdir tests/drills tests/drills
SAFE    := build/safe
CLIENTS := build/clients/$(notdir $(VENV))
SAFE_BUILT := $(SAFE)/.built-by-$(notdir $(VENV))
SOURCES := $(shell find fastcore engine -name '*.pyx' -o -name '*.pxd' -o -name '*.h' -o -name '*_impl.c')

# Recorded market data for tests; none ships with the project.
ifneq ($(wildcard ../shared/data),)
export TICKMAKER_DATA ?= $(abspath ../shared/data)
endif

.PHONY: help demo test check safe release ccxt drills drill clients bench lint types sim mutants fuzz build builds clean lock

help: ## this list
	@sed -nE 's/^([a-z]+):.*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

demo: build ## watch a market maker trade on a local exchange (ARGS="--seconds 10")
	@$(BIN)/tickmaker demo $(ARGS)

test: release safe ccxt drill ## all tests: on the release build, the safe build, with others' clients

release: build $(VENV)/.dev ## tests on the release build (ARGS="-k book")
	@TICKMAKER_BUILD=release $(PYTEST) $(ARGS)

safe: $(SAFE_BUILT) $(VENV)/.dev ## tests on the build with bounds checks and aborting assertions
	@deploy/mirror.sh $(SAFE)
	@cd $(SAFE) && TICKMAKER_BUILD=safe $(PYTEST) -m "not once" $(ARGS)

ccxt: build $(CLIENTS)/.ready ## unmodified ccxt, python-binance and pybit trade on the local exchange
	@TICKMAKER_PYTHON=$(PY) $(CLIENTS)/bin/python -m pytest -q -n $(JOBS) \
		-c tests/ccxt/pytest.ini --rootdir tests/ccxt --confcutdir tests/ccxt tests/ccxt $(ARGS)

drills: build $(VENV)/.dev ## some forty drills a venue: real processes are killed, cut off, refused (20 minutes)
	@$(DRILLS) $(ARGS)

drill: build $(VENV)/.dev
	@$(DRILLS) -m quick $(ARGS)

clients: $(CLIENTS)/.ready ## other people's trading clients, pinned, in an environment of their own

check: lint types test ## what a commit must pass

lint: $(VENV)/.dev ## ruff on Python, cython-lint on Cython
	@$(BIN)/ruff check .
	@PATH="$(BIN):$$PATH" cython-lint fastcore engine

types: $(VENV)/.dev ## mypy --strict on the engine and on the stubs of the core
	@$(BIN)/mypy

sim: build ## 2,000 seeds of engine against exchange in virtual time, of each venue
	@$(BIN)/tickmaker sim --seeds $(SEEDS) --venue binance_usdm --schedule swarm --jobs $(JOBS) $(ARGS)
	@$(BIN)/tickmaker sim --seeds $(SEEDS) --venue binance_spot --schedule swarm --jobs $(JOBS) $(ARGS)
	@$(BIN)/tickmaker sim --seeds $(SEEDS) --venue bybit --schedule swarm --jobs $(JOBS) $(ARGS)

mutants: build $(VENV)/.dev ## plant known bugs one at a time: the tests must notice each
	@$(PY) tests/mutants/run.py $(ARGS)

fuzz: build $(VENV)/.dev ## coverage-guided fuzzing with clang (ARGS="--minutes 30 --target all")
	@$(PY) tests/fuzz/run.py $(ARGS)

bench: build $(VENV)/.dev ## measure all into bench/results (TAPE=raw capture); peers need a package index
	@$(BIN)/tickmaker bench core --out bench/results/core.json $(if $(TAPE),--tape $(TAPE))
	@$(BIN)/tickmaker bench parts --out bench/results/parts.json $(if $(TAPE),--tape $(TAPE))
	@$(BIN)/tickmaker bench soak --out bench/results/soak.json $(if $(TAPE),--tape $(TAPE))
	@$(BIN)/tickmaker bench book --out bench/results/book.json $(if $(TAPE),--tape $(TAPE))
	@$(BIN)/tickmaker bench matching --out bench/results/matching.json
	@$(BIN)/tickmaker bench agents --out bench/results/agents_day.json
	@$(BIN)/tickmaker bench sim --out bench/results/sim.json
	@$(BIN)/tickmaker bench sim --hours 24 --out bench/results/sim_day.json
	@$(BIN)/tickmaker bench wire --out bench/results/wire.json
	@$(BIN)/tickmaker bench recorder --out bench/results/recorder.json
	@$(BIN)/tickmaker bench capacity --out bench/results/capacity.json
	@$(PY) -m bench.recovery --out bench/results/recovery.json
	@$(BIN)/tickmaker bench exchange --out bench/results/exchange.json
	@$(if $(TAPE),$(BIN)/tickmaker bench tape --tape $(TAPE) --out bench/results/tape_serving.json)

builds: build $(SAFE_BUILT) $(VENV)/.dev clients ## all that tests stand on (with -j2 side by side)

build: $(VENV)/.installed ## .venv, pinned packages, compiled modules

lock: $(VENV)/.runtime ## resolve the newest allowed packages into the lock files
	@deploy/lock.sh $(PY)

clean: ## remove all that the other targets made, .venv too
	rm -rf build $(VENV) *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find fastcore engine -name '*.so' -delete

# -- what the targets stand on: each stamp is newer than all that it was made from ---------

$(PY):
	@deploy/venv.sh $(VENV)

$(VENV)/.runtime: deploy/requirements.lock | $(PY)
	@echo "==> Installing pinned packages into $(VENV) (20 to 60 seconds)"
	@$(PIP) -r $<
	@touch $@

$(VENV)/.dev: deploy/requirements-dev.lock $(VENV)/.runtime
	@echo "==> Installing pinned test tools into $(VENV) (10 to 30 seconds)"
	@$(PIP) -r $<
	@touch $@

$(CLIENTS)/.ready: deploy/requirements-clients.lock | $(PY)
	@echo "==> Installing pinned trading clients into $(CLIENTS) (10 to 30 seconds)"
	@$(PY) -m venv --clear --without-pip $(CLIENTS)
	@$(subst -m pip,-m pip --python $(CLIENTS)/bin/python,$(PIP)) -r $<
	@touch $@

# A changed recipe or compiler recompiles everything; a changed module, only what reads it.
# The safe build is optimised less: its tests take as long, and the compiler a third of the time.
FORCE = $(if $(filter setup.py $(VENV)/.runtime,$?),--force)

$(VENV)/.built: setup.py $(SOURCES) $(VENV)/.runtime
	@echo "==> Compiling (a minute or so the first time)"
	@$(PY) setup.py -q build_ext --inplace -j $(JOBS) $(FORCE) | sed '/^Compiling /d'
	@touch $@

$(VENV)/.installed: pyproject.toml $(VENV)/.built
	@FASTCORE_COMPILE=0 $(PY) -m pip --disable-pip-version-check install --quiet --no-deps --no-build-isolation -e .
	@touch $@

$(SAFE_BUILT): setup.py $(SOURCES) $(VENV)/.runtime
	@echo "==> Compiling the safe build into $(SAFE)"
	@FASTCORE_SAFE=1 FASTCORE_CFLAGS="-O1 -g0" $(PY) setup.py -q build_ext --build-lib $(SAFE) -j $(JOBS) $(FORCE) | sed '/^Compiling /d'
	@touch $@
