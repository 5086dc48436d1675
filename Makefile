# Every command that this project knows. CI calls `make test` and nothing else.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Tools built from crates.io live outside the tree, so that a fresh clone finds them again.
TOOLS ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/tidegate
export TIDEGATE_TOOLS := $(TOOLS)
# Shown by tidegate_build_info.
export TIDEGATE_COMMIT ?= $(shell git rev-parse --short HEAD 2>/dev/null || echo unknown)

# What `make release` leaves.
DIST := $(or $(CARGO_TARGET_DIR),target)/dist/tidegate

.PHONY: help run test check unit deny doc fmt tools fuzz gates release bench bench-l4 bench-micro bench-quick bench-resilience bench-tls instructions clean

help: ## this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort | expand -t 16

run: ## the demo: three origins and a proxy on 127.0.0.1:8080 (needs the Rust toolchain alone)
	cargo run --locked --quiet -- demo

test: tools check unit ## everything that CI runs (root and Debian: it installs what tests need)

check: fmt deny doc ## format, lints, dependencies, documentation
	cargo clippy --locked --all-targets -- -D warnings

fmt:
	cargo fmt --check

deny: $(TOOLS)/bin/cargo-deny
	$(TOOLS)/bin/cargo-deny --locked --log-level warn check --hide-inclusion-graph bans licenses sources

doc:
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --document-private-items

unit:
	cargo test --locked --all-targets
	cargo test --locked --doc

tools: $(TOOLS)/bin/cargo-deny ## install what tests and benches need
	scripts/tools.sh

$(TOOLS)/bin/cargo-deny: scripts/crate-tool.sh Makefile
	scripts/crate-tool.sh cargo-deny 0.20.2 --no-default-features

$(TOOLS)/bin/oha: scripts/crate-tool.sh Makefile
	OPT=2 scripts/crate-tool.sh oha 1.16.0

$(TOOLS)/bin/smugglex: scripts/crate-tool.sh Makefile
	scripts/crate-tool.sh smugglex 0.4.0

fuzz: ## every fuzz target for FUZZ_SECONDS (60) each, one after the other; needs a C++ compiler, see fuzz/README.md
	fuzz/run.sh $(or $(FUZZ_SECONDS),60)

gates: tools $(TOOLS)/bin/oha $(TOOLS)/bin/smugglex ## what is too slow for every run
	scripts/gates.sh

release: tools ## the binary that is shipped, by a profile of what serving does: dist/tidegate in the target directory (two builds)
	scripts/release.sh

bench: release ## the shipped binary against nginx and HAProxy on this machine; writes docs/benchmarks.md (about ten minutes)
	python3 benches/peers/bench.py --tidegate $(DIST) --write docs/benchmarks.md

bench-tls: release ## CPU of the shipped binary under TLS and HTTP/2, beside nginx and HAProxy
	python3 benches/peers/secure.py --tidegate $(DIST)

bench-micro: tools ## single functions: pick, route, heads, limiters, and decisions of a Redis
	cargo bench --locked

bench-resilience: tools ## slow, failing, hanging, returning and overloaded endpoints, with nginx and HAProxy; writes docs/resilience.md
	cargo build --locked --release --bin tidegate
	python3 benches/peers/resilience.py --full --write docs/resilience.md

bench-l4: release ## the shipped binary with byte streams and datagrams against HAProxy (tcp) and nginx (stream); writes docs/benchmarks-l4.md
	python3 benches/peers/l4.py --tidegate $(DIST) --write docs/benchmarks-l4.md

bench-quick: tools ## a plain release build with three short rounds; writes nothing
	cargo build --locked --release --bin tidegate --example bench-origin
	python3 benches/peers/bench.py --quick

instructions: tools ## instructions per request by callgrind, against the committed baseline (seconds)
	cargo build --locked --release --bin tidegate --example bench-origin
	python3 benches/peers/instructions.py

clean: ## remove what was built
	cargo clean
