#!/usr/bin/env bash
# Installs what tests and benches need: programs from Debian's packages, parsers from PyPI. Quick when everything is there.
# Needs root only when something is missing. No installed service is started.
set -euo pipefail

# program:package
wanted=(
  curl:curl
  faketime:faketime
  haproxy:haproxy
  nginx:nginx
  promtool:prometheus
  python3:python3
  strace:strace
  taskset:util-linux
  valgrind:valgrind
  wrk:wrk
)

# Daemons live in /usr/sbin, which a plain user's PATH may not have.
PATH="$PATH:/usr/sbin:/sbin"

# Packages of PyPI live beside the tools built from crates.io, in an environment of their own.
from_pypi=(
  h11==0.16.0
  httptools==0.9.0
)
python=${TIDEGATE_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/tidegate}/python

install_from_pypi() {
  local installed
  installed=$("$python/bin/pip" freeze 2>/dev/null || true)
  for package in "${from_pypi[@]}"; do
    if ! grep -qx "$package" <<<"$installed"; then
      [ -x "$python/bin/pip" ] || python3 -m venv "$python"
      "$python/bin/pip" install --quiet --disable-pip-version-check "${from_pypi[@]}"
      return
    fi
  done
}

missing=()
for pair in "${wanted[@]}"; do
  command -v "${pair%%:*}" >/dev/null || missing+=("${pair##*:}")
done
# Debian's Python comes without what makes environments.
python3 -c 'import ensurepip' 2>/dev/null || missing+=(python3-venv)
if [ "${#missing[@]}" -eq 0 ]; then
  install_from_pypi
  exit 0
fi

if ! command -v apt-get >/dev/null; then
  echo "tools: missing: ${missing[*]}; this script knows Debian's packages only" >&2
  exit 1
fi
if [ "$(id -u)" -ne 0 ]; then
  echo "tools: missing: ${missing[*]}; run this as root, or: apt-get install ${missing[*]}" >&2
  exit 1
fi

# Installing nginx, haproxy or prometheus would start it and take its port. policy-rc.d is how
# Debian is told not to; a policy that stands already is left alone.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
  trap 'rm -f "$policy"' EXIT
fi

export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1
apt-get update -qq
apt-get install -qq -y --no-install-recommends "${missing[@]}" </dev/null >/dev/null

# Nor at the next boot: these programs are for tests here, not services.
if [ -d /run/systemd/system ]; then
  for package in "${missing[@]}"; do
    case "$package" in
      nginx | haproxy | prometheus) systemctl disable --quiet "$package.service" || true ;;
    esac
  done
fi

for pair in "${wanted[@]}"; do
  command -v "${pair%%:*}" >/dev/null || {
    echo "tools: package ${pair##*:} was installed, yet there is no ${pair%%:*}" >&2
    exit 1
  }
done

install_from_pypi
