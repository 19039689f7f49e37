"""Loads an exported encoder with each tool that it is for, and compares outputs with ours."""

import importlib
import json
import pathlib
import pickle
import sys

import numpy
import safetensors.numpy

folder = pathlib.Path(sys.argv[1])
name = folder.name
expected = safetensors.numpy.load_file(folder / "expected.safetensors")
weights = safetensors.numpy.load_file(folder / "encoder.safetensors")
TOLERANCE = 1e-4


def tool(module):
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as missing:
        print(f"{name}: {module} left out, {missing}")
        return None


def compare(what, found, keys=("c2", "c3", "c4", "c5")):
    for key, map in zip(keys, found, strict=True):
        largest = abs(expected[key]).max()
        difference = abs(numpy.asarray(map) - expected[key]).max()
        assert numpy.shape(map) == expected[key].shape, (what, key, numpy.shape(map))
        assert difference <= TOLERANCE * max(1.0, largest), (what, key, difference)
    print(f"{name}: {what} agrees, within {difference:.1e} of {largest:.2f}")


def same_weights(what, theirs):
    assert set(theirs) == set(weights), (what, set(theirs) ^ set(weights))
    for key, value in theirs.items():
        assert numpy.array_equal(numpy.asarray(value), weights[key]), (what, key)
    print(f"{name}: {what} reads all {len(theirs)} tensors")


with open(folder / "encoder.pkl", "rb") as file:
    file = pickle.load(file)
assert file["matching_heuristics"] is True and file["__author__"] == "densesiam"
assert all(isinstance(value, numpy.ndarray) for value in file["model"].values())
assert len(file["model"]) == len(weights)
assert numpy.array_equal(file["model"]["stem.conv1.weight"], weights["conv1.weight"])
assert numpy.array_equal(
    file["model"]["res5.0.shortcut.norm.running_var"], weights["layer4.0.downsample.1.running_var"]
)
print(f"{name}: pickle reads detectron2's file")

if onnxruntime := tool("onnxruntime"):
    session = onnxruntime.InferenceSession(folder / "encoder.onnx", providers=["CPUExecutionProvider"])
    outputs = [output.name for output in session.get_outputs()]
    assert outputs == ["c2", "c3", "c4", "c5"]
    compare("onnxruntime", session.run(outputs, {"images": expected["images"]}))
    # Another batch and another size of the same file.
    found = session.run(["c5"], {"images": numpy.zeros((1, 3, 64, 32), numpy.float32)})
    assert found[0].shape[0] == 1 and found[0].shape[2:] == (2, 1)
    metadata = session.get_modelmeta().custom_metadata_map
    assert numpy.allclose(json.loads(metadata["mean"]), [0.485, 0.456, 0.406])

if onnx := tool("onnx"):
    onnx.checker.check_model(onnx.load(folder / "encoder.onnx"), full_check=True)
    print(f"{name}: onnx finds the model well formed")

if torch := tool("torch"):
    images = torch.from_numpy(expected["images"])
    for mmap in (False, True):
        state = torch.load(folder / "encoder.pth", weights_only=True, mmap=mmap)
        same_weights(f"torch.load (mmap={mmap})", state)
    if torchvision := tool("torchvision"):
        model = getattr(torchvision.models, name)()
        result = model.load_state_dict(state, strict=False)
        assert not result.unexpected_keys and set(result.missing_keys) == {"fc.weight", "fc.bias"}, result
        layers = {f"layer{stage}": f"c{stage + 1}" for stage in (1, 2, 3, 4)}
        create = tool("torchvision.models.feature_extraction").create_feature_extractor
        extractor = create(model.eval(), layers)
        with torch.no_grad():
            compare("torchvision", extractor(images).values())
    if timm := tool("timm"):
        model = timm.create_model(f"local-dir:{folder / 'timm'}", pretrained=True).eval()
        assert model.num_classes == 0
        config = timm.data.resolve_model_data_config(model)
        assert numpy.allclose(config["mean"], [0.485, 0.456, 0.406]) and list(config["input_size"]) == [3, 224, 224]
        with torch.no_grad():
            compare("timm", [model.forward_features(images)], ["c5"])
        features = timm.create_model(f"local-dir:{folder / 'timm'}", pretrained=True, features_only=True)
        with torch.no_grad():
            compare("timm, features only", features.eval()(images)[1:])
    if tool("mmengine") and torchvision:
        from mmengine.runner.checkpoint import _load_checkpoint, load_state_dict

        checkpoint = _load_checkpoint(str(folder / "openmmlab.pth"), map_location="cpu")
        assert checkpoint["meta"]["architecture"] == name
        model = getattr(torchvision.models, name)()
        model.fc = torch.nn.Identity()
        load_state_dict(model, checkpoint["state_dict"], strict=True)
        same_weights("mmengine", model.state_dict())
