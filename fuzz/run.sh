#!/usr/bin/env bash
# run.sh [SECONDS [TARGET …]]: builds the targets and fuzzes each of them for so long, one after the other. Finds go to
# artifacts/, new inputs to the place of the corpora in use (TIDEGATE_FUZZ, outside the tree); `run.sh merge` brings
# what they reach beyond the committed corpora into these.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}
work=${TIDEGATE_FUZZ:-${XDG_CACHE_HOME:-$HOME/.cache}/tidegate/fuzz}
seconds=${1:-60}
shift || true
targets=("$@")
[ "${#targets[@]}" -gt 0 ] || targets=(head response chunked path config preface hello quic session hpack)

./build.sh --quiet
bin=$CARGO_TARGET_DIR/$(rustc -vV | sed -n 's/^host: //p')/release

for target in "${targets[@]}"; do
  mkdir -p "$work/$target" "artifacts/$target" "corpus/$target"
  case $target in config) longest=4096 ;; *) longest=1024 ;; esac
  dict=dict/http.txt
  [ "$target" = config ] && dict=dict/config.txt
  if [ "$seconds" = merge ]; then
    # Small and few: they are replayed by every `cargo test`.
    "$bin/$target" -merge=1 -max_len=512 "corpus/$target" "$work/$target"
  else
    echo "fuzz: $target for $seconds s"
    "$bin/$target" -max_total_time="$seconds" -max_len="$longest" -timeout=5 -rss_limit_mb=1024 -dict="$dict" \
      -artifact_prefix="artifacts/$target/" -print_final_stats=1 "$work/$target" "corpus/$target" 2>&1 |
      grep -E '^(#[0-9]+\s+DONE|stat::|==|SUMMARY|thread|Done)' || true
    if [ -n "$(ls -A "artifacts/$target")" ]; then
      echo "fuzz: $target: findings in fuzz/artifacts/$target" >&2
      exit 1
    fi
  fi
done
