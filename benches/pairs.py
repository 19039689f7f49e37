"""Every comparison with PyTorch in one run: our command and their program for the same work, in turn, several rounds.

    python3 benches/pairs.py                          # all pairs, on made-up pictures
    python3 benches/pairs.py --pictures FOLDER --only views,segment-views --rounds 5
    python3 benches/pairs.py --quick                  # tiny sizes, to see that everything runs

`make bench` builds the program, sets the Python up (tools/bench-python.sh) and calls this. Markdown goes to standard output,
every measurement as a line of JSON to --out. What else the machine was doing meanwhile is measured and told: a figure taken
beside other work is none.
"""

import argparse
import contextlib
import json
import os
import pathlib
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field

BENCHES = pathlib.Path(__file__).resolve().parent
PEERS = BENCHES / "peers"
NAMES = [
    "pretrain-step",
    "moco-v2-step",
    "byol-step",
    "simclr-step",
    "densecl-step",
    "pixpro-step",
    "segment-step-320",
    "segment-step-160",
    "fcn-step",
    "c4-step",
    "fpn-step",
    "c4-detect",
    "fpn-detect",
    "views",
    "segment-views",
    "detection-views",
    "predict",
    "start-up",
    "index",
    "memory",
]

DATA_PATHS = {
    "pillow": "torchvision on Pillow",
    "tensors": "torchvision v2 on tensors",
    "albumentations": "Albumentations on OpenCV",
    "mapper": "Detectron2's mapper on Pillow",
    "ImageFolder": "torchvision's ImageFolder",
}

# Pre-training methods of other papers. lightly has all but PixPro.
METHODS = {
    "moco-v2-step": "MoCo v2",
    "byol-step": "BYOL",
    "simclr-step": "SimCLR",
    "densecl-step": "DenseCL",
    "pixpro-step": "PixPro",
}
QUEUE = 4096


@dataclass
class Transfer:
    """The training step of an evaluation by transfer."""

    title: str
    recipe: str
    folder: str
    arch: str
    smallest: str
    size: int
    rois: int = 0


TRANSFERS = {
    "fcn-step": Transfer(
        "FCN-D8 step", "cityscapes_fcn_d8_40k", "labels", "resnet50", "resnet50", 385
    ),
    "c4-step": Transfer(
        "Faster R-CNN C4 step", "voc_faster_rcnn_c4_24k", "voc", "resnet50", "resnet18", 256, 64
    ),
    "fpn-step": Transfer(
        "Mask R-CNN FPN step", "coco_mask_rcnn_fpn_1x", "coco", "resnet50", "resnet18", 256, 64
    ),
}


@dataclass
class Pair:
    """The same work in both. `theirs` is a command a variant; commands print one JSON object."""

    name: str
    title: str
    ours: dict
    theirs: dict
    value: str = "pictures_per_second"
    unit: str = "pictures a second"
    # The first that a program tells: on CUDA the device's.
    memory: tuple = (
        "peak_device_memory_megabytes",
        "peak_device_mb",
        "peak_memory_megabytes",
        "peak_rss_mb",
    )
    memory_title: str = "peak memory, MB"
    theirs_name: str = "PyTorch"
    one_core: bool = False


@dataclass
class Row:
    """What was measured of one program."""

    ours: bool
    precision: str
    lines: list = field(default_factory=list)


# ---- the table of pairs


