# Targets of this repository. `make` lists them.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

TARGET := $(or $(CARGO_TARGET_DIR),target)
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/cnbi
CARGO_DENY_VERSION := 0.20.2
CARGO_DENY := $(CACHE)/tools/cargo-deny-$(CARGO_DENY_VERSION)/bin/cargo-deny
UV_VERSION := $(shell sed -n 's/^uv==//p' pipelines/tools.txt)
UV := $(CACHE)/tools/uv-$(UV_VERSION)/bin/uv
SCHEMAS_VERSION := $(shell sed -n 's/^check-jsonschema==\([^ ]*\).*/\1/p' tests/tools/schemas.txt)
SCHEMAS := $(CACHE)/tools/schemas-$(SCHEMAS_VERSION)
PIP := PIP_ROOT_USER_ACTION=ignore python3 -m pip install --quiet --disable-pip-version-check --no-input
# Reference implementation of requirements, in its own folder for PYTHONPATH.
PACKAGING_VERSION := $(shell sed -n 's/^packaging==//p' tests/oracles/requirements.txt)
PACKAGING := $(CACHE)/tools/packaging-$(PACKAGING_VERSION)
# Parts of the tests to leave out; buildah is the only one.
comma := ,
WITHOUT := $(subst $(comma), ,$(CNBI_WITHOUT))

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-19s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: tools
tools: bins $(UV) $(SCHEMAS) $(PACKAGING) $(if $(filter buildah,$(WITHOUT)),,buildah) ## Install the tools of the tests into the cache folder
	@$(TARGET)/debug/cnbi-local tools

$(UV):
	@echo "uv $(UV_VERSION) is installed once into $(CACHE)/tools"
	@rm -rf $(CACHE)/tools/uv-$(UV_VERSION).part
	@$(PIP) --target $(CACHE)/tools/uv-$(UV_VERSION).part --requirement pipelines/tools.txt
	@rm -rf $(CACHE)/tools/uv-$(UV_VERSION)
	@mv $(CACHE)/tools/uv-$(UV_VERSION).part $(CACHE)/tools/uv-$(UV_VERSION)

$(SCHEMAS):
	@rm -rf $@.part
	@$(PIP) --no-deps --target $@.part --requirement tests/tools/schemas.txt
	@mv $@.part $@

$(PACKAGING):
	@rm -rf $@.part
	@$(PIP) --target $@.part --requirement tests/oracles/requirements.txt
	@mv $@.part $@

.PHONY: buildah
buildah:
	@command -v buildah >/dev/null || tests/tools/get-buildah

.PHONY: build
build: bins ## Build the programs

# Tests start the programs of other crates, which cargo would not build for them.
.PHONY: bins
bins:
	cargo build --workspace --bins

# Static programs for the image tests, built here so that progress is visible.
.PHONY: static
static:
	@PROFILE=dev deploy/images/static cnbi-webhook cnbi-controller >/dev/null

# With this variable, comparing random inputs is mandatory.
test soak: export CNBI_ORACLE_PYTHON := $(PACKAGING)

.PHONY: test
test: tools $(if $(filter buildah,$(WITHOUT)),,static) ## Run all tests, on a real control plane
	@.ci/cargo-test

# The tests that depend most on the API server. CNBI_KUBE_VERSION works with other targets too.
.PHONY: test-older
test-older: export CNBI_KUBE_VERSION := 1.35
test-older: bins ## Run the tests of admission, schema and installation on Kubernetes 1.35
	@$(TARGET)/debug/cnbi-local tools
	@.ci/cargo-test --package cnbi-tests --test admission --test install

.PHONY: lint
lint: $(CARGO_DENY) ## Check format, lints and dependencies
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo clippy -p cnbi-tests --features bench --bin cnbi-bench -- -D warnings
	$(CARGO_DENY) --all-features check bans licenses sources

$(CARGO_DENY):
	@echo "cargo-deny $(CARGO_DENY_VERSION) is built once into $(CACHE)/tools; this takes some minutes"
	cargo install --quiet --locked --version $(CARGO_DENY_VERSION) --root $(CACHE)/tools/cargo-deny-$(CARGO_DENY_VERSION) cargo-deny

# Variables are described in deploy/install.
deploy undeploy: export OVERLAY := $(OVERLAY)
deploy undeploy: export KUBECTL := $(KUBECTL)
deploy undeploy: export WAIT := $(WAIT)
deploy undeploy: export KEEP_RESOURCES := $(KEEP_RESOURCES)

.PHONY: deploy
deploy: ## Install CNBi on the current cluster of kubectl
	@deploy/install deploy

.PHONY: undeploy
undeploy: ## Uninstall CNBi, with every CustomNBImage
	@deploy/install undeploy

