#!/usr/bin/env bash
# Licences, sources, duplicates, withdrawn versions and known faults of everything the program is built from; what is
# allowed, and why, is in deny.toml. cargo-deny is built once into .tools. What cannot be checked for want of a network is
# said, and is no failure.
set -euo pipefail
cd "$(dirname "$0")/.."
version=0.20.2
deny=.tools/bin/cargo-deny

if [ "$("$deny" --version 2>/dev/null)" != "cargo-deny $version" ]; then
  echo "building cargo-deny $version into .tools (some minutes, once)"
  if ! cargo install --quiet --locked --force --root .tools cargo-deny --version "$version"; then
    echo "dependencies were not checked: cargo-deny $version cannot be had from here"
    exit
  fi
fi

"$deny" check licenses bans sources
if "$deny" fetch db; then
  "$deny" check advisories
  exit
fi

# cargo-deny looks for withdrawn versions only beside a database: here one with a single entry, about no crate at all.
stand_in=$(mktemp -d)
trap 'rm -rf "$stand_in"' EXIT
git init --quiet --initial-branch main "$stand_in/database"
mkdir -p "$stand_in/database/crates/none"
cat > "$stand_in/database/crates/none/RUSTSEC-2020-9999.md" <<'ENTRY'
```toml
[advisory]
id = "RUSTSEC-2020-9999"
package = "none"
date = "2020-01-01"
[versions]
patched = []
```
# No crate
ENTRY
git -C "$stand_in/database" add .
git -C "$stand_in/database" -c user.name=none -c user.email=none -c commit.gpgsign=false -c core.hooksPath=/dev/null \
  commit --quiet --message none
sed "s|^\[advisories\]|&\ndb-path = \"$stand_in/fetched\"|" deny.toml > "$stand_in/deny.toml"
GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0="url.file://$stand_in/database.insteadOf" \
  GIT_CONFIG_VALUE_0=https://github.com/RustSec/advisory-db \
  "$deny" --config "$stand_in/deny.toml" check advisories
echo "known faults were not checked: their database cannot be reached from here (withdrawn versions were)"
