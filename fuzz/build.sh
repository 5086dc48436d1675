#!/usr/bin/env bash
# build.sh: builds every fuzz target. cargo-fuzz and its sanitizers need a nightly compiler; what libFuzzer itself
# needs is only LLVM's pass that counts edges and comparisons, which the pinned stable compiler has too.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

target=$(rustc -vV | sed -n 's/^host: //p')
flags=(
  -Cpasses=sancov-module
  -Cllvm-args=-sanitizer-coverage-level=4
  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters
  -Cllvm-args=-sanitizer-coverage-pc-table
  -Cllvm-args=-sanitizer-coverage-trace-compares
  -Ccodegen-units=1
  --cfg=fuzzing
)
# With --target the flags are for the program alone and not for build scripts.
RUSTFLAGS="${flags[*]}" cargo build --release --target "$target" --bins "$@"