class Pairs:
    """What is compared; a method makes a pair when its turn has come."""

    def __init__(self, options, folders):
        self.options, self.folders = options, folders
        self.quick = options.quick
        self.variants = options.variants.split(",")
        if options.compile:
            self.variants += ["compile", "compile_channels_last", "compile_bf16_channels_last"]
        self.steps = ["--steps", 1 if self.quick else options.steps]
        self.steps += ["--warmup", 0 if self.quick else options.warmup]

    def make(self, name):
        if name in METHODS:
            return self.method_step(name)
        if name in TRANSFERS:
            return self.transfer_step(name)
        if name.endswith("-detect"):
            return self.detect(name)
        if name.startswith("segment-step-"):
            return self.segment_step(name, *{"320": (320, 16), "160": (160, 32)}[name[-3:]])
        return getattr(self, name.replace("-", "_"))()

    def pretrain_step(self):
        arch, size, batch = self.pretraining()
        return Pair(
            "pretrain-step",
            f"Pre-training step, {arch}, {size} px, batch {batch}",
            self.ours("step", *self.steps, *settings(arch, size, batch)),
            self.theirs("pretrain_step.py", *self.steps, "--arch", arch, "--size", size, "--batch", batch),
        )

    def method_step(self, name):
        """With batch statistics of the whole batch: lightly does not divide it (method_step.py)."""
        method = name.removesuffix("-step").replace("-", "_")
        size, batch = (64, 8) if self.quick else (128, self.batch(64, 256))
        ours, theirs = [f"method={method}", *settings("resnet18", size, batch)], ["--method", method]
        theirs += ["--arch", "resnet18", "--size", size, "--batch", batch]
        has_queue = method in ("moco_v2", "densecl")
        if has_queue:
            ours += [f"{method}.queue={QUEUE}", f"{method}.groups=1"]
            theirs += ["--queue", QUEUE]
        of_queue = f", queue {QUEUE}" if has_queue else ""
        return Pair(
            name,
            f"{METHODS[name]} step, resnet18, {size} px, batch {batch}{of_queue}",
            self.ours("step", *self.steps, *ours),
            self.theirs("method_step.py", *self.steps, *theirs),
            theirs_name="PyTorch" if method == "pixpro" else "lightly",
        )

    def segment_step(self, name, size, batch):
        size, batch = (64, 4) if self.quick else (size, self.batch(batch, 128))
        theirs = [*self.steps, "--region-weight", 0.1, "--size", size, "--batch", batch]
        return Pair(
            name,
            f"Segmentation step with RegionSim, resnet18 and pyramid, {size} px, batch {batch}",
            self.ours("segment-step", "--regions", *self.steps, *settings("resnet18", size, batch)),
            self.theirs("segment_step.py", *theirs),
        )

    def transfer_step(self, name):
        work = TRANSFERS[name]
        what, ours, theirs = self.transfer(name, work)
        return Pair(
            name,
            f"{work.title}, {what}",
            self.ours("transfer-step", work.recipe, *self.steps, *ours),
            self.theirs("transfer_step.py", *self.steps, *theirs),
        )

    def detect(self, name):
        """With as many proposals of both, however much they overlap, because the box head's work is a share of each; and with
        every box a detection, because random weights are sure of nothing: 100 objects a picture."""
        step = name.replace("-detect", "-step")
        work = TRANSFERS[step]
        what, ours, theirs = self.transfer(step, work)
        return Pair(
            name,
            f"{work.title.replace('step', 'detection')}, {what.split(', 64 boxes')[0]}, 100 objects a picture",
            self.ours("detect", work.recipe, *self.steps, *ours, "rpn.nms_threshold=1", "roi.score_threshold=0"),
            self.theirs(
                "transfer_step.py",
                "--inference",
                *self.steps,
                *theirs,
                "--proposal-nms-threshold",
                1,
                "--score-threshold",
                0,
            ),
        )

    def transfer(self, name, work):
        """What is the same in the step and the detection of a model: in words, and as arguments of both programs."""
        arch, size, batch, rois = work.arch, work.size, self.batch(2, 16), work.rois
        if self.quick:
            arch, size, batch, rois = work.smallest, 128, 2, 16
        detector = name != "fcn-step"
        ours = [f"data.root={self.folders.annotated(size, batch) / work.folder}"]
        ours += [f"encoder.architecture={arch}", "encoder.weights=random", f"train.batch_size={batch}"]
        if detector:
            ours += [f"augment.short_sides=[{size}]", f"roi.batch={rois}", "objects.val=[]"]
            ours += ['objects.train=["train"]']
        else:
            ours += [f"augment.size={size}", f"augment.scale=[{size},{size}]", "labels.layout=folder"]
            ours += ["labels.taxonomy="]
        theirs = ["--model", name.removesuffix("-step"), "--arch", arch]
        theirs += ["--size", size, "--batch", batch, "--rois", rois]
        of_boxes = f", {rois} boxes a picture" if detector else ""
        return f"{arch}, {size} px, batch {batch}{of_boxes}", ours, theirs

    def views(self):
        title = "JPEG file to two augmented 224 px views"
        return self.data_path("views", title, "loader", "views.py", ["pillow", "tensors", "albumentations"])

    def segment_views(self):
        title = "JPEG file to the two 320 px views of segmentation, by way of 640 px"
        program = "segment_views.py"
        return self.data_path("segment-views", title, "segment-loader", program, ["pillow", "tensors"])

    def detection_views(self):
        """On pictures with COCO's annotations, in COCO/train2017 or made up."""
        options, split = self.options, "train2017" if self.options.coco else "train"
        root = options.coco or self.folders.annotated(640, 4 if self.quick else 40) / "coco"
        passes = self.passes()
        recipe = ["coco_mask_rcnn_fpn_1x", f"data.root={root}", f"objects.train={split}", "objects.val="]
        peer = ["--root", root / split, "--annotations", root / f"annotations/instances_{split}.json"]
        return Pair(
            "detection-views",
            "JPEG file to the view of Mask R-CNN's training, one core",
            {"": [options.densesiam, "bench", "transfer-loader", *recipe, "encoder.weights=random", *passes]},
            {"mapper": [sys.executable, PEERS / "detection_views.py", *peer, *passes]},
            value="pictures_per_second_a_core",
            one_core=True,
        )

    def predict(self):
        size, batch = (64, 2) if self.quick else (320, self.batch(32, 128))
        work = [*self.steps, "--size", size, "--batch", batch]
        title = f"Evaluation and prediction, resnet18 and pyramid, {size} px, batch {batch}"
        return Pair("predict", title, self.ours("predict", *work), self.theirs("predict.py", *work))

    def start_up(self):
        once = ["--steps", 1, "--warmup", 0, "--no-limits"]
        small = ["--arch", "resnet18", "--size", 64, "--batch", 4]
        return Pair(
            "start-up",
            "Start of the command to the end of a first small step",
            self.ours("step", *once, *settings("resnet18", 64, 4), precisions=["fp32"]),
            self.theirs("pretrain_step.py", *once, *small, variants=["fp32"]),
            value="command_seconds",
            unit="seconds",
        )

    def index(self):
        root = self.folders.empty_files(self.options.index_files)
        return Pair(
            "index",
            f"Finding {self.options.index_files} pictures",
            {"": [self.options.densesiam, "bench", "index", root]},
            {"ImageFolder": [sys.executable, PEERS / "index.py", root]},
            value="seconds",
            unit="seconds",
            memory=("index_megabytes", "index_mb"),
            memory_title="memory of the index, MB",
        )

    def memory(self):
        arch, size, batch = self.pretraining()
        repeats = ["--repeats", 1] if self.quick else []
        title = f"Peak memory of the pre-training step by grid number, {arch}, {size} px, batch {batch}"
        measured = self.ours("memory", *repeats, *settings(arch, size, batch), precisions=["fp32"])
        return Pair("memory", title, measured, {}, value="peak_memory_megabytes")

    def pretraining(self):
        return ("resnet18", 64, 4) if self.quick else ("resnet50", 224, self.batch(16, 256))

    def batch(self, on_processor, on_cuda):
        return on_cuda if self.options.device.startswith("cuda") else on_processor

    def passes(self):
        """How many pictures a data path reads, and how often."""
        count, repeats = (4, 1) if self.quick else (self.options.count, self.options.repeats)
        return ["--pictures", count, "--repeats", repeats]

    def data_path(self, name, title, command, program, variants):
        options, root, peer = self.options, self.folders.pictures(), [sys.executable, PEERS / program]
        passes = self.passes()
        return Pair(
            name,
            f"{title}, one core, {'a folder of' if options.pictures else 'made-up'} pictures",
            {"": [options.densesiam, "bench", command, root, *passes]},
            {v: [*peer, "--root", root, *passes, "--variants", v] for v in variants},
            value="pictures_per_second_a_core",
            one_core=True,
        )

    def ours(self, command, *arguments, precisions=("auto", "fp32")):
        """A command for each precision."""
        run = [f"run.threads={self.options.threads}", f"run.device={self.options.device}"]
        command = [self.options.densesiam, "bench", command, *arguments, *run]
        return {precision: [*command, f"run.precision={precision}"] for precision in precisions}

    def theirs(self, program, *arguments, variants=None):
        """A command for each variant."""
        command = [sys.executable, PEERS / program, "--in-process", *arguments]
        command += ["--threads", self.options.threads, "--device", self.options.device]
        return {variant: [*command, "--variants", variant] for variant in variants or self.variants}


