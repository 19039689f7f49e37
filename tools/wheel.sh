#!/usr/bin/env bash
# The Python wheel, into target/wheels: the program PROGRAM, which will use the torch that pip installs, and the loader for
# training loops in Python. With `try` it is installed into a fresh virtual environment beside torch (6 GB on disk, once), where its
# tests run and then the demonstration.
#
#   tools/wheel.sh PROGRAM [try]
set -euo pipefail
program=$(realpath "$1")
cd "$(dirname "$0")/.."
tools=.tools/wheel wheels=$PWD/target/wheels package=crates/python
maturin=1.16.0

if [ "$("$tools/bin/maturin" --version 2>/dev/null)" != "maturin $maturin" ]; then
  echo "fetching maturin $maturin into .tools (once)"
  python3 -m venv "$tools"
  "$tools/bin/python" -m pip install --quiet --disable-pip-version-check "maturin==$maturin"
fi

install -D -m 755 "$program" "$package/densesiam/bin/densesiam"
strip "$package/densesiam/bin/densesiam"
bash tools/movable.sh "$package/densesiam/bin/densesiam"
cp LICENSE "$package/LICENSE"
bash tools/licences.sh "$package/THIRD-PARTY.txt"
# The program needs the C library of this machine, or a newer one.
libc=$(getconf GNU_LIBC_VERSION | sed 's/^glibc //; s/\./_/')
rm -rf "$wheels"
env -u LIBTORCH_USE_PYTORCH -u LIBTORCH PATH="$PWD/$tools/bin:$PATH" "$tools/bin/maturin" build --quiet --release --locked \
  --manifest-path "$package/Cargo.toml" --compatibility "manylinux_$libc" --auditwheel skip --out "$wheels"
wheel=$(ls "$wheels"/densesiam-*.whl)
echo "built target/wheels/$(basename "$wheel"), $(du -h "$wheel" | cut -f1)"
[ "${2:-}" = try ] || exit 0

fresh=.tools/wheel-try
[ -x "$fresh/bin/python" ] || python3 -m venv "$fresh"
"$fresh/bin/python" -m pip install --quiet --disable-pip-version-check --force-reinstall --no-deps "$wheel"
"$fresh/bin/python" -m pip install --quiet --disable-pip-version-check "${wheel}[encoders]" mypy==2.4.1
"$fresh/bin/python" -m unittest discover -s "$package/tests" -v
demo=$(mktemp -d)
trap 'rm -rf "$demo"' EXIT
(cd "$demo" && "$OLDPWD/$fresh/bin/densesiam" demo)
