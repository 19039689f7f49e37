"""The program's loader, for a training loop of your own."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from ._native import PairLoader


@dataclass(frozen=True)
class Batch:
    """Two augmented views of each of B pictures, and where they show the same points."""

    #: Step and epoch, from 0.
    step: int
    epoch: int
    #: Two tensors of bytes `[B, 3, size, size]`, with channels last in memory.
    views: tuple[torch.Tensor, torch.Tensor]
    #: Two tensors of float32 `[B, K, K, 2]`: the points of a grid over what both views show, in either view, as
    #: `torch.nn.functional.grid_sample` takes them with `align_corners=False`.
    grids: tuple[torch.Tensor, torch.Tensor]
    #: `[B]`, whether the views show anything in common; the grids of the others are zero.
    overlaps: torch.Tensor
    #: `[B]`, the number of each picture in the order of its name.
    samples: torch.Tensor

    def pixels(
        self, device: torch.device | str | None = None, dtype: torch.dtype = torch.float32
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Both views as numbers, normalised by ImageNet's mean and deviation, on a device."""
        mean = torch.tensor([0.485, 0.456, 0.406], device=device, dtype=dtype).view(3, 1, 1) * 255
        deviation = torch.tensor([0.229, 0.224, 0.225], device=device, dtype=dtype).view(3, 1, 1) * 255
        one, two = ((view.to(device, non_blocking=True).to(dtype) - mean) / deviation for view in self.views)
        return one, two


class Loader:
    """Batches without end, as `loader` describes them."""

    def __init__(self, native: PairLoader) -> None:
        self._native = native

    @property
    def pictures(self) -> int:
        """How many pictures there are."""
        return self._native.pictures

    @property
    def steps_per_epoch(self) -> int:
        """How many whole batches an epoch has; what is left over waits for the next epoch."""
        return self._native.steps_per_epoch

    @property
    def bad_files(self) -> list[tuple[int, str]]:
        """The unreadable pictures met so far, each replaced by another one: numbers and reasons."""
        return self._native.bad_files()

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        batch = next(self._native)
        one, two = (torch.from_numpy(view).permute(0, 3, 1, 2) for view in batch.views)
        first, second = (torch.from_numpy(grid) for grid in batch.grids)
        return Batch(
            step=batch.step,
            epoch=batch.epoch,
            views=(one, two),
            grids=(first, second),
            overlaps=torch.from_numpy(batch.overlaps),
            samples=torch.from_numpy(batch.samples),
        )


def loader(
    pictures: str | os.PathLike[str],
    *,
    batch_size: int = 64,
    seed: int = 1,
    workers: int = 0,
    prefetch: int = 2,
    grid: int = 7,
    start: int = 0,
    **augment: Any,
) -> Loader:
    """Two augmented views of the pictures below a folder (or in tar shards), prepared by threads in advance.

    `augment` are the keys of that table of a recipe (``densesiam keys``): ``size=224, scale=[0.2, 1.0]``; their defaults are the
    paper's. `workers` are threads, 0 for all processors; `start` is the first step. Nothing is copied between the loader and the
    tensors. Batches are those of ``densesiam pretrain`` with the same seed, batch size and `augment`.
    """
    native = PairLoader(
        root=os.fspath(pictures),
        augment=json.dumps(augment),
        batch_size=batch_size,
        seed=seed,
        workers=workers,
        prefetch=prefetch,
        grid=grid,
        start=start,
    )
    return Loader(native)
