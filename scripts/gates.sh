#!/usr/bin/env bash
# What is too slow, or too heavy on the machine, for every run of the tests. `make gates` calls it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# The integration tests at full size: kills, restarts, reloads, rotations, a million nonces, eight thousand slow clients.
ulimit -n 20000
TIDEGATE_FAULT_SCALE=full cargo test --locked --release --test it -- --test-threads=1

# The models of the parsers at full size.
TIDEGATE_FAULT_SCALE=full cargo test --locked --release --test wire

# The models of the limiters and of the table of routes.
TIDEGATE_FAULT_SCALE=full cargo test --locked --release --lib -- limit::tests route::tests

# What a request costs in instructions: not more than the committed baseline allows.
cargo build --locked --release --bin tidegate --example bench-origin
python3 benches/peers/instructions.py

# A scanner for smuggled requests, which must find what there is in a weak proxy and nothing in this one.
python3 tests/gates/smuggling.py "$TIDEGATE_TOOLS/bin/smugglex" "${CARGO_TARGET_DIR:-target}/release/tidegate"

# What scanners of TLS find: nothing above LOW, and Mozilla's "intermediate".
python3 tests/gates/tls.py "${CARGO_TARGET_DIR:-target}/release/tidegate" "$TIDEGATE_TOOLS/python/bin/sslyze"

# Slow clients of three kinds, beside healthy ones that must not notice.
python3 tests/gates/slow.py "${CARGO_TARGET_DIR:-target}/release/tidegate"

# Latency at a fixed rate, beside the peers, by another load generator.
python3 benches/peers/bench.py --rate 4000 --rounds 5 --seconds 4 --idle 0
