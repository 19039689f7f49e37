#!/usr/bin/env bash
# Gives the program beside it a libtorch: by default torch 2.11.0, which pip fetches; the torch of this python3 with
# LIBTORCH_USE_PYTORCH=1, or one of yours with LIBTORCH=DIR.
set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "$0")")/.." && pwd)
bash "$root/libexec/libtorch.sh"
torch=$(cat "$root/.libtorch/link/torch")
mkdir -p "$root/lib/densesiam"
# A libtorch within the folder moves with it.
case $torch in "$root"/*) relative=-r ;; *) relative= ;; esac
ln -sfn $relative "$torch" "$root/lib/densesiam/torch"
# libtorch looks for NVIDIA's libraries in ../../nvidia from itself.
rm -f "$root/lib/densesiam/nvidia"
[ ! -d "$torch/../nvidia" ] || ln -sfn $relative "$(realpath "$torch/../nvidia")" "$root/lib/densesiam/nvidia"
"$root/bin/densesiam" --version