def settings(arch, size, batch):
    return [f"encoder.architecture={arch}", f"augment.size={size}", f"train.batch_size={batch}"]


# ---- measuring


def measure(pair, rounds, out):
    """Runs ours and theirs in turn; every other round backwards. Returns the rows by label."""
    rows = {}
    order = interleaved(
        [(True, precision, command) for precision, command in pair.ours.items()],
        [(False, variant, command) for variant, command in pair.theirs.items()],
    )
    same_as_auto = None
    for number in range(rounds):
        for is_ours, variant, command in order if number % 2 == 0 else order[::-1]:
            if is_ours and variant == same_as_auto:
                continue
            for line in run(pair, command):
                line |= {"pair": pair.name, "round": number, "ours": is_ours, "asked": variant}
                print(json.dumps(line), file=out, flush=True)
                label, precision = label_of(pair, is_ours, variant, line)
                rows.setdefault(label, Row(is_ours, precision)).lines.append(line)
                if is_ours and variant == "auto":
                    # The machine's own choice may be a precision that is asked for too.
                    same_as_auto = line.get("precision")
    return dict(sorted(rows.items(), key=lambda labelled: not labelled[1].ours))


def interleaved(ours, theirs):
    mixed = []
    for place in range(max(len(ours), len(theirs))):
        mixed += ours[place : place + 1] + theirs[place : place + 1]
    return mixed


