import numpy as np
import numpy.typing as npt

class PairLoader:
    pictures: int
    steps_per_epoch: int
    def __init__(
        self,
        root: str,
        augment: str,
        batch_size: int,
        seed: int,
        workers: int,
        prefetch: int,
        grid: int,
        start: int,
    ) -> None: ...
    def __iter__(self) -> PairLoader: ...
    def __next__(self) -> PairBatch: ...
    def bad_files(self) -> list[tuple[int, str]]: ...

class PairBatch:
    step: int
    epoch: int
    views: list[npt.NDArray[np.uint8]]
    grids: list[npt.NDArray[np.float32]]
    overlaps: npt.NDArray[np.bool_]
    samples: npt.NDArray[np.int64]
