#!/usr/bin/env bash
# Lays .libtorch/link, the libtorch that cargo builds against, from the first of
#   LIBTORCH=DIR            a libtorch or torch folder of yours
#   LIBTORCH_USE_PYTORCH=1  the torch of this python3
#   otherwise               torch 2.11.0, fetched by pip into .libtorch: headers and processor alone (0.5 GB), or, where
#                           there is an NVIDIA driver or CUDA=1 is set, all of it (5 GB)
set -euo pipefail
cd "$(dirname "$0")/.."
# pip before 22.1 knows no such option, and ignores the variable.
export PIP_ROOT_USER_ACTION=ignore
version=2.11.0
link=.libtorch/link

if [ -n "${LIBTORCH_USE_PYTORCH:-}" ]; then
  torch=$(python3 -c 'import os, torch; print(os.path.dirname(torch.__file__))')
elif [ -n "${LIBTORCH:-}" ]; then
  torch=$(cd "$LIBTORCH" && pwd)
else
  torch=$PWD/.libtorch/torch
  [ ! -e /proc/driver/nvidia/version ] || CUDA=${CUDA:-1}
  if [ "${CUDA:-0}" != 0 ] && [ ! -e .libtorch/.cuda ]; then
    echo "fetching libtorch $version with CUDA (5 GB on disk, once; CUDA=0 leaves CUDA out)"
    python3 -m pip install --quiet --disable-pip-version-check --upgrade --target .libtorch "torch==$version"
    touch .libtorch/.cuda
  elif [ ! -e .libtorch/.cuda ] && [ ! -e .libtorch/.cpu ]; then
    echo "fetching libtorch $version (0.5 GB on disk, once)"
    # torch's processor library links the CUDA runtime and its profiling interface even where there is no card.
    python3 -m pip install --quiet --disable-pip-version-check --upgrade --target .libtorch --no-deps \
      "torch==$version" nvidia-cuda-runtime==13.0.96 nvidia-cuda-cupti==13.0.85
    # Neither Python's part of torch nor that of CUDA is of use here; the licences stay.
    find .libtorch -mindepth 1 -maxdepth 1 ! -name torch ! -name nvidia ! -name '*.dist-info' -exec rm -rf {} +
    find .libtorch/torch -mindepth 1 -maxdepth 1 ! -name include ! -name lib -exec rm -rf {} +
    find .libtorch/torch/lib -mindepth 1 ! -name libtorch_cpu.so ! -name libc10.so ! -name 'libgomp*' -delete
    find .libtorch/nvidia -type f ! -name 'libcudart.so*' ! -name 'libcupti.so*' -delete
    # Said last, so that a fetch that was cut short is begun again.
    touch .libtorch/.cpu
  fi
fi

found=$(cat "$torch"/include/torch/headeronly/version.h "$torch"/include/torch/csrc/api/include/torch/version.h 2>/dev/null |
  awk '/define TORCH_VERSION_(MAJOR|MINOR|PATCH) /{printf "%s%s", dot, $3; dot="."}' || true)
if [ "$found" != "$version" ]; then
  echo "error: $torch holds torch ${found:-of an unknown version}, this program needs $version;" \
    "unset LIBTORCH and LIBTORCH_USE_PYTORCH to have it fetched" >&2
  exit 1
fi

if [ "$(readlink "$link/include" 2>/dev/null)" != "$torch/include" ]; then
  rm -rf "$link"
  mkdir -p "$link/lib"
  ln -s "$torch/include" "$link/include"
  ln -s "$torch/lib/libtorch_cpu.so" "$torch/lib/libc10.so" "$link/lib/"
  # libtorch.so only names its parts, CUDA's among them; the processor's part alone stands in for it.
  ln -s "$torch/lib/libtorch_cpu.so" "$link/lib/libtorch.so"
  # Cargo looks at this file, and builds again when another torch has taken the place of the last.
  echo "$torch" > "$link/torch"
fi
