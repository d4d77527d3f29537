# Everything runs in .venv, which is made from the hash-pinned requirements. Only Python 3.11+ and make must be installed.
.DEFAULT_GOAL := help
.PHONY: help demo test test-fast test-most test-all coverage test-readers test-docker test-cloud fuzz gate check format docs build deploy package destroy clean lock

PYTHON ?= python3
BIN := .venv/bin
# Python imports this project from the checkout, which stays free of bytecode files: they are here.
export PYTHONPYCACHEPREFIX := $(abspath .venv)/bytecode
# Many containers set this variable. Then every process would compile all its modules, also those of Python itself.
unexport PYTHONDONTWRITEBYTECODE
export SAM_CLI_TELEMETRY := 0
ARGS ?=
STACK ?= imagelake
FUZZ_SECONDS ?= 60
BUILD_DIR ?= .aws-sam/build
WHEELS := manylinux_2_34_x86_64 manylinux_2_28_x86_64 manylinux2014_x86_64

help:  ## list the commands
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

demo: .venv/local  ## run the whole pipeline on this machine; ARGS="--feed bluesky:ACCOUNT --limit 50" reads a live feed
	@$(BIN)/python -m local demo $(ARGS)

test: .venv/dev  ## run the unit, workflow and stack tests
	@$(PYTEST) -m "$(HERE) and not full" $(ARGS)

test-fast: .venv/dev  ## run the quick unit and static tests: the loop while you edit
	@$(PYTEST) -m "$(HERE) and not full and not slow" --ignore tests/unit/local tests/unit tests/static $(ARGS)

test-most: .venv/dev  ## run all tests but the sets that take an hour: what .ci/run runs
	@$(PYTEST) -m "$(HERE) and not exhaustive" $(ARGS)

test-all: .venv/dev  ## run the tests of make test, and the full sets of which it runs a sample
	@$(PYTEST) -m "$(HERE)" $(ARGS)

PYTEST = $(BIN)/python -m pytest -q -n $(PROCESSES) --no-loadscope-reorder
# Some tests wait, so three processes keep two cores at work. Those of test-fast only compute.
PROCESSES := 3
test-fast: PROCESSES := 2
HERE := not docker and not cloud and not gate and not readers

coverage: .venv/dev  ## measure how much of functions/ the unit tests run; fails below the minimum
	@$(PYTEST) -m "not full" --cov=functions --ignore tests/unit/local tests/unit $(ARGS)

test-readers: .venv/dev .venv-readers/pyvenv.cfg .venv-readers-oldest/pyvenv.cfg  ## read the dataset with the newest and the oldest programs of docs/dataset.md
	@for env in readers readers-oldest; do .venv-$$env/bin/pip install --quiet --disable-pip-version-check --require-hashes --no-deps --only-binary :all: -r requirements/$$env.txt || exit 1; done
	@$(BIN)/python -m pytest -q -m readers tests/readers $(ARGS)

test-docker: .venv/dev  ## run the workflow tests on Step Functions Local in Docker
	@if docker info >/dev/null 2>&1; then $(BIN)/python -m pytest -q -m docker tests/docker $(ARGS); \
	else echo "make test-docker: skipped, because Docker is not running here"; fi

test-cloud: .venv/dev  ## deploy and test the stack IMAGELAKE_CLOUD_STACK in your AWS account; costs cents
	@$(BIN)/python -m pytest -q -m cloud tests/cloud $(ARGS)

fuzz: .venv-fuzz/pyvenv.cfg  ## search for bytes that crash the code for images or for texts; FUZZ_SECONDS=60 for each
	@if .venv-fuzz/bin/pip install --quiet --disable-pip-version-check --require-hashes --no-deps --only-binary :all: -r requirements/fuzz.txt >.venv-fuzz/pip.log 2>&1; \
	then .venv-fuzz/bin/python tests/fuzz/fuzz_process.py $(FUZZ_SECONDS) && .venv-fuzz/bin/python tests/fuzz/fuzz_text.py $(FUZZ_SECONDS); \
	else echo "make fuzz: skipped, because the fuzzer cannot be installed here; see .venv-fuzz/pip.log" >&2; test -z "$$CI"; fi

