# The checkout's own .venv, made and kept by cluster.sh, test.sh and .ci/run, which source this file.
# shellcheck shell=bash

ROOT=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
VENV="$ROOT/.venv"

say() { printf '%s\n' "$*" >&2; }

fail() {
  say "error: $*"
  exit 1
}

# Prints a Python of at least 3.11. A name on PATH may be a shim that runs nothing, so each is tried.
find_python() {
  local name
  for name in ${PYTHON:-} python3.11 python3.12 python3.13 python3.14 python3 python; do
    if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      command -v "$name"
      return
    fi
  done
  fail "HexHub needs Python 3.11 or newer, and none was found on PATH (or name one: PYTHON=/path/to/python3)"
}

# What an installation was made from: a change of either asks for another.
installed_from() {
  printf '%s\n' "$ROOT"
  cat "$ROOT/pyproject.toml"
}

# is_installed STAMP...: whether one of these stamps is of this place and this pyproject.toml.
is_installed() {
  [ -x "$VENV/bin/python" ] && [ -x "$VENV/bin/hexhub" ] || return 1
  local wanted stamp
  wanted=$(installed_from)
  for stamp in "$@"; do
    [ -f "$VENV/$stamp" ] && [ "$(cat "$VENV/$stamp")" = "$wanted" ] && return 0
  done
  return 1
}

# ensure_installed [dev]: nothing to do is decided without the network and in a few milliseconds.
ensure_installed() {
  local extra=${1:-}
  local stamps=(.installed-dev)
  [ "$extra" = dev ] || stamps+=(.installed)
  is_installed "${stamps[@]}" && return

  local python
  python=$(find_python) || exit 1
  mkdir -p "$ROOT/data/run" || fail "$ROOT/data cannot be written"
  # The lock goes when its last holder closes it, so a killed start leaves none behind.
  exec 9>"$ROOT/data/run/install.lock"
  if ! "$python" -c 'import fcntl; fcntl.flock(9, fcntl.LOCK_EX | fcntl.LOCK_NB)' 2>/dev/null; then
    say "Another start is installing; waiting for it …"
    "$python" -c 'import fcntl; fcntl.flock(9, fcntl.LOCK_EX)' || fail "no lock on $ROOT/data/run/install.lock"
  fi
  if ! is_installed "${stamps[@]}"; then
    make_venv "$python"
    install_project "$extra"
  fi
  exec 9>&-
}

# make_venv PYTHON: keeps a .venv that works, unless it was made for another place.
make_venv() {
  local python=$1
  if "$VENV/bin/python" -c 'import sys, pip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null &&
    { [ ! -f "$VENV/.place" ] || [ "$(cat "$VENV/.place")" = "$ROOT" ]; }; then
    return
  fi
  "$python" -c 'import venv, ensurepip' 2>/dev/null ||
    fail "$python has no venv module: install it (Debian, Ubuntu: apt install python3-venv) and start again"
  say "Making .venv with $python …"
  local output
  output=$("$python" -m venv --clear "$VENV" 2>&1) ||
    fail "$python cannot make $VENV: $(printf '%s' "$output" | tail -n 1)"
  printf '%s\n' "$ROOT" >"$VENV/.place"
}

# install_project [dev]
install_project() {
  local extra=${1:-} log="$VENV/install.log"
  say "Installing HexHub${extra:+ and its $extra tools} into .venv; once, this may take a minute …"
  rm -f "$VENV/.installed${extra:+-$extra}"
  # From the environment, so that the pip that fetches the build backend hears it too.
  if ! (cd "$ROOT" && PIP_RETRIES=${PIP_RETRIES:-2} PIP_USER=0 PIP_NO_INPUT=1 PIP_DISABLE_PIP_VERSION_CHECK=1 \
    "$VENV/bin/python" -m pip install -e ".${extra:+[$extra]}" >"$log" 2>&1); then
    if grep -qE 'connection broken by|Max retries exceeded|name resolution|ConnectTimeout|ReadTimeout' "$log"; then
      fail "the package index cannot be reached: connect to the network or point pip at an index (PIP_INDEX_URL), and start again; details in $log"
    fi
    fail "installing failed: $(grep -o 'ERROR: .*' "$log" | head -n 1); details in $log"
  fi
  installed_from >"$VENV/.installing"
  mv "$VENV/.installing" "$VENV/.installed${extra:+-$extra}"
}
