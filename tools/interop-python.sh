#!/usr/bin/env bash
# Fetches into .interop-python the Python packages of the tools that exported files are for, as the tests use them:
#   some   those that need no PyTorch (300 MB on disk, once)
#   all    PyTorch and what stands on it too (6 GB on disk, once)
set -euo pipefail
cd "$(dirname "$0")/.."
# pip before 22.1 knows no such option, and ignores the variable.
export PIP_ROOT_USER_ACTION=ignore
folder=.interop-python
some=(numpy==2.4.6 onnxruntime==1.32.0 onnx==1.23.2 safetensors==0.8.0 tensorboard==2.21.0 webdataset==1.0.2)
rest=(torch==2.11.0 torchvision==0.26.0 timm==1.0.31 mmengine==0.10.7 playwright==1.65.2)

# Fetches packages unless the same were fetched before.
fetch() {
  local list="$folder/.${*%%==*}"
  list=${list// /-}
  [ "$(cat "$list" 2>/dev/null)" = "$*" ] && return
  echo "fetching ${*%%==*} for the tests with other tools (once)" >&2
  python3 -m pip install --quiet --disable-pip-version-check --upgrade --target "$folder" "$@"
  echo "$*" > "$list"
}

fetch "${some[@]}"
[ "${1:-some}" = some ] || fetch "${rest[@]}" "${some[@]}"
