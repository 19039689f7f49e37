"""Dense self-supervised learning: the program `densesiam` from Python, its runs as objects, and its loader for loops of your own.

Settings are the keys of a recipe (``densesiam keys``), as tables: ``train={"duration": "20 epochs"}`` is ``train.duration=20 epochs``.
"""

from ._program import Error, run_program
from .loader import Batch, Loader, loader
from .run import Run, evaluate, pretrain, segment, transfer

__all__ = ["Batch", "Error", "Loader", "Run", "evaluate", "loader", "pretrain", "run_program", "segment", "transfer"]