gate: .venv/dev .venv-gate/pyvenv.cfg  ## check the expanded CloudFormation template with Checkov
	@if .venv-gate/bin/pip install --quiet --disable-pip-version-check --require-hashes --no-deps --only-binary :all: -r requirements/gate.txt >.venv-gate/pip.log 2>&1; \
	then $(BIN)/python -m pytest -q -m gate tests/gate $(ARGS); \
	else echo "make gate: skipped, because Checkov cannot be installed here; see .venv-gate/pip.log" >&2; test -z "$$CI"; fi

format: .venv/dev  ## format the Python code and fix what ruff can fix
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

check: .venv/dev  ## check format, lint, types, imports, template and state machine
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	PYTHONPATH=functions $(BIN)/lint-imports
	$(BIN)/cfn-lint template.yaml
	AWS_DEFAULT_REGION=us-east-1 $(BIN)/sam validate --lint
	$(BIN)/python -m pytest -q tests/static

docs: .venv/dev  ## generate the parts of docs/, terraform/ and template.yaml that are made from the code
	PYTHONPATH=functions $(BIN)/python -m tools.networks_page
	PYTHONPATH=functions $(BIN)/python -m tools.glue_projection
	PYTHONPATH=functions $(BIN)/python -m tools.schemas
	$(BIN)/python -m tools.terraform_module

# Where the wheels of this machine do not fit Lambda, SAM's builder asks pip a second time, without hashes. So these
# variables make pip take Lambda's wheels the first time, and refuse every wheel without a hash.
build: .venv/dev  ## build the Lambda bundle, its layer and their SBOM (needs python3.13 on PATH)
	@command -v python3.13 >/dev/null && python3.13 -c '' 2>/dev/null || { echo "make build: python3.13 is not on PATH; SAM needs it, because Lambda runs Python 3.13" >&2; exit 1; }
	PIP_REQUIRE_HASHES=1 PIP_ONLY_BINARY=:all: PIP_PLATFORM="$(WHEELS)" $(BIN)/sam build --build-dir $(BUILD_DIR) $(ARGS)
	PYTHONPATH=functions $(BIN)/python -m tools.sbom $(BUILD_DIR)

deploy: .venv/dev  ## deploy to your AWS account after a few questions; STACK=imagelake
	@PYTHONPATH=functions $(BIN)/python -m tools.deploy $(STACK) $(ARGS)

package: build  ## upload the stack to BUCKET and print the URL of its template, for Terraform
	@$(BIN)/python -m tools.package $(BUILD_DIR)/template.yaml "$(BUCKET)"

destroy: .venv/dev  ## delete the stack from your AWS account, except its data; STACK=imagelake
	@$(BIN)/python -m tools.destroy $(STACK) $(ARGS)

clean:  ## remove everything that make has created here, except the datasets in .imagelake
	rm -rf .venv .venv-fuzz .venv-gate .venv-readers .venv-readers-oldest .aws-sam .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	@test ! -e .imagelake || echo "Your datasets are still in .imagelake ($$(du -sh .imagelake | cut -f1)); delete them with: rm -r .imagelake"

lock:  ## resolve the requirements again (needs uv on PATH)
	cd requirements && $(LOCK) dev.in -o dev.txt && $(LOCK) -c dev.txt local.in -o local.txt && $(LOCK) -c dev.txt fuzz.in -o fuzz.txt && $(LOCK) gate.in -o gate.txt && $(LOCK) readers.in -o readers.txt && $(LOCK) readers-oldest.in -o readers-oldest.txt
	$(LOCK) -c requirements/dev.txt functions/requirements.in -o functions/requirements.txt
	$(LOCK) -c requirements/dev.txt layers/imaging/requirements.in -o layers/imaging/requirements.txt

# The header of a lock repeats the options that dependabot looks for there.
LOCK := uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
	--no-annotate --quiet --custom-compile-command 'make lock, with --universal --python-version 3.11'

# The fuzzer has wheels for some interpreters only, Checkov needs other versions, and readers are tested in two versions,
# so each has an environment of its own.
.venv-fuzz/pyvenv.cfg .venv-gate/pyvenv.cfg .venv-readers/pyvenv.cfg .venv-readers-oldest/pyvenv.cfg:
	@$(PYTHON) -m venv $(@D)

# local/environment.py makes .venv/local and .venv/dev, which record that requirements are installed; dev includes local.
.venv/local .venv/dev: .venv/%: requirements/%.txt
	@$(PYTHON) local/environment.py $*
