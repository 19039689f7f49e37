#!/usr/bin/env bash
# Builds docs/ as a book into target/book, and fails where mdBook warns, a link leads nowhere or a page is not in the
# book. mdBook is built once into .tools, without what serves and watches books.
set -euo pipefail
cd "$(dirname "$0")/.."
version=0.5.4
mdbook=.tools/bin/mdbook

if [ "$("$mdbook" --version 2>/dev/null)" != "mdbook v$version" ]; then
  echo "building mdBook $version into .tools (some minutes, once)"
  cargo install --quiet --locked --force --root .tools mdbook --version "$version" --no-default-features --features search
fi

rm -rf target/book
log=$(mktemp)
trap 'rm -f "$log"' EXIT
"$mdbook" build docs 2>&1 | tee "$log"
if grep -qE '^ *(WARN|ERROR)' "$log"; then
  echo "error: mdBook warns; see above" >&2
  exit 1
fi
python3 tools/check-links.py docs target/book
echo "the book: target/book/index.html"
