#!/usr/bin/env bash
# Debian's chromium, in which the tests use the pages of `triform serve`. Nothing to do if it is here.
set -euo pipefail
if command -v chromium >/dev/null || command -v chromium-browser >/dev/null; then exit 0; fi
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null
chromium --version
