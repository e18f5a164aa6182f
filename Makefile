# All that one does with a checkout. Needs no more than make and a Python >= 3.11; see tools/bootstrap.

.DEFAULT_GOAL := help
unexport PYTHONDONTWRITEBYTECODE  # or each program that a test starts compiles 280 modules anew: 0.3 s
.PHONY: tools help demo up test lint unit simulate faults attack versions fleets fuzz see servers bench bench-full bench-jobs bench-agent bench-board bench-broker bench-fleet bench-heartbeat \
	bench-queue bench-files lock audit sbom man docs agent.pyz deb clean

# Stamps: what was installed into .venv, for which setup.cfg. The one for tests includes the other.
RUN   := .venv/.installed-run
TESTS := .venv/.installed-test

# The limit on the parts that must not lose a job: branches included, in percent.
COVERED := copilot/protocol copilot/store
LIMIT   := 95

# One worker more than there are cores, at most 8: tests with real servers wait about a third of their time.
WORKERS := $(shell python3 -c 'import os; print(min(8, len(os.sched_getaffinity(0)) + 1))')

# Where `bench.virtual` has made the environment of requirements/$(1).lock, and a program of that of the tools.
environment = $$(.venv/bin/python -c 'from bench import virtual; from pathlib import Path; print(virtual.in_cache(Path("$(1)")))')
tool = $(call environment,tools)/bin/$(1)

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | while IFS='	' read -r name what; do printf '  make %-12s %s\n' "$$name" "$$what"; done

demo: $(RUN)  ## start everything in a private directory, run one job through it, stop everything
	.venv/bin/copilot demo examples/calculator.sh

up: $(RUN)  ## start the embedded system and leave it running until Ctrl-C
	.venv/bin/copilot up

# Coverage starts by itself in the workers of the run; `tests/conftest.py` keeps it out of the programs under test.
test: lint servers  ## all checks and all tests, with coverage
	rm -f .coverage .coverage.*
	COVERAGE_PROCESS_START=$(CURDIR)/setup.cfg COVERAGE_FILE=$(CURDIR)/.coverage \
		.venv/bin/python -m pytest -n $(WORKERS) --dist worksteal
	.venv/bin/python -m coverage combine --quiet
	@for part in $(COVERED); do \
		echo "Coverage of $$part, at least $(LIMIT) %:"; \
		.venv/bin/python -m coverage report --include "$$part/*" --fail-under $(LIMIT) || exit 1; \
	done

unit: $(TESTS)  ## the quick tests, without servers
	.venv/bin/python -m pytest -q -m "not server" tests/unit

simulate: $(TESTS)  ## 10,000 schedules of loss, partitions, deaths and clock jumps, in memory; some minutes
	SIMULATE=18 .venv/bin/python -m pytest -n auto --maxprocesses 8 --timeout 3600 tests/integration/test_conversation.py

# A short campaign on ejabberd goes first, so that the last line is that of the long one.
faults: servers  ## 2,000 jobs, 200 real faults, one table; `make faults SEED=…` repeats it; half an hour
	.venv/bin/python -m tests.faults --short --server ejabberd $(if $(SEED),--seed $(SEED))
	.venv/bin/python -m tests.faults $(if $(SEED),--seed $(SEED))

attack: servers  ## the system under attack from this machine, one table; `make attack SECONDS=…`; some four minutes
	.venv/bin/python -m tests.attack $(if $(SEED),--seed $(SEED)) $(if $(SECONDS),--seconds $(SECONDS))

fuzz: $(TESTS)  ## all that reads what others write, with atheris; `make fuzz SECONDS=60`, for each target; ten minutes
	.venv/bin/python -m tests.fuzz --seconds $(or $(SECONDS),60)

see: servers  ## the dashboard in Chromium before 10,000 simulated agents; four minutes; pictures in build/screenshots
	AGENTS=10000 .venv/bin/python -m pytest -q --timeout 900 tests/browser

fleets: servers  ## fleets, quotas and operators against the queue in memory and in Redis, in lockstep; `make fleets NUMBER=100`; some minutes
	.venv/bin/python -m tests.contract.fleet $(or $(NUMBER),20)

versions: servers  ## this version beside the release before it: managers, agents, submitters, monitor; some minutes
	VERSIONS=all .venv/bin/python -m pytest -q --timeout 180 tests/versions

lint: $(TESTS)  ## style, types and the direction of imports
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy
	.venv/bin/lint-imports

