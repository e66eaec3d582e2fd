#!/usr/bin/env bash
# Installs medwsss with its development tools and runs all checks: format, lint, types, layers, tests.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/install.sh "[dev]"
make check
