#!/usr/bin/env bash
# Run the tests: ./scripts/test.sh [--long] [pytest arguments]; paths are those of the checkout.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

# Programs that tests run, each with the package that has it: clients, a browser, proxies, and what
# reads the files we generate. Where one cannot be had its tests say so themselves: skipped, or
# failed when CI=true.
PROGRAMS=(rebar3 chromium nginx haproxy caddy faketime curl groff:groff-base systemd-analyze:systemd)

install_programs() {
  local missing=() packages=() each
  for each in "${PROGRAMS[@]}"; do
    command -v "${each%%:*}" >/dev/null && continue
    missing+=("${each%%:*}") packages+=("${each##*:}")
  done
  [ ${#missing[@]} = 0 ] && return
  local needed="some tests need ${missing[*]}"
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    say "$needed (Debian, Ubuntu: apt install ${packages[*]})"
    return
  fi
  say "Installing ${packages[*]} …"
  # What rebar3 depends on has all parts of Erlang that resolving, fetching and compiling need.
  local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=120 -qq -y)
  local install=("${apt[@]}" install --no-install-recommends "${packages[@]}")
  if ! "${install[@]}" >/dev/null 2>&1; then
    { "${apt[@]}" update && "${install[@]}"; } >/dev/null 2>&1 ||
      say "${packages[*]} could not be installed; $needed"
  fi
}

marker=()
if [ "${1:-}" = --long ]; then
  shift
  # The last -m wins over the one in pyproject.toml.
  marker=(-m "long or not long")
fi
ensure_installed dev
install_programs
cd -- "$ROOT"
# Two processes, because much of a test's time is waiting for nodes to come and go; tests of a file
# stay together, for they share what its fixtures start. The last -n wins: `-n 0` for a debugger.
exec "$VENV/bin/python" -m pytest -n 2 --dist loadfile ${marker[@]+"${marker[@]}"} "$@"
