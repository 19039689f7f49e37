"""Dense self-supervised learning: the program `densesiam` from Python, its runs as objects, and its loader for loops of your own.

Settings are the keys of a recipe (``densesiam keys``), as tables: ``train={"duration": "20 epochs"}`` is ``train.duration=20 epochs``.
The table ``global``, which is a word of Python, is written ``global_``.
"""

from typing import TYPE_CHECKING, Any

from ._program import Error, run_program
from ._run import Run, evaluate, pretrain, segment, transfer

if TYPE_CHECKING:
    from ._loader import Batch, Loader, loader

__all__ = ["Batch", "Error", "Loader", "Run", "evaluate", "loader", "pretrain", "run_program", "segment", "transfer"]


def __getattr__(name: str) -> Any:
    # The loader imports torch, which the program's own command does not need to wait for.
    if name in ("Batch", "Loader", "loader"):
        from . import _loader

        return getattr(_loader, name)
    raise AttributeError(f"module 'densesiam' has no attribute {name!r}")