# NAMESPACE: the build namespace. TARGETS: the namespaces of ImageStreams. KUBECTL: kubectl with optional flags.
install-pipelines uninstall-pipelines: export NAMESPACE := $(NAMESPACE)
install-pipelines uninstall-pipelines: export TARGETS := $(TARGETS)
install-pipelines uninstall-pipelines: export KUBECTL := $(KUBECTL)

.PHONY: install-pipelines
install-pipelines: ## Install Pipelines and Tasks on the current cluster of kubectl
	@pipelines/install install

.PHONY: uninstall-pipelines
uninstall-pipelines: ## Uninstall Pipelines and Tasks; keep the runs
	@pipelines/install uninstall

# IMAGES: prefix of the names, such as registry.example/cnbi. Variables are described in pipelines/images.
.PHONY: step-images
step-images: ## Build the images that the steps of the tasks run
	@pipelines/images

# Variables are described in deploy/images/build.
.PHONY: images
images: ## Build the images of cnbi-webhook and cnbi-controller
	@deploy/images/build

.PHONY: up
up: bins ## Start a local cluster with CNBi and print its KUBECONFIG
	@$(TARGET)/debug/cnbi-local up

.PHONY: down
down: bins ## Stop the local cluster and remove its data
	@$(TARGET)/debug/cnbi-local down

# Needs python3 and pip.
.PHONY: oracles
oracles: ## Compare the grammars with their reference implementations on random input
	tests/oracles/run

# Optional tools; the tour prints what it leaves out without them.
.PHONY: demo
demo: bins ## Run the tour: requests and builds on a real API server
	@[[ -e $(UV) ]] || $(MAKE) $(UV) || echo "uv could not be installed; the tour continues without it"
	@command -v buildah >/dev/null || [[ -n "$(filter buildah,$(WITHOUT))" ]] || tests/tools/get-buildah || echo "The tour continues without buildah."
	@$(TARGET)/debug/cnbi-local demo

# CNBI_SEED repeats a run; see docs/development/testing.md.
.PHONY: soak
soak: tools ## Run fault loops and random inputs for longer (a quarter of an hour or more)
	CNBI_KILLS=$${CNBI_KILLS:-200} cargo test --workspace --test admission endurance:: -- --nocapture
	CNBI_KILLS=$${CNBI_KILLS:-200} cargo test --workspace --test controller faults:: -- --nocapture
	CNBI_FUZZ_RUNS=$${CNBI_FUZZ_RUNS:-300000} cargo test --workspace --test admission fuzz:: -- --nocapture
	CNBI_SCHEMA_RUNS=$${CNBI_SCHEMA_RUNS:-20000} cargo test --workspace --test admission schema::generated_resources -- --nocapture
	tests/oracles/run $${CNBI_ORACLE_RUNS:-100000} $${CNBI_SEED:-}
	@echo "soak: all parts passed"

# Release builds, linked statically as in the images; the peer is built with Go. Takes half an hour, or two minutes with BENCH=quick.
BENCH_TARGET := $(TARGET)/bench
WEBHOOK := $(TARGET)/$(shell uname -m)-unknown-linux-gnu/release/cnbi-webhook
SCALE := $(if $(filter quick,$(BENCH)),100,100 1000 10000)

.PHONY: bench
bench: bench-bins ## Compare the webhook with a Go peer, and measure the controller (BENCH=quick: two minutes)
	@rm -f $(BENCH_TARGET)/controller.jsonl
	@for many in $(SCALE); do \
	  CNBI_MANY=$$many CNBI_SCALE_RESULTS=$(abspath $(BENCH_TARGET))/controller.jsonl \
	    cargo test --release -p cnbi-webhook -p cnbi-controller -p cnbi-tests --features cnbi-tests/bench --test controller --quiet -- many_at_once; \
	done
	@$(TARGET)/release/cnbi-bench run --webhook $(WEBHOOK) --peer $(BENCH_TARGET)/peer --output $(BENCH_TARGET) $(if $(filter quick,$(BENCH)),--quick)

# Only the webhook.
.PHONY: bench-webhook
bench-webhook: bench-bins
	@$(TARGET)/release/cnbi-bench run --webhook $(WEBHOOK) --peer $(BENCH_TARGET)/peer --output $(BENCH_TARGET) $(if $(filter quick,$(BENCH)),--quick)

.PHONY: bench-bins
bench-bins:
	@mkdir -p $(BENCH_TARGET)
	cargo build --release --features cnbi-tests/bench $(foreach crate,webhook controller tests,-p cnbi-$(crate)) \
	  $(foreach program,webhook controller local bench,--bin cnbi-$(program))
	PROFILE=release deploy/images/static cnbi-webhook >/dev/null
	cd tests/bench/peer && GOWORK=off CGO_ENABLED=0 go build -o $(abspath $(BENCH_TARGET))/peer .

.PHONY: bench-document
bench-document: bench ## Run bench and update docs/development/performance.md
	@$(TARGET)/release/cnbi-bench quote --output $(BENCH_TARGET) --document docs/development/performance.md
