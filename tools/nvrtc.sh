#!/usr/bin/env bash
# Prints the folder of NVRTC, NVIDIA's compiler, for the test that compiles the kernels for CUDA: the one that came with
# libtorch's CUDA part, or else the same version, fetched by pip into .nvrtc (110 MB on disk, once).
set -euo pipefail
cd "$(dirname "$0")/.."
# pip before 22.1 knows no such option, and ignores the variable.
export PIP_ROOT_USER_ACTION=ignore
version=13.0.88
libraries=nvidia/cu13/lib

for folder in .libtorch .nvrtc; do
  if [ -e "$folder/$libraries/libnvrtc.so.13" ]; then
    echo "$PWD/$folder/$libraries"
    exit
  fi
done

echo "fetching NVIDIA's compiler for the test of the kernels for CUDA (once)" >&2
# Into another folder first, so that a fetch that was cut short is begun again.
rm -rf .nvrtc .nvrtc.part
python3 -m pip install --quiet --disable-pip-version-check --target .nvrtc.part --no-deps "nvidia-cuda-nvrtc==$version" >&2
# A second build of the same libraries, for old systems.
rm -f .nvrtc.part/$libraries/*.alt.so*
mv .nvrtc.part .nvrtc
echo "$PWD/.nvrtc/$libraries"
