"""Writes the files of tests/files, all of them a few kilobytes; the tests need neither Python nor this script.

    python3 crates/weights/tests/make_fixtures.py

Made with torch 2.11.0 and numpy 2.4.6. `NAME.expected` holds, as safetensors, what a reader must find in `NAME`.
Each element of the k-th tensor of a file is 100 k plus its place, so that no two tensors are alike.
The hostile files would run `echo` if they were loaded by Python.
"""

import argparse
import collections
import datetime
import enum
import functools
import io
import json
import os
import pathlib
import pickle
import pickletools
import struct
import zipfile
from pathlib import Path

import numpy
import torch

FILES = Path(__file__).parent / "files"
DTYPES = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64",
    torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL",
}


def tensor(k, *shape, dtype=torch.float32):
    count = int(numpy.prod(shape)) if shape else 1
    values = torch.arange(count) + 100 * k
    return (values % 2 if dtype is torch.bool else values % 128).to(dtype).reshape(shape)


def encoder(prefix="", first=0):
    names = [
        ("conv1.weight", (2, 1, 3, 3)), ("bn1.weight", (2,)), ("bn1.bias", (2,)), ("bn1.running_mean", (2,)),
        ("bn1.running_var", (2,)), ("layer1.0.conv1.weight", (2, 2, 1, 1)),
        ("layer1.0.downsample.0.weight", (2, 2, 1, 1)), ("layer1.0.downsample.1.weight", (2,)),
    ]
    state = collections.OrderedDict((prefix + n, tensor(first + k, *s)) for k, (n, s) in enumerate(names))
    state[prefix + "bn1.num_batches_tracked"] = torch.tensor(7)
    return state


