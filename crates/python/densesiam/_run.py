"""Runs of the program: what begins them, and what they leave."""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ._program import Argument, Error, run_program, run_with_messages, settings

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import torch

#: A table of a recipe.
Table = Mapping[str, Any]


def pretrain(
    pictures: Argument,
    recipe: Argument | None = None,
    *,
    resume: bool = False,
    overwrite: bool = False,
    quiet: bool = False,
    **tables: Table,
) -> Run:
    """Pre-trains an encoder on a folder of pictures, and returns the finished `Run`.

    Without a `recipe` the program chooses size, batch and duration by the pictures and the machine; with one (a name of
    ``densesiam recipes``, or a TOML file) the pictures are its ``data.root``. Raises `Error` where the program fails.
    """
    given = [pictures] if recipe is None else [recipe, f"data.root={os.fspath(pictures)}"]
    return _train("pretrain", given, resume, overwrite, quiet, tables)


def segment(
    recipe: Argument, *, resume: bool = False, overwrite: bool = False, quiet: bool = False, **tables: Table
) -> Run:
    """Trains a segmentation without labels by a recipe, and returns the finished `Run`."""
    return _train("segment", [recipe], resume, overwrite, quiet, tables)


def transfer(
    recipe: Argument, *, resume: bool = False, overwrite: bool = False, quiet: bool = False, **tables: Table
) -> Run:
    """Trains an encoder further with labels by a recipe, and returns the finished `Run`."""
    return _train("transfer", [recipe], resume, overwrite, quiet, tables)


def _train(
    command: str, given: list[Argument], resume: bool, overwrite: bool, quiet: bool, tables: Mapping[str, Table]
) -> Run:
    flags = ["--resume"] * resume + ["--overwrite"] * overwrite
    _, messages = run_with_messages([command, *given, *settings(tables), *flags], quiet)
    for message in messages:
        if found := re.match(r"run directory (.+), from step \d+ of \d+$", message):
            return Run(found[1])
    raise Error("the program named no run directory: " + "\n".join(messages[-3:]), 1)


def evaluate(run: Run | Argument, *, quiet: bool = False, **tables: Table) -> dict[str, Any]:
    """The scores of a segmentation or a detector on pictures with labels, as ``densesiam evaluate --json`` prints them."""
    path = run.path if isinstance(run, Run) else run
    scores: dict[str, Any] = json.loads(run_program("evaluate", path, *settings(tables), "--json", quiet=quiet))
    return scores


class Run:
    """A run directory: its recipe, its numbers, its encoder."""

    def __init__(self, path: Argument) -> None:
        self.path = Path(path).absolute()
        if not (self.path / "recipe.toml").exists():
            raise Error(f"{self.path} is no run directory: it has no recipe.toml", 1)

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    @property
    def recipe(self) -> dict[str, Any]:
        """The resolved recipe, as tables."""
        return tomllib.loads((self.path / "recipe.toml").read_text(encoding="utf-8"))

    @property
    def metrics(self) -> dict[str, npt.NDArray[np.float64]]:
        """The numbers of ``metrics.jsonl``: an array for each name, with NaN in the steps that have no such number."""
        return _columns(self._lines("metrics.jsonl"))

    @property
    def evaluations(self) -> list[dict[str, Any]]:
        """The scores so far: a dictionary for each evaluation, in their order."""
        return self._lines("evaluations.jsonl")

    def encoder(self, library: Literal["torchvision", "timm"] = "torchvision") -> torch.nn.Module:
        """The encoder as a `torch.nn.Module` of `torchvision` (its ResNet without the last layer) or `timm`, with its weights."""
        with tempfile.TemporaryDirectory() as folder:
            if library == "torchvision":
                return _torchvision(self, Path(folder))
            if library == "timm":
                return _timm(self, Path(folder))
        raise Error(f"{library!r} is no library that encoders are made for; allowed: 'torchvision', 'timm'", 2)

    def predict(
        self, pictures: Argument, out: Argument, *, overwrite: bool = False, quiet: bool = False, **tables: Table
    ) -> Path:
        """Writes label maps, or boxes and masks, of a picture or a folder below `out`, and returns its path."""
        run_program("predict", self.path, pictures, "--out", out, *["--overwrite"] * overwrite, *settings(tables), quiet=quiet)
        return Path(out)

    def _lines(self, name: str) -> list[dict[str, Any]]:
        file = self.path / name
        text = file.read_text(encoding="utf-8") if file.exists() else ""
        return [json.loads(line) for line in text.splitlines() if line.endswith("}")]


def _columns(rows: list[dict[str, Any]]) -> dict[str, npt.NDArray[np.float64]]:
    import numpy as np

    names = dict.fromkeys(name for row in rows for name in row)

    def number(row: dict[str, Any], name: str) -> Any:
        # What is not finite is written as null.
        value = row.get(name)
        return float("nan") if value is None else value

    return {name: np.array([number(row, name) for row in rows]) for name in names}


def _torchvision(run: Run, folder: Path) -> torch.nn.Module:
    import torch
    import torchvision

    file = folder / "encoder.pth"
    run_program("export", run.path, "--format", "torchvision", "--out", file, quiet=True)
    model: torch.nn.Module = getattr(torchvision.models, run.recipe["encoder"]["architecture"])(weights=None)
    model.fc = torch.nn.Identity()
    missing, unexpected = model.load_state_dict(torch.load(file, weights_only=True), strict=False)
    if missing or [name for name in unexpected if not name.startswith("fc.")]:
        raise Error(f"torchvision's encoder misses {missing} and does not know {unexpected}", 1)
    return model


def _timm(run: Run, folder: Path) -> torch.nn.Module:
    import timm

    path = folder / "timm"
    run_program("export", run.path, "--format", "timm", "--out", path, quiet=True)
    model: torch.nn.Module = timm.create_model(f"local-dir:{path}", pretrained=True, num_classes=0)
    return model
