# The two commands of the README are `make demo` and `make test`; the rest is for people who change Lifeboat.
#
# Cargo's target directory lies in a cache outside the clone, so that a second clone builds quickly.
export CARGO_TARGET_DIR ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/lifeboat/target

FAULT  ?= region-loss
REPEAT ?= 1
STORE  ?= file
RUNS   ?= 5

# Of `make soak`: the first schedule's seed (drawn from the clock if empty), how many schedules, and for how long at most.
SEED      ?=
SCHEDULES ?= 100
MINUTES   ?= 90

.PHONY: demo test kube soak bench lint unit build tools clean-cache

demo: tools ## Lose a region for real, and see the app live
	cargo build --quiet -p lifeboat -p shop
	$(CARGO_TARGET_DIR)/debug/lifeboat drill examples/local/lifeboat.yaml --fault $(FAULT) --repeat $(REPEAT) --store $(STORE) --out demo-report

test: ## Everything
	@tools/install etcd network validators
	@$(MAKE) --no-print-directory lint
	LIFEBOAT_TOOLS="$${LIFEBOAT_TOOLS:-$$(tools/install --validators)}" tools/test

kube: ## A real Kubernetes API server for the tests, compiled from Debian's source package; some minutes, once
	@tools/install etcd
	tools/kube-apiserver

soak: ## A hundred fault schedules from seeds, on real servers in network namespaces: SEED=, SCHEDULES=, MINUTES=
	@tools/install etcd network
	cargo test --quiet -p lifeboat --test lab -- soak "$(SEED)" "$(SCHEDULES)" "$(MINUTES)"

bench: ## Lifeboat beside its peers, what the commit gate costs, how an assessment grows; some two hours, on a machine that does nothing else
	@tools/install bench
	cargo build --release --quiet -p lifeboat
	bench/commit-gate/run --table docs/bench-commit-gate.md
	bench/region-kill/run --runs $(RUNS) --table docs/bench-region-kill.md --renew README.md
	bench/assess-growth/run --runs $(RUNS) --table docs/bench-assess-growth.md

lint: ## Format, clippy, licences, the direction of dependencies
	cargo fmt --check
	cargo clippy --quiet --workspace --all-targets -- -D warnings
	python3 tools/dependencies.py
	python3 -B bench/region-kill/test_measure.py --quiet

build:
	cargo build --workspace --all-targets

tools: ## Install what is missing, and say so
	@tools/install $(filter etcd,$(STORE)) $(if $(filter partition,$(FAULT)),etcd network)