def safetensors(tensors):
    header, data = {}, b""
    for name, value in tensors.items():
        value = value.contiguous()
        raw = value.flatten().view(torch.uint8).numpy().tobytes() if value.numel() else b""
        header[name] = {"dtype": DTYPES[value.dtype], "shape": list(value.shape),
                        "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def write(name, data, expected=None):
    (FILES / name).write_bytes(data)
    if expected is not None:
        (FILES / f"{name}.expected").write_bytes(safetensors(expected))


def saved(value, **options):
    buffer = io.BytesIO()
    torch.save(value, buffer, **options)
    return buffer.getvalue()


def rezipped(data, change, compression=zipfile.ZIP_STORED):
    """The same archive after `change(name, content)`, which leaves an entry out by returning None."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(buffer, "w", compression) as new:
        for name in old.namelist():
            content = change(name, old.read(name))
            if content is not None:
                new.writestr(name, content)
    return buffer.getvalue()


def arrays(tensors):
    return {name: value.numpy() for name, value in tensors.items()}


def checkpoints():
    query, key = encoder("module.encoder_q."), encoder("module.encoder_k.", first=20)
    both = collections.OrderedDict({**query, **key, "module.queue_ptr": torch.tensor([3])})
    model = torch.nn.BatchNorm2d(2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    model(torch.ones(2, 2, 1, 1)).sum().backward()
    optimizer.step()
    moco = {"epoch": 200, "arch": "resnet50", "state_dict": both, "optimizer": optimizer.state_dict()}
    write("moco.pth.tar", saved(moco), both)
    write("moco_legacy.pth.tar", saved(moco, _use_new_zipfile_serialization=False), both)
    write("protocol4.pth", saved({"model": encoder()}, pickle_protocol=4), encoder())
    # The first record is named after the file, and as long as to mislead readers of archives.
    torch.save({"w": tensor(1, 3)}, FILES / "checkpoint_epoch_0100.pth")
    (FILES / "checkpoint_epoch_0100.pth.expected").write_bytes(safetensors({"w": tensor(1, 3)}))
    write("deflated.pth", rezipped(saved(encoder()), lambda _, c: c, zipfile.ZIP_DEFLATED), encoder())
    # A state_dict with versions of its modules, parameters, and the arguments of a script.
    arguments = argparse.Namespace(arch="resnet50", lr=0.03, schedule=[120, 160], seed=None, cos=True,
                                   betas=(0.9, 0.999), big=2**40, kind=torch.float32, device=torch.device("cpu"),
                                   counts=collections.defaultdict(int, {"a": 1}), tags={"a", "b"},
                                   best=numpy.float64(0.5))
    module = torch.nn.Module()
    module.weight = torch.nn.Parameter(tensor(1, 2, 3))
    module.norm = torch.nn.BatchNorm2d(2)
    state = module.state_dict(keep_vars=True)
    write("arguments.pth", saved({"args": arguments, "model": state, "size": torch.Size([1, 2])}),
          {n: v.detach() for n, v in state.items()})


def views_and_types():
    storage = tensor(3, 24)
    views = {
        "whole": storage, "part": storage[4:10], "transposed": storage.view(4, 6).t(),
        "every_second": storage[::2], "expanded": storage[5].expand(2, 3), "inner": storage.view(2, 3, 4)[:, 1:, ::3],
        "channels_last": tensor(4, 1, 3, 2, 2).contiguous(memory_format=torch.channels_last),
        "none": torch.zeros(0, 3), "scalar": torch.tensor(2.5), "not a tensor": 3, 5: storage,
    }
    expected = {n: v for n, v in views.items() if isinstance(n, str) and isinstance(v, torch.Tensor)}
    write("views.pt", saved(views), expected)
    write("views_legacy.pt", saved(views, _use_new_zipfile_serialization=False), expected)
    types = {str(dtype).split(".")[1]: tensor(k, 5, dtype=dtype) for k, dtype in enumerate(DTYPES)}
    write("types.pt", saved(types), types)
    write("types_legacy.pt", saved(types, _use_new_zipfile_serialization=False), types)
    write("types.safetensors", safetensors(types), types)


def detectron2():
    names = {"conv1": "stem.conv1", "bn1": "stem.conv1.norm", "layer1.0.conv1": "res2.0.conv1",
             "layer1.0.downsample.0": "res2.0.shortcut", "layer1.0.downsample.1": "res2.0.shortcut.norm"}
    theirs = {}
    for name, value in encoder().items():
        place, kind = name.rsplit(".", 1)
        theirs[f"{names[place]}.{kind}"] = value
    content = {"model": arrays(theirs), "__author__": "somebody", "matching_heuristics": True}
    for protocol in (2, 3, 4, 5):
        write(f"detectron2_protocol{protocol}.pkl", pickle.dumps(content, protocol), theirs)
    weird = {
        "fortran": numpy.asfortranarray(tensor(1, 2, 3).numpy()), "big": tensor(2, 3).numpy().astype(">f4"),
        "bool": tensor(3, 4, dtype=torch.bool).numpy(), "scalar": numpy.float32(1.5), "empty": numpy.zeros((0, 2)),
        "zero_axes": numpy.array(3), "text": numpy.array(["a"]), "objects": numpy.array([None]),
    }
    expected = {"fortran": tensor(1, 2, 3), "big": tensor(2, 3), "bool": tensor(3, 4, dtype=torch.bool),
                "scalar": torch.tensor(1.5), "empty": torch.zeros(0, 2, dtype=torch.float64),
                "zero_axes": torch.tensor(3)}
    write("numpy_protocol2.pkl", pickle.dumps(weird, 2), expected)
    write("numpy_protocol4.pkl", pickle.dumps(weird, 4), expected)
    # What Python 2 wrote: names and data as its byte strings, and an OrderedDict as a call with its pairs.
    array = (b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
             b"(K\x01K\x03\x85cnumpy\ndtype\nU\x02i8K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xff"
             b"K\x00tb\x89U\x18" + numpy.arange(3, dtype="<i8").tobytes() + b"tb")
    old = b"\x80\x02}U\nstate_dictccollections\nOrderedDict\n]]U\x01aa" + array + b"aa\x85Rs."
    assert pickle.loads(old, encoding="latin1")["state_dict"]["a"].tolist() == [0, 1, 2]
    write("python2.pkl", old, {"a": torch.arange(3)})


class History:
    """An object with a state, as logs have it."""

    def __init__(self):
        self.values, self.limits = numpy.arange(3), {"mean": None}


class Settings(dict):
    """A dictionary with attributes."""


class Mode(enum.Enum):
    TRAIN = "train"


class Named:
    def __new__(cls, *, name):
        return super().__new__(cls)

    def __getnewargs_ex__(self):
        return (), {"name": "x"}


Version = collections.namedtuple("Version", "major minor")


def trainers():
    """What training programs keep beside the weights: objects of their own and of Python's library."""
    model = torch.nn.Linear(2, 1)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    settings = Settings(lr=0.1, betas=(0.9, 0.99), folders=[pathlib.PurePosixPath("a/b")])
    settings.frozen = True
    content = {
        "message_hub": {"loss": History(), "nested": [{"deeper": History()}]}, "settings": settings,
        "started": datetime.datetime(2024, 5, 6), "took": datetime.timedelta(1), "counts": collections.Counter("aab"),
        "recent": collections.deque([1, 2], maxlen=2), "groups": collections.defaultdict(list, {"a": [1]}),
        "mode": Mode.TRAIN, "version": Version(1, 2), "named": Named(name="x"), "range": range(3), "complex": 1j,
        "function": functools.partial(print, end=""), "method": "a".join, History: {"best": 1}, "none": type(None),
        "file": "caf\udce9.jpg", "bytes": bytearray(b"ab"), "device": torch.device("cpu"), "dtype": torch.float16,
        "generator": numpy.random.default_rng(1), "optimizer": optimizer.state_dict(), "unsigned": numpy.uint32([1]),
        "state_dict": encoder("backbone."),
    }
    write("trainer.pth", saved(content), encoder("backbone."))
    write("trainer_legacy.pth", saved(content, _use_new_zipfile_serialization=False), encoder("backbone."))
    content["state_dict"] = arrays(encoder("backbone."))
    write("trainer.pkl", pickle.dumps(content, 5), encoder("backbone."))


class Calls:
    def __init__(self, function, *arguments):
        self.result = function, arguments

    def __reduce__(self):
        return self.result


def hostile():
    import subprocess
    state = encoder()
    for name, value in {
        "os_system": Calls(os.system, "echo run"),
        "eval": Calls(eval, "print('run')"),
        "subprocess": Calls(subprocess.Popen, ["echo", "run"]),
        "getattr": Calls(getattr, Calls(__import__, "os"), "system"),
    }.items():
        content = {"state_dict": state, "meta": {"nested": [value]}}
        write(f"hostile_{name}.pth", saved(content))
        write(f"hostile_{name}_legacy.pth", saved(content, _use_new_zipfile_serialization=False))
        write(f"hostile_{name}.pkl", pickle.dumps({"model": {}, "x": value}, 4))
    good = saved({"w": tensor(1, 64)})

    def pickle_changed(old, new):
        def change(name, content):
            if name.endswith("data.pkl"):
                assert old in content, pickletools.dis(content)
                return content.replace(old, new)
            return content
        return rezipped(good, change)

    write("lying_short_storage.pth", rezipped(good, lambda n, c: c[:-4] if n.endswith("data/0") else c))
    write("lying_no_storage.pth", rezipped(good, lambda n, c: None if n.endswith("data/0") else c))
    write("lying_elements.pth", pickle_changed(b"cpuq\x06K@t", b"cpuq\x06J\xff\xff\xff\x7ft"))
    write("lying_negative_elements.pth", pickle_changed(b"cpuq\x06K@t", b"cpuq\x06J\xff\xff\xff\xfft"))
    write("lying_shape.pth", pickle_changed(b"K@\x85", b"KA\x85"))
    write("lying_offset.pth", pickle_changed(b"QK\x00", b"QK\x01"))
    write("lying_type.pth", pickle_changed(b"FloatStorage", b"DoubleStorage"))
    write("lying_expanded.pth", pickle_changed(b"K@\x85q\x08K\x01\x85", b"J\x00\x00\x00\x70\x85q\x08K\x00\x85"))
    write("bomb_zeros.pth", rezipped(saved({"w": torch.zeros(1 << 20)}), lambda _, c: c, zipfile.ZIP_DEFLATED))


if __name__ == "__main__":
    FILES.mkdir(exist_ok=True)
    for old in FILES.iterdir():
        old.unlink()
    checkpoints()
    views_and_types()
    detectron2()
    trainers()
    hostile()
