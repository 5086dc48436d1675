#!/usr/bin/env bash
# What is too slow, or too heavy on the machine, for every run of the tests.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Long versions of the tests: those marked #[ignore] with "gate: …" as their reason.
cargo test --locked --release --test it -- --ignored --test-threads=1

# Load of a second generator, with a fixed rate: `oha` counts latency from when a request was due.
root=${TIDEGATE_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/tidegate}
if [ ! -x "$root/bin/oha" ]; then
  cargo install oha --locked --quiet --root "$root"
fi
cargo build --locked --release --bin tidegate --example bench-origin
python3 benches/peers/bench.py --fixed-rate 4000 --oha "$root/bin/oha"
