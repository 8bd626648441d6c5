#!/usr/bin/env bash
# Start, stop and see nodes that run from this checkout.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

usage() {
  cat <<'TEXT'
usage: ./scripts/cluster.sh COMMAND

  start            run a node in the foreground; Ctrl-C stops it
  start --detach   run it in the background, return when it answers;
                   its hexhub.pid and hexhub.log are in its data directory
  stop             stop the node called NODE_NAME
  stop --all       stop every node that runs from this checkout
  status [--json]  show the nodes that run from this checkout;
                   exit code 0: all healthy, 1: one is not, 3: none runs
  help             this text

Settings come from the environment: PORT (4000), NODE_NAME (hex_hub1),
DATA_DIR (data/NODE_NAME), HEXHUB_HOST (127.0.0.1), HEXHUB_URL and more;
.venv/bin/hexhub config show lists them all.
TEXT
}

wrong_usage() {
  say "error: $1"
  usage >&2
  exit 2
}

# nodes COMMAND [OPTION]: the part that is written in Python; it needs no installed library.
nodes() {
  local python="$VENV/bin/python"
  [ -x "$python" ] || python=$(find_python) || exit 1
  cd -- "$ROOT"
  exec "$python" -m scripts.nodes "$@"
}

command=${1:-help}
[ $# -eq 0 ] || shift
[ $# -le 1 ] || wrong_usage "one option at most"
case "$command ${1:-}" in
  "start ")
    ensure_installed
    exec "$VENV/bin/hexhub" serve
    ;;
  "start --detach")
    ensure_installed
    nodes start
    ;;
  "stop " | "stop --all") nodes stop ${1+"$1"} ;;
  "status " | "status --json") nodes status ${1+"$1"} ;;
  "help " | "--help " | "-h ") usage ;;
  "start "* | "stop "* | "status "* | "help "*) wrong_usage "$command has no option $1" ;;
  *) wrong_usage "there is no command $command" ;;
esac
