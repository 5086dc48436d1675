#!/usr/bin/env bash
# The binary that is shipped, at dist/tidegate in the target directory: built with a profile of what serving does
# (profile-guided optimization). A first build counts, the benches at a small size are its work, and a second build lays out
# and inlines by the counts. Two builds with LTO, and two minutes of work between them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
host=$(rustc -vV | sed -n 's/^host: //p')
work=$target/profile
counts=$work/counts

# What merges the counts: of the toolchain where it is a part of that, else Debian's.
merge=$(rustc --print target-libdir)/../bin/llvm-profdata
if [ ! -x "$merge" ]; then
  merge=llvm-profdata-19
  scripts/tools.sh "$merge:llvm-19"
fi

# Names of functions have to be the same in both builds, so all but the profile is, too. With --target the flag is not for
# build scripts.
build() {
  RUSTFLAGS="$1" cargo build --locked --release --bin tidegate --target "$host" --target-dir "$work/$2"
}

rm -rf "$counts"
build "-Cprofile-generate=$counts" count

cargo build --locked --release --example bench-origin --example bench-streams
for bench in bench secure l4; do
  python3 "benches/peers/$bench.py" --rounds 1 --seconds 2 --idle 0 --out "$work/bench" \
    --tidegate "$work/count/$host/release/tidegate"
done

"$merge" merge --sparse --output "$work/tidegate.profdata" "$counts"
# Cargo knows a profile by its path alone: what an earlier one built would be kept.
rm -rf "$work/use"
build "-Cprofile-use=$work/tidegate.profdata" use
install -D "$work/use/$host/release/tidegate" "$target/dist/tidegate"
echo "$target/dist/tidegate"
