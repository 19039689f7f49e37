#!/usr/bin/env bash
# Writes the licences of everything that the program and the Python package are built from to OUT.
#
#   tools/licences.sh OUT
set -euo pipefail
out=$(realpath "$1")
cd "$(dirname "$0")/.."
about=0.9.3
if [ "$(.tools/bin/cargo-about --version 2>/dev/null)" != "cargo-about $about" ]; then
  echo "building cargo-about $about into .tools (some minutes, once)"
  cargo install --quiet --locked --force --root .tools --features cli cargo-about --version "$about"
fi
.tools/bin/cargo-about generate --workspace --config tools/about.toml --fail --output-file "$out" tools/about.hbs
# C code within a crate is not looked for: jemalloc is the only such code.
jemalloc=$(cargo metadata --format-version 1 --locked | python3 -c '
import json, pathlib, sys
[crate] = [one for one in json.load(sys.stdin)["packages"] if one["name"] == "tikv-jemalloc-sys"]
print(pathlib.Path(crate["manifest_path"]).parent / "jemalloc/COPYING")')
{
  printf '\n\njemalloc, within tikv-jemalloc-sys\n\n'
  cat "$jemalloc"
} >> "$out"
