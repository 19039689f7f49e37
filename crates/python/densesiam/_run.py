"""Runs of the program: what begins them, and what they leave."""

import json
import os
import re
import tempfile
from pathlib import Path

from ._program import Error, run_program, run_with_messages, settings

try:
    import tomllib
except ImportError:
    import tomli as tomllib


def pretrain(pictures, recipe=None, *, resume=False, overwrite=False, quiet=False, **tables):
    """Pre-trains an encoder on a folder of pictures, and returns the finished `Run`.

    Without a `recipe` the program chooses size, batch and duration by the pictures and the machine; with one (a name of
    ``densesiam recipes``, or a TOML file) the pictures are its ``data.root``. Raises `Error` where the program fails.
    """
    given = [pictures] if recipe is None else [recipe, f"data.root={os.fspath(pictures)}"]
    return _train("pretrain", given, resume, overwrite, quiet, tables)


def segment(recipe, *, resume=False, overwrite=False, quiet=False, **tables):
    """Trains a segmentation without labels by a recipe, and returns the finished `Run`."""
    return _train("segment", [recipe], resume, overwrite, quiet, tables)


def transfer(recipe, *, resume=False, overwrite=False, quiet=False, **tables):
    """Trains an encoder further with labels by a recipe, and returns the finished `Run`."""
    return _train("transfer", [recipe], resume, overwrite, quiet, tables)


def _train(command, given, resume, overwrite, quiet, tables):
    flags = ["--resume"] * resume + ["--overwrite"] * overwrite
    _, messages = run_with_messages([command, *given, *settings(tables), *flags], quiet)
    for message in messages:
        if found := re.match(r"run directory (.+), from step \d+ of \d+$", message):
            return Run(found[1])
    raise Error("the program named no run directory: " + "\n".join(messages[-3:]), 1)


def evaluate(run, *, quiet=False, **tables):
    """The scores of a segmentation on labelled pictures, as ``densesiam evaluate --json`` prints them."""
    path = run.path if isinstance(run, Run) else run
    return json.loads(run_program("evaluate", path, *settings(tables), "--json", quiet=quiet))


class Run:
    """A run directory: its recipe, its numbers, its encoder."""

    def __init__(self, path):
        self.path = Path(path).absolute()
        if not (self.path / "recipe.toml").exists():
            raise Error(f"{self.path} is no run directory: it has no recipe.toml", 1)

    def __repr__(self):
        return f"Run({str(self.path)!r})"

    @property
    def recipe(self):
        """The resolved recipe, as tables."""
        return tomllib.loads((self.path / "recipe.toml").read_text(encoding="utf-8"))

    @property
    def metrics(self):
        """The numbers of ``metrics.jsonl``: an array for each name, with NaN in the steps that have no such number."""
        return _columns(self._lines("metrics.jsonl"))

    @property
    def evaluations(self):
        """The scores so far: a dictionary for each evaluation, in their order."""
        return self._lines("evaluations.jsonl")

    def encoder(self, library="torchvision"):
        """The encoder as a `torch.nn.Module` of `torchvision` (its ResNet without the last layer) or `timm`, with its weights."""
        with tempfile.TemporaryDirectory() as folder:
            if library == "torchvision":
                return _torchvision(self, Path(folder))
            if library == "timm":
                return _timm(self, Path(folder))
        raise Error(f"{library!r} is no library that encoders are made for; allowed: 'torchvision', 'timm'", 2)

    def predict(self, pictures, out, *, overwrite=False, quiet=False, **tables):
        """Writes label maps, or boxes and masks, of a picture or a folder below `out`, and returns its path."""
        run_program("predict", self.path, pictures, "--out", out, *["--overwrite"] * overwrite, *settings(tables), quiet=quiet)
        return Path(out)

    def _lines(self, name):
        file = self.path / name
        text = file.read_text(encoding="utf-8") if file.exists() else ""
        return [json.loads(line) for line in text.splitlines() if line.endswith("}")]


def _columns(rows):
    import numpy as np

    names = dict.fromkeys(name for row in rows for name in row)

    def number(row, name):
        # What is not finite is written as null.
        value = row.get(name)
        return float("nan") if value is None else value

    return {name: np.array([number(row, name) for row in rows]) for name in names}


def _torchvision(run, folder):
    import torch
    import torchvision

    file = folder / "encoder.pth"
    run_program("export", run.path, "--format", "torchvision", "--out", file, quiet=True)
    model = getattr(torchvision.models, run.recipe["encoder"]["architecture"])(weights=None)
    model.fc = torch.nn.Identity()
    missing, unexpected = model.load_state_dict(torch.load(file, weights_only=True), strict=False)
    if missing or [name for name in unexpected if not name.startswith("fc.")]:
        raise Error(f"torchvision's encoder misses {missing} and does not know {unexpected}", 1)
    return model


def _timm(run, folder):
    import timm

    path = folder / "timm"
    run_program("export", run.path, "--format", "timm", "--out", path, quiet=True)
    return timm.create_model(f"local-dir:{path}", pretrained=True, num_classes=0)
