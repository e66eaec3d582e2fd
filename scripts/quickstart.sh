#!/usr/bin/env bash
# Installs medwsss, generates a data set, trains on its image-level labels without and with cine, and writes a report.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/install.sh ""
run=runs/quickstart
[ ! -e "$run" ] || run=$run-$(date +%Y%m%d-%H%M%S)
medwsss ablate --grid quickstart --seeds 0 --out "$run" "$@"
echo
echo "Open $PWD/$run/table.html in a browser; every run's own report lies in $run/*/seed-*/report/report.html."