def label_of(pair, is_ours, variant, line):
    """The name of a row, and its precision."""
    if not is_ours:
        precision = "bf16" if "bf16" in variant else "fp32"
        return DATA_PATHS.get(variant, f"{pair.theirs_name} {variant.replace('_', ' ')}"), precision
    precision = line.get("precision", "fp32")
    grid = f", K = {line['grid']}" if "grid" in line else ""
    return f"densesiam {precision if variant else ''}".rstrip() + grid, precision


def run(pair, command):
    """The JSON objects that a command prints, with what the command took and what else the machine did."""
    command = [str(part) for part in command]
    if pair.one_core and shutil.which("taskset"):
        command = ["taskset", "-c", str(max(cores())), *command]
    print(f"{pair.name}: {' '.join(command)}", file=sys.stderr, flush=True)
    busy, own, start = busy_seconds(), own_seconds(), time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment())
    seconds = time.perf_counter() - start
    told = {"command": command, "command_seconds": round(seconds, 3)}
    if busy is not None:
        others = (busy_seconds() - busy) - (own_seconds() - own)
        told["others_busy_cores"] = round(max(0.0, others / seconds), 2)
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or not lines:
        lines = [{"failed": f"exit status {done.returncode}"}]
    return [line | told for line in lines]


def environment():
    """With the Python packages that tools/bench-python.sh fetched, where it had to."""
    path = [BENCHES.parent / ".bench-python", os.environ.get("PYTHONPATH")]
    return os.environ | {"PYTHONPATH": os.pathsep.join(str(part) for part in path if part)}


def cores():
    """The numbers of the cores that this may use."""
    known = hasattr(os, "sched_getaffinity")  # not on every system
    return os.sched_getaffinity(0) if known else set(range(os.cpu_count() or 1))


def busy_seconds():
    """Processor seconds that the machine has spent on anything, where the system says."""
    try:
        user, nice, system = pathlib.Path("/proc/stat").read_text().split()[1:4]
    except OSError:
        return None
    return (int(user) + int(nice) + int(system)) / os.sysconf("SC_CLK_TCK")


