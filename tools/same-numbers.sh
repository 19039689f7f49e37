#!/usr/bin/env bash
# Whether two builds of the program compute the same to the last bit: 20 steps of pre-training and 20 of segmentation in float32
# with one thread, every loss and every saved tensor. For changes that are meant to move code and no number.
#
#   tools/same-numbers.sh BEFORE AFTER [DATA]
#
# BEFORE and AFTER are programs (target/release/densesiam, and a copy of it from before the change). DATA holds train/images and
# the labels beside them; without it that of the demonstration, runs/demo-pictures.
set -euo pipefail
before=$(realpath "$1") after=$(realpath "$2") data=$(realpath "${3:-runs/demo-pictures}")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
common=(run.threads=1 run.precision=fp32 run.device=cpu "train.duration=20 steps" "train.log_every=1 steps"
  "train.checkpoint_every=10 steps" train.keep_last=100)

run() {
  local program=$1 folder=$2
  "$program" pretrain demo "data.root=$data/train/images" "run.dir=$folder" run.name=pretrain "${common[@]}"
  "$program" segment demo_segment "data.root=$data" "run.dir=$folder" run.name=segment "evaluate.every=10 steps" "${common[@]}"
}

echo "before: $before"
run "$before" "$scratch/before" 2> "$scratch/before.log" || { cat "$scratch/before.log" >&2; exit 1; }
echo "after:  $after"
run "$after" "$scratch/after" 2> "$scratch/after.log" || { cat "$scratch/after.log" >&2; exit 1; }
python3 - "$scratch" <<'PYTHON'
import json, pathlib, sys

scratch, wrong = pathlib.Path(sys.argv[1]), 0
for task in ["pretrain", "segment"]:
    def numbers(which):
        rows = map(json.loads, (scratch / which / task / "metrics.jsonl").open())
        timed = ("seconds_", "pictures_per_second")
        return [{name: value for name, value in row.items() if not name.startswith(timed)} for row in rows]
    rows = list(zip(numbers("before"), numbers("after"), strict=True))
    unlike = [a["step"] for a, b in rows if a != b]
    print(f"{task}: {len(rows)} steps, " + (f"unlike at {unlike}" if unlike else "all numbers equal"))
    files = sorted((scratch / "before" / task / "checkpoints").rglob("*.safetensors"))
    for file in files:
        other = scratch / "after" / file.relative_to(scratch / "before")
        if not other.is_file() or file.read_bytes() != other.read_bytes():
            print(f"{task}: {file.relative_to(scratch / 'before')} differs")
            wrong += 1
    print(f"{task}: {len(files)} files of tensors compared")
    wrong += len(unlike) + (not files)
sys.exit(wrong > 0)
PYTHON
