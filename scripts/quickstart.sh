#!/usr/bin/env bash
# Installs medwsss, generates a data set, trains UniA on its image-level labels, and writes a report.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/install.sh ""
run=runs/quickstart
[ ! -e "$run" ] || run=$run-$(date +%Y%m%d-%H%M%S)
medwsss train --dataset acdc --out "$run" "$@"
echo
echo "Open $PWD/$run/report/report.html in a browser."
