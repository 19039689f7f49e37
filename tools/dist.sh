#!/usr/bin/env bash
# The program as a tarball for other Linux machines, into target/dist: PROGRAM, the licences of everything it is built from, and a
# script that gives it a libtorch there.
#
#   tools/dist.sh PROGRAM
set -euo pipefail
program=$(realpath "$1")
cd "$(dirname "$0")/.."
version=$("$program" --version | awk '{print $2}')

name=densesiam-$version-$(uname -m)-linux
folder=target/dist/$name
rm -rf "$folder"
install -D -m 755 "$program" "$folder/bin/densesiam"
strip "$folder/bin/densesiam"
bash tools/movable.sh "$folder/bin/densesiam"
install -D -m 755 tools/dist-torch.sh "$folder/bin/densesiam-torch"
install -D -m 755 tools/libtorch.sh "$folder/libexec/libtorch.sh"
cp LICENSE CHANGELOG.md "$folder/"
bash tools/licences.sh "$folder/THIRD-PARTY.txt"
cat > "$folder/README" <<TEXT
densesiam $version, for Linux on $(uname -m) with $(getconf GNU_LIBC_VERSION) or newer.

  bin/densesiam-torch      gives it a libtorch: fetches torch 2.11.0 by pip (0.5 GB; 5 GB where there is an NVIDIA driver),
                           or takes that of this python3, LIBTORCH_USE_PYTORCH=1, or one of yours, LIBTORCH=DIR
  bin/densesiam --help

The folder can be moved. LICENSE is its own licence, THIRD-PARTY.txt has those of everything it is built from.
TEXT
tar -C target/dist --owner=0 --group=0 --numeric-owner --sort=name -cJf "target/dist/$name.tar.xz" "$name"
echo "target/dist/$name.tar.xz, $(du -h "target/dist/$name.tar.xz" | cut -f1)"
