"""What the PyTorch programs beside this one share: how a step is timed, in which variants, and how it is told.

Each variant runs in a process of its own, so that its peak memory is its own; a variant's name is a choice of the words
`fp32`, `bf16`, `channels_last` and `compile`. Beside each figure stands what the machine gives at all, measured in the
same process after it.
"""

import contextlib
import json
import multiprocessing
import resource
import statistics
import time
from concurrent.futures import ProcessPoolExecutor

import torch
import torchvision


def add_arguments(parser, arch, size, batch):
    """The options that every program has, with its own defaults."""
    parser.add_argument("--arch", default=arch, help="a ResNet of torchvision.models")
    parser.add_argument("--size", type=int, default=size, help="side of a view in pixels")
    parser.add_argument("--batch", type=int, default=batch, help="pictures a step")
    parser.add_argument("--steps", type=int, default=5, help="timed steps")
    parser.add_argument("--warmup", type=int, default=2, help="steps before those")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--variants", default="fp32,channels_last,bf16,bf16_channels_last")
    parser.add_argument("--in-process", action="store_true", help="one variant, in this process")
    parser.add_argument("--no-limits", action="store_true", help="leave out what the machine gives at all")


def parse(parser):
    options = parser.parse_args()
    known = {"fp32", "bf16", "compile", "channels_last"}
    for variant in options.variants.split(","):
        words = variant.replace("channels_last", "channels-last").split("_")
        if unknown := {word.replace("-", "_") for word in words} - known:
            parser.error(f"variant {variant!r}: unknown {sorted(unknown)}, the words are {sorted(known)}")
    if options.in_process and "," in options.variants:
        parser.error("--in-process takes one variant: the peak memory of a second would be the first's")
    return options


def begin(options):
    """To be called first of all in the process of a variant."""
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    # What a user who wants speed on CUDA sets; without effect elsewhere.
    torch.backends.cudnn.benchmark = True
    torch.backends.cuda.matmul.allow_tf32 = "bf16" in options.variants


def memory_format_of(variant):
    return torch.channels_last if "channels_last" in variant else torch.contiguous_format


def compiled_if_asked(variant, model):
    return torch.compile(model) if "compile" in variant else model


def precision_of(variant, options):
    """A context for the forward pass."""
    kind = torch.device(options.device).type
    return torch.autocast(kind, torch.bfloat16) if "bf16" in variant else contextlib.nullcontext()


def time_steps(variant, options, optimizer, losses_of_step):
    """Takes steps, and returns what is to be told of them and the last losses; `losses_of_step` returns them by name,
    with the one to differentiate as `total`."""
    losses = {}

    def step():
        optimizer.zero_grad(set_to_none=True)
        losses.update(losses_of_step())
        losses["total"].backward()
        optimizer.step()

    told = time_repeatedly(variant, options, step)
    return told, {name: loss.item() for name, loss in losses.items()}


def time_repeatedly(variant, options, step):
    """Does `step` again and again, and returns what is to be told of it. On CUDA, as in training, nobody waits for the
    device between steps, so that only their mean is known."""
    for _ in range(options.warmup):
        step()
    timed = []
    synchronise(options.device)
    begun = start = time.perf_counter()
    for _ in range(options.steps):
        step()
        timed.append(time.perf_counter() - start)
        start = time.perf_counter()
    synchronise(options.device)
    if options.device.startswith("cuda"):
        timed = [(time.perf_counter() - begun) / options.steps]
    return {
        "variant": variant,
        "pictures_per_second": round(options.batch / statistics.median(timed), 3),
        "step_seconds": [round(second, 4) for second in timed],
        **peak_memory(options.device),
    }


def synchronise(device):
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


def peak_memory(device="cpu"):
    """In MB: resident memory of this process, and of the accelerator where there is one."""
    peak = {"peak_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)}
    if device.startswith("cuda"):
        peak["peak_device_mb"] = round(torch.cuda.max_memory_allocated(device) / 2**20)
    return peak


def matrix_product_gflops(dtype=torch.float32, device="cpu", side=2048):
    """GFLOP/s of a product of two matrices of `side` x `side`, the best of five."""
    matrix = torch.ones(side, side, dtype=dtype, device=device)
    return round(2 * side**3 / best_of_five(lambda: matrix @ matrix, device) / 1e9, 1)


def copy_gigabytes_per_second(device="cpu", size=256 * 2**20):
    """GB/s of a copy of a tensor of 256 MiB, bytes read and bytes written together, the best of five."""
    source = torch.ones(size // 4, device=device)
    target = torch.zeros_like(source)
    return round(2 * size / best_of_five(lambda: target.copy_(source), device) / 1e9, 2)


def best_of_five(work, device):
    """The least of the seconds that it takes."""
    seconds = []
    for _ in range(5):
        synchronise(device)
        start = time.perf_counter()
        work()
        synchronise(device)
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def limits(variant, options):
    """What the machine gives at all, in the precision of a variant."""
    dtype = torch.bfloat16 if "bf16" in variant else torch.float32
    return {
        "matrix_product_gflops": matrix_product_gflops(dtype, options.device),
        "copy_gigabytes_per_second": copy_gigabytes_per_second(options.device),
    }


def with_limits(run_variant, variant, options):
    """One variant, and after it, so that their memory is not its own, the limits."""
    outcome = run_variant(variant, options)
    return outcome if options.no_limits else outcome | limits(variant, options)


def in_fresh_process(function, *arguments):
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=spawn) as pool:
        return pool.submit(function, *arguments).result()


def versions():
    return {"torch": torch.__version__, "torchvision": torchvision.__version__}


def run_variants(run_variant, options):
    """Prints one JSON object a line for each variant."""
    settings = {"arch": options.arch, "size": options.size, "batch": options.batch, "device": options.device}
    for variant in options.variants.split(","):
        try:
            if options.in_process:
                outcome = with_limits(run_variant, variant, options)
            else:
                outcome = in_fresh_process(with_limits, run_variant, variant, options)
        except Exception as error:  # one variant that this machine cannot run must not cost the others
            outcome = {"variant": variant, "failed": f"{type(error).__name__}: {error}"[:500]}
        print(json.dumps(outcome | settings | {"threads": options.threads} | versions()), flush=True)
