"""Writes shards with the webdataset package, of the files of a folder and of parts beside them, under keys of all kinds.

    webdataset_write.py PICTURES OUT
"""

import pathlib
import sys
import tarfile

import webdataset

pictures, out = map(pathlib.Path, sys.argv[1:])
keys = ["000", "folder/001", "ümlaut 漢字/002", "long/" + "a" * 90 + "/003", "x" * 180 + "/" + "b" * 120 + "/004"]
samples = list(zip(keys, sorted(pictures.iterdir())))

# Each of tar's formats has another way to write names that are long or not ASCII; USTAR has none for the longest.
for format, count in [("USTAR_FORMAT", 4), ("GNU_FORMAT", 5), ("PAX_FORMAT", 5)]:
    with webdataset.TarWriter(str(out / f"{format}.tar"), encoder=False) as writer:
        # The package's own argument does nothing, as of version 1.0.2.
        writer.tarstream.format = getattr(tarfile, format)
        for key, path in samples[:count]:
            writer.write({"__key__": key, "jpg": path.read_bytes(), "txt": b"text", "seg.png": b"mask"})

with webdataset.ShardWriter(str(out / "many-%06d.tar"), maxcount=2, encoder=False, verbose=0) as writer:
    for key, path in samples:
        writer.write({"__key__": key, "cls": b"5", "jpg": path.read_bytes()})
