#!/usr/bin/env bash
# Run the tests: ./scripts/test.sh [--long] [pytest arguments]; paths are those of the checkout.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

# Tests with real clients need rebar3, those of the pages chromium, those of a cluster behind one
# address nginx and haproxy. Where one cannot be had they say so themselves: skipped, or failed when
# CI=true.
install_clients() {
  local missing=() client
  for client in rebar3 chromium nginx haproxy; do
    command -v "$client" >/dev/null || missing+=("$client")
  done
  [ ${#missing[@]} = 0 ] && return
  local needed="tests with real clients, browsers and proxies need ${missing[*]}"
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    say "$needed (Debian, Ubuntu: apt install ${missing[*]})"
    return
  fi
  say "Installing ${missing[*]} …"
  # What rebar3 depends on has all parts of Erlang that resolving, fetching and compiling need.
  local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=120 -qq -y)
  local install=("${apt[@]}" install --no-install-recommends "${missing[@]}")
  if ! "${install[@]}" >/dev/null 2>&1; then
    { "${apt[@]}" update && "${install[@]}"; } >/dev/null 2>&1 ||
      say "${missing[*]} could not be installed; $needed"
  fi
}

marker=()
if [ "${1:-}" = --long ]; then
  shift
  # The last -m wins over the one in pyproject.toml.
  marker=(-m "long or not long")
fi
ensure_installed dev
install_clients
cd -- "$ROOT"
exec "$VENV/bin/python" -m pytest ${marker[@]+"${marker[@]}"} "$@"
