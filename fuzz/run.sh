#!/usr/bin/env bash
# Coverage-guided fuzzing with libFuzzer, by the ordinary compiler.
#
#   fuzz/run.sh TARGET [libFuzzer's options]    one target, or `all` of them one after the other
#   fuzz/run.sh reduce TARGET                   writes the few inputs that reach all that was reached to corpus/TARGET.tar.gz
#   fuzz/run.sh list                            the names of the targets
#
# What is found on the way lies in target/corpus and is gone on with the next time. An input that fails is kept in
# crashes/TARGET, where the tests of its crate run it from then on; see docs/ARCHITECTURE.md, Tests.
set -euo pipefail
cd "$(dirname "$0")"

# Every edge of the control flow gets a counter, every comparison shows its operands. Build scripts and macros must not,
# which is why the host is named as a target.
FLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4"
FLAGS+=" -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table"
FLAGS+=" -Cllvm-args=-sanitizer-coverage-trace-compares"
HOST=$(rustc -vV | sed -n 's/^host: //p')

# Files of the repository that a target begins with, beside its own corpus, and how long an input may become.
seeds() {
    case $1 in
        weights_file) echo ../crates/weights/tests/files ;;
        picture)
            local assets=../crates/data/tests/assets
            mkdir -p target/jpeg && tar -C target/jpeg --exclude=pixels.ppm -xzf $assets/jpeg/libjpeg.tar.gz
            echo $assets target/jpeg
            ;;
        recipe) echo ../recipes ;;
    esac
}
longest() {
    case $1 in
        names | classes | index | recipe) echo 4096 ;;
        *) echo 16384 ;;
    esac
}
# How long an input may be that is kept for good: what reaches far in the first two needs few bytes,
# and there is much of it; an archive has two blocks and more.
longest_kept() {
    case $1 in
        picture) echo 200 ;;
        weights_file) echo 320 ;;
        shard | regions) echo 4096 ;;
        *) echo 640 ;;
    esac
}
targets() { basename -s .rs targets/*.rs; }

# The corpus is one file a target, for it is hundreds of small ones; equal corpora make equal archives.
pack() {
    (cd "$2" && find . -type f -printf '%f\n') | LC_ALL=C sort |
        tar -C "$2" --format=ustar --mtime=@0 --owner=0 --group=0 --numeric-owner --mode=644 -cf - -T - | gzip -n9 > "corpus/$1.tar.gz"
}
unpack() {
    rm -rf "target/kept/$1"
    mkdir -p "target/corpus/$1" "target/kept/$1"
    [ ! -e "corpus/$1.tar.gz" ] || tar -C "target/kept/$1" -xzf "corpus/$1.tar.gz"
}

# All targets at once: what takes the time is the crates below them.
build() {
    RUSTFLAGS="$FLAGS" cargo build --quiet --locked --release --target "$HOST" --bins
}

fuzz() {
    local name=$1 options=(-artifact_prefix="crashes/$1/" -max_len="$(longest "$1")" -timeout=10 -rss_limit_mb=1024)
    shift
    build
    mkdir -p "crashes/$name"
    unpack "$name"
    [ ! -e "dictionaries/$name" ] || options+=(-dict="dictionaries/$name")
    # shellcheck disable=SC2046
    "target/$HOST/release/$name" "${options[@]}" -print_final_stats=1 "$@" "target/corpus/$name" \
        "target/kept/$name" $(seeds "$name")
    rmdir --ignore-fail-on-non-empty "crashes/$name"
}

# Edges alone, without how often they are passed: a corpus to be kept is small before it is thorough.
reduce() {
    local name=$1
    build
    unpack "$name"
    rm -rf target/reduced && mkdir target/reduced
    # shellcheck disable=SC2046
    "target/$HOST/release/$name" -set_cover_merge=1 -use_counters=0 -max_len="$(longest_kept "$name")" \
        target/reduced "target/kept/$name" "target/corpus/$name" $(seeds "$name")
    pack "$name" target/reduced
}

case ${1:-} in
    list) targets ;;
    all) shift; for name in $(targets); do fuzz "$name" "$@"; done ;;
    reduce) reduce "$2" ;;
    *) [ -e "targets/${1:-}.rs" ] || { echo "the targets are: $(targets | xargs), all" >&2; exit 2; }
       fuzz "$@" ;;
esac
