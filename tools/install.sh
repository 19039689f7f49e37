#!/usr/bin/env bash
# Copies the program to PREFIX/bin and the libtorch that it was built with to PREFIX/lib/densesiam, where the program looks for
# it relative to itself: PREFIX can be moved, and neither the repository nor a variable is needed.
#
#   tools/install.sh PROGRAM PREFIX
set -euo pipefail
program=$1 prefix=$2
torch=$(cat "$(dirname "$0")/../.libtorch/link/torch")
# libtorch looks for NVIDIA's libraries in ../../nvidia from itself, as pip lays them.
libraries=$prefix/lib/densesiam
rm -rf "$libraries"
mkdir -p "$prefix/bin" "$libraries/torch/lib"
for library in "$torch"/lib/*.so*; do
  case $(basename "$library") in libtorch_python* | libshm*) ;; *) cp -L "$library" "$libraries/torch/lib/" ;; esac
done
if [ -d "$torch/../nvidia" ]; then
  (cd "$torch/.." && find nvidia -name '*.so*' -exec cp -L --parents {} "$libraries/" \;)
fi
install -m 755 "$program" "$prefix/bin/densesiam"
echo "installed $prefix/bin/densesiam; $(du -shc "$libraries" "$prefix/bin/densesiam" | awk 'END{print $1}') on disk"
case :$PATH: in *:$prefix/bin:*) ;; *) echo "put it on the PATH: export PATH=\"$prefix/bin:\$PATH\"" ;; esac
