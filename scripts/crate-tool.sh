#!/usr/bin/env bash
# crate-tool.sh NAME VERSION [OPTION …]: builds a pinned tool from crates.io, once per machine, into the place
# that TIDEGATE_TOOLS names (outside the tree, so that a fresh clone finds it again).
set -euo pipefail

name=$1 version=$2
shift 2
root=${TIDEGATE_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/tidegate}

if "$root/bin/$name" --version 2>/dev/null | grep -qx "$name $version"; then
  touch "$root/bin/$name"
  exit 0
fi

# Lightly optimised and without link-time optimisation: on two cores cargo-deny builds in a minute
# this way, and checks this tree in about a second.
build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT
CARGO_TARGET_DIR="$build" CARGO_PROFILE_DEV_DEBUG=none CARGO_PROFILE_DEV_OPT_LEVEL="${OPT:-0}" \
  cargo install "$name" --version "=$version" --locked --debug --force --quiet \
  --root "$root" "$@"