servers: $(TESTS)  ## find the servers and tools of the tests, or fetch them into a cache (installs nothing)
	.venv/bin/python -m copilot.local.provision --all prosody ejabberd redis-server chirp_server promtool chromium bwrap nft
	.venv/bin/python -m tests.carbon.environment
	.venv/bin/python -m bench.virtual tests/acceptance/requirements/aioxmpp.txt requirements/docs.lock
	.venv/bin/python -m tools.pack.parts requirements/agent.lock

bench: servers  ## all goals and figures in one table, short forms; a quarter of an hour
	@.venv/bin/python -m bench.run

bench-full: servers  ## the same with at least five rounds of everything; an hour and more
	@.venv/bin/python -m bench.run --full

bench-jobs: servers  ## real jobs beside seven peers, and the time until one starts; ten minutes
	@.venv/bin/python -m bench.run --full jobs

bench-agent: servers  ## memory of an agent, and the time from its start to a payload; a minute
	@.venv/bin/python -m bench.run --full agent

bench-files: servers  ## large and small files beside chirp_put and curl; some minutes
	@.venv/bin/python -m bench.run --full files

bench-broker: servers  ## managers, XMPP server and Redis under simulated agents; ten minutes
	@.venv/bin/python -m bench.broker --managers 1 2 3

bench-queue: servers  ## claims from a million jobs in a thousand groups, beside a thousand jobs; submits in bulk; ten minutes
	@.venv/bin/python -m bench.run --full queue

bench-fleet: servers  ## ten thousand idle agents on one ejabberd and two managers; half an hour
	@.venv/bin/python -m bench.run --full fleet

bench-board: servers  ## what the dashboard costs with a million jobs and ten thousand agents; some minutes
	@.venv/bin/python -m bench.run --full board

bench-heartbeat: servers  ## a ping of 500 components in chat rooms, on Prosody and on ejabberd; two minutes
	@.venv/bin/python -m bench.heartbeat

# In the cache of servers, as the environments of the tests.
tools: $(TESTS)
	@.venv/bin/python -m bench.virtual requirements/tools.lock

lock: tools  ## newest versions into the lock files, with their hashes
	tools/lock $(call tool,uv)

# Asks the advisory service of the registry; `make audit SERVICE=osv` asks another one. Without an answer it fails.
audit: tools  ## known weaknesses of what the lock files name
	@for lock in run agent test tools docs; do \
		$(call tool,pip-audit) --strict --require-hashes --disable-pip --progress-spinner off \
			$(if $(SERVICE),--vulnerability-service $(SERVICE)) --requirement requirements/$$lock.lock || exit 1; \
	done

sbom: tools  ## build/sbom.json: what a running Co-Pilot is made of (CycloneDX), with licences and hashes
	@.venv/bin/python -m bench.virtual requirements/run.lock
	@mkdir -p build
	$(call tool,python) tools/sbom.py $(call environment,run)/bin/python build/sbom.json

man: $(RUN)  ## build/man: a man page for each command, made from the commands
	@.venv/bin/python -m copilot.cli.manpages build/man

docs: $(TESTS)  ## build/docs: the pages for a browser, with navigation and search; no warning is let pass
	@.venv/bin/python -m bench.virtual requirements/docs.lock
	$(call environment,docs)/bin/python -m sphinx -q -n -W --keep-going -c docs -d build/docs-trees -b html . build/docs
	@echo build/docs/index.html

# `make agent.pyz PYTHONS="3.11 3.12" MACHINE=aarch64`; less for fewer versions.
agent.pyz: $(TESTS)  ## build/copilot-agent.pyz: the agent as one file, for machines with a Python and nothing else
	.venv/bin/python -m tools.pack.onefile build/copilot-agent.pyz --python $(or $(PYTHONS),3.11 3.12 3.13) \
		$(if $(MACHINE),--machine $(MACHINE))

# For the Python of the Debian release that it shall go to: `make deb PYTHONS=3.13`.
deb: $(TESTS)  ## build/copilot-broker_….deb: the Debian package, for this machine's kind and version of Python
	.venv/bin/python -m tools.pack.debian build $(if $(PYTHONS),--python $(PYTHONS)) $(if $(MACHINE),--machine $(MACHINE))

clean:  ## remove what make made here (the cache of servers stays)
	rm -rf .venv build dist *.egg-info .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(RUN): setup.cfg pyproject.toml tools/bootstrap requirements/run.lock
	tools/bootstrap run
	@touch $@

$(TESTS): setup.cfg pyproject.toml tools/bootstrap requirements/test.lock
	tools/bootstrap test
	@touch $(RUN) $@