def own_seconds():
    """Processor seconds of the commands that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


# ---- telling


def table(pair, rows):
    """The Markdown of a pair."""
    headings = [
        "program",
        f"{pair.unit}, median",
        "least to greatest",
        "densesiam is so many times as fast",
        pair.memory_title,
        "matrix product, GFLOP/s",
        "copy, GB/s",
    ]
    lines = [f"\n### {pair.title}\n", markdown_row(headings), markdown_row(["---"] * len(headings))]
    for label, row in rows.items():
        values = measured(pair, row)
        if not values:
            why = next((line.get("failed") or line.get("skipped") for line in row.lines), "")
            lines.append(markdown_row([label, f"not measured ({why})", "", "", "", "", ""]))
            continue
        like = [other for other in rows.values() if other.ours and other.precision == row.precision]
        ratio = "" if row.ours or not like else number(times_as_fast(pair, like[0], row), 2)
        gflops = middle(row, "matrix_product_gflops", "matrix_product_gflops_one_thread")
        cells = [number(statistics.median(values)), f"{number(min(values))} to {number(max(values))}", ratio]
        cells += [number(middle(row, *pair.memory), 0), number(gflops, 0)]
        cells.append(number(middle(row, "copy_gigabytes_per_second"), 1))
        lines.append(markdown_row([label, *cells]))
    return "\n".join(lines + [best_against_best(pair, rows), told_of_others(rows)])


def memory_table(pair, rows):
    """The Markdown of peak memory by grid number."""
    headings = ["grid number", "peak memory, MB", "over SimSiam (grid 0)"]
    lines = [f"\n### {pair.title}\n", markdown_row(headings), markdown_row(["---"] * 3)]
    for line in (line for row in rows.values() for line in row.lines):
        if "failed" in line:
            lines.append(markdown_row(["", f"not measured ({line['failed']})", ""]))
        else:
            percent = f"{line['percent_over_simsiam']:+.1f} %"
            lines.append(markdown_row([str(line["grid"]), number(line["peak_memory_megabytes"], 0), percent]))
    return "\n".join(lines)


def markdown_row(cells):
    return f"| {' | '.join(cells)} |"


def number(value, digits=None):
    """With as many digits as say something."""
    if value is None:
        return ""
    if digits is None:
        digits = 1 if value >= 100 else 2 if value >= 1 else 4
    return f"{value:.{digits}f}"


def measured(pair, row):
    return [line[pair.value] for line in row.lines if "failed" not in line and pair.value in line]


def middle(row, *names):
    """The median of the first of these fields that there is."""
    for name in names:
        if values := [line[name] for line in row.lines if line.get(name) is not None]:
            return statistics.median(values)
    return None


def times_as_fast(pair, ours, theirs):
    ours, theirs = measured(pair, ours), measured(pair, theirs)
    if not ours or not theirs:
        return None
    ratio = statistics.median(ours) / statistics.median(theirs)
    return 1 / ratio if pair.unit == "seconds" else ratio


def best_against_best(pair, rows):
    sign = -1 if pair.unit == "seconds" else 1
    best = {}
    for row in rows.values():
        values = measured(pair, row)
        if values and (row.ours not in best or sign * statistics.median(values) > best[row.ours][0]):
            best[row.ours] = (sign * statistics.median(values), row)
    if len(best) < 2:
        return ""
    ours, theirs = best[True][1], best[False][1]
    memory = [middle(row, *pair.memory) for row in (ours, theirs)]
    share = f", at {number(memory[0] / memory[1], 2)} of its memory" if all(memory) else ""
    times = number(times_as_fast(pair, ours, theirs), 2)
    return f"\nThe best of ours is {times} times as fast as the best of theirs{share}."


def told_of_others(rows):
    lines = [line for row in rows.values() for line in row.lines]
    others = [line["others_busy_cores"] for line in lines if "others_busy_cores" in line]
    return f"Other programs kept {max(others)} cores busy at most." if others else ""


def machine(options):
    """One line of Markdown about where this is."""
    processor = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        known = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
        names = (line.split(":")[1].strip() for line in known if line.startswith("model name"))
        processor = next(names, processor)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    here = f"{processor}, {os.cpu_count()} cores, {memory:.0f} GB; "
    return here + f"{options.threads} threads on {options.device}; {options.rounds} rounds, in turn."


# ---- folders


class Folders:
    """Folders of pictures, made when they are first asked for and gone with the run."""

    def __init__(self, options, scratch):
        self.options, self.scratch = options, pathlib.Path(scratch)

    def pictures(self):
        folder = self.options.pictures or self.scratch / "pictures"
        if not folder.exists():
            count = str(4 if self.options.quick else self.options.count)
            program = [sys.executable, PEERS / "made_up_pictures.py"]
            subprocess.run([*program, folder, "--count", count], env=environment(), check=True)
        return folder

    def annotated(self, size, count):
        """Pictures with label maps and objects (made_up_sets.py)."""
        folder = self.scratch / f"annotated-{size}-{count}"
        if not folder.exists():
            program = [sys.executable, PEERS / "made_up_sets.py", folder]
            sizes = ["--size", str(size), "--count", str(count)]
            subprocess.run([*program, *sizes], env=environment(), check=True)
        return folder

    def empty_files(self, count):
        """A thousand folders of empty files that are called pictures."""
        root = self.scratch / "index"
        for place in range(1000):
            folder = root / f"{place:04}"
            folder.mkdir(parents=True)
            for file in range(count // 1000):
                (folder / f"{file:06}.jpg").touch()
        return root


# ---- the whole


def parse_options():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", help=f"some of {','.join(NAMES)}")
    parser.add_argument("--coco", type=pathlib.Path, help="a folder with train2017 and its annotations, for detection-views")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=3, help="timed steps a round")
    parser.add_argument("--warmup", type=int, default=1, help="steps before those")
    parser.add_argument("--threads", type=int, default=len(cores()))
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--variants", default="fp32,channels_last,bf16,bf16_channels_last", help="PyTorch's")
    parser.add_argument("--compile", action="store_true", help="torch.compile too, minutes a variant")
    parser.add_argument("--pictures", type=pathlib.Path, help="a folder of JPEG files; else they are made up")
    parser.add_argument("--count", type=int, default=120, help="pictures of the data paths")
    parser.add_argument("--repeats", type=int, default=3, help="passes over them a round")
    index_help = "find so many files (1000000), which are made for it and removed"
    parser.add_argument("--index-files", type=int, default=0, help=index_help)
    parser.add_argument("--scratch", type=pathlib.Path, help="where made-up files go")
    parser.add_argument("--densesiam", default=BENCHES.parent / "target/release/densesiam")
    parser.add_argument("--out", type=pathlib.Path, default=BENCHES.parent / "runs/bench/pairs.jsonl")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that everything runs")
    options = parser.parse_args()
    default = [name for name in NAMES if name != "index" or options.index_files]
    asked = options.only.split(",") if options.only else default
    if unknown := set(asked) - set(NAMES):
        parser.error(f"unknown pairs {sorted(unknown)}, there are {NAMES}")
    if "index" in asked and options.index_files < 1000:
        parser.error("the pair index makes its files itself: --index-files 1000000")
    if options.pictures and not options.pictures.is_dir():
        parser.error(f"{options.pictures} is no folder")
    options.only = asked
    return options


def main():
    options = parse_options()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    ours_failed = False
    with tempfile.TemporaryDirectory(dir=options.scratch) as scratch, options.out.open("w") as out:
        pairs = Pairs(options, Folders(options, scratch))
        print(machine(options), flush=True)
        for name in options.only:
            pair = pairs.make(name)
            alone = name == "memory"  # it repeats itself
            rows = measure(pair, 1 if alone else options.rounds, out)
            print(memory_table(pair, rows) if alone else table(pair, rows), flush=True)
            ours_failed |= any("failed" in line for row in rows.values() if row.ours for line in row.lines)
    print(f"\nall measurements: {options.out}", file=sys.stderr)
    sys.exit(1 if ours_failed else 0)


if __name__ == "__main__":
    main()
