"""Reads a run's events with TensorBoard, and compares them with metrics.jsonl."""

import json
import pathlib
import sys

from tensorboard.backend.event_processing.event_accumulator import IMAGES, SCALARS, EventAccumulator

folder = pathlib.Path(sys.argv[1])
events = EventAccumulator(str(folder), size_guidance={SCALARS: 0, IMAGES: 0}).Reload()
tags = events.Tags()
rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
for tag, key in (("loss", "loss"), ("loss/pixel", "loss_pixel"), ("learning_rate", "learning_rate")):
    found = [(event.step, event.value) for event in events.Scalars(tag)]
    wanted = [(row["step"], row[key]) for row in rows]
    assert [step for step, _ in found] == [step for step, _ in wanted], (found, wanted)
    assert all(abs(a - b) <= 1e-6 * max(1, abs(b)) for (_, a), (_, b) in zip(found, wanted)), (found, wanted)
assert tags[IMAGES], "no picture"
picture = events.Images(tags[IMAGES][0])[0]
assert picture.encoded_image_string.startswith(b"\x89PNG") and picture.width > 0 and picture.height > 0
print(f"tensorboard: reads {len(tags[SCALARS])} curves of {len(rows)} steps, and pictures")
