"""Reads shards with the webdataset package: a line of JSON for each sample, with the hash of each of its parts."""

import hashlib
import json
import sys

import webdataset

for sample in webdataset.WebDataset(sys.argv[1], shardshuffle=False, empty_check=False):
    parts = {name: hashlib.sha256(part).hexdigest() for name, part in sample.items() if not name.startswith("__")}
    print(json.dumps({"key": sample["__key__"], "parts": parts}))
