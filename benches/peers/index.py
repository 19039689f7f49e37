"""Finding the pictures below a folder: torchvision's ImageFolder, the peer that `densesiam bench index` is compared with.

The folder must hold folders (ImageFolder takes them for classes). Prints one JSON object.

    python3 index.py ROOT
"""

import argparse
import json
import pathlib
import time

import step
from torchvision.datasets import ImageFolder


def resident_mb():
    """Memory that this process holds, where the system says."""
    try:
        status = pathlib.Path("/proc/self/status").read_text()
    except OSError:
        return None
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("root")
    root = parser.parse_args().root
    before = resident_mb()
    start = time.perf_counter()
    folder = ImageFolder(root)
    seconds = time.perf_counter() - start
    after = resident_mb()
    outcome = {
        "variant": "ImageFolder",
        "pictures": len(folder),
        "seconds": round(seconds, 4),
        "pictures_per_second": round(len(folder) / seconds),
        "resident_mb": after,
        "index_mb": None if after is None else round(after - before, 1),
        **step.peak_memory(),
    }
    print(json.dumps(outcome | step.versions()), flush=True)


if __name__ == "__main__":
    main()
