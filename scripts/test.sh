#!/usr/bin/env bash
# Run the tests: ./scripts/test.sh [--long] [pytest arguments]; paths are those of the checkout.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

# Tests with the real clients need rebar3. Where it cannot be had they say so themselves: skipped,
# or failed when CI=true.
install_clients() {
  command -v rebar3 >/dev/null && return
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    say "rebar3 is not installed (Debian, Ubuntu: apt install rebar3); tests with real clients need it"
    return
  fi
  say "Installing rebar3 …"
  # What it depends on has all parts of Erlang that resolving, fetching and compiling need.
  local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=120 -qq -y)
  local install=("${apt[@]}" install --no-install-recommends rebar3)
  if ! "${install[@]}" >/dev/null 2>&1; then
    { "${apt[@]}" update && "${install[@]}"; } >/dev/null 2>&1 ||
      say "rebar3 could not be installed; tests with real clients need it"
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
