"""Runs an exported segmentation with onnxruntime, and compares its logits with ours."""

import json
import pathlib
import sys

import numpy
import onnxruntime
import safetensors.numpy

folder = pathlib.Path(sys.argv[1])
expected = safetensors.numpy.load_file(folder / "expected.safetensors")
session = onnxruntime.InferenceSession(folder / "segmentation.onnx", providers=["CPUExecutionProvider"])
(found,) = session.run(["logits"], {"images": expected["images"]})
largest = abs(expected["logits"]).max()
difference = abs(found - expected["logits"]).max()
assert found.shape == expected["logits"].shape, found.shape
assert difference <= 1e-4 * max(1.0, largest), difference
(other,) = session.run(["logits"], {"images": numpy.zeros((3, 3, 64, 96), numpy.float32)})
assert other.shape == (3, found.shape[1], 64, 96)
metadata = session.get_modelmeta().custom_metadata_map
classes, of_category = json.loads(metadata["classes"]), json.loads(metadata["class_of_category"])
assert len(of_category) == found.shape[1]
assert all(of is None or 0 <= of < len(classes) for of in of_category)
print(f"segmentation: onnxruntime agrees, within {difference:.1e} of {largest:.2f}")
