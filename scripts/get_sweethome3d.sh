#!/usr/bin/env bash
# Brings the furniture libraries of Debian's package sweethome3d-furniture (.sh3f files, 114 MB)
# into a folder that git ignores, checked against their sha256. Nothing is installed, no root is
# needed, and a second run does nothing.
#
#   scripts/get_sweethome3d.sh [FOLDER]        default: datasets/sweethome3d
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
folder=${1:-$root/datasets/sweethome3d}
for python in "$root/.venv/bin/python" python3; do
    if command -v "$python" >/dev/null; then
        PYTHONPATH="$root/src" exec "$python" -m triform.datasets.debian "$folder"
    fi
done
echo "get_sweethome3d.sh: no python3 here; install it first" >&2
exit 1
