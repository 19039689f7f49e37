"""What the data-path programs beside this one share: which pictures, how a pass over them is timed, how it is told.

One core: one thread of torch, none of OpenCV. Reading the file is part of the work (it is in the system's cache after the
first pass, which does not count), and so is everything up to two views of bytes, as `densesiam bench loader` delivers
them; normalisation happens with the step in either. Prints one JSON object a variant, with milliseconds a picture (both
views).
"""

import argparse
import json
import pathlib
import random
import statistics
import time

import step
import torch


def parse(description, variants):
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--root", type=pathlib.Path, required=True, help="folder tree of JPEG files")
    parser.add_argument("--pictures", type=int, default=120)
    parser.add_argument("--repeats", type=int, default=5, help="timed passes")
    parser.add_argument("--variants", default=",".join(variants))
    options = parser.parse_args()
    if unknown := set(options.variants.split(",")) - set(variants):
        parser.error(f"unknown variants {sorted(unknown)}, there are {sorted(variants)}")
    files = sorted(path for path in options.root.rglob("*") if path.suffix.lower() in {".jpg", ".jpeg"})
    options.files = files[: options.pictures]
    if not options.files:
        parser.error(f"no JPEG files below {options.root}")
    return options


def run_variants(variants, options, shapes):
    """`variants` holds a function a name, which returns what makes two views of a file, and versions; a view has one of
    the `shapes`. Each variant has a process of its own."""
    for name in options.variants.split(","):
        try:
            outcome = step.in_fresh_process(run_variant, variants[name], options, shapes)
        except ImportError as error:
            outcome = {"skipped": str(error)}
        except Exception as error:  # one variant that this machine cannot run must not cost the others
            outcome = {"failed": f"{type(error).__name__}: {error}"[:500]}
        print(json.dumps({"variant": name} | outcome), flush=True)


def run_variant(variant, options, shapes):
    torch.set_num_threads(1)
    random.seed(0)
    torch.manual_seed(0)
    two_views, versions = variant()
    milliseconds = passes(two_views, options, shapes)
    return {
        "milliseconds_a_picture": {
            "median": round(statistics.median(milliseconds), 3),
            "minimum": round(min(milliseconds), 3),
        },
        "pictures_per_second_a_core": round(1000 / statistics.median(milliseconds), 2),
        "pictures": len(options.files),
        "repeats": options.repeats,
        **step.peak_memory(),
        "matrix_product_gflops_one_thread": step.matrix_product_gflops(),
        "copy_gigabytes_per_second": step.copy_gigabytes_per_second(),
        **versions,
    }


def passes(two_views, options, shapes):
    """Milliseconds a picture of each pass but the first, which warms up."""
    milliseconds = []
    for _ in range(options.repeats + 1):
        start = time.perf_counter()
        for number, file in enumerate(options.files):
            for view in two_views(file.read_bytes(), number):
                assert tuple(view.shape) in shapes and str(view.dtype).endswith("uint8"), view.shape
        milliseconds.append(1000 * (time.perf_counter() - start) / len(options.files))
    return milliseconds[1:]
