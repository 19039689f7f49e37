"""Embeddings as NumPy and the safetensors library read them."""

import csv
import json
import sys

import numpy
from safetensors import safe_open

tensors, patches, pooled = sys.argv[1:]
with safe_open(tensors, "numpy") as file:
    said = file.metadata()
    names = json.loads(said["pictures"])
    cells, seen = file.get_tensor("cells"), file.get_tensor("seen")
    rows, means = file.get_tensor("patches"), file.get_tensor("features")
assert json.loads(said["about"])["stage"] == "c5" and len(names) == len(means) == len(cells)
assert rows.dtype == numpy.float16 and len(rows) == cells.prod(1).sum() and (seen == [85, 64]).all()

array = numpy.load(patches)
assert array.dtype == numpy.float16 and numpy.array_equal(array, rows)
with open(patches.replace(".npy", ".rows.csv"), newline="") as file:
    table = list(csv.DictReader(file))
assert len(table) == len(array) and [row["picture"] for row in table[:: cells[0].prod()]] == names
array = numpy.load(pooled)
assert array.dtype == numpy.float32 and numpy.array_equal(array, means)
of_cells = rows.astype(numpy.float32).reshape(len(names), -1, rows.shape[1]).mean(1)
assert abs(of_cells - means).max() < 2e-3 * max(1, abs(means).max())
print(f"embeddings: {array.shape[0]} pictures, {len(rows)} patches, NumPy {numpy.__version__}")
