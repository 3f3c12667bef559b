"""Progress log of stage 1."""

import logging
import time

from mmengine.logging import print_log
from torch import Tensor

LINE_EVERY = 20  # seconds


def say(text: str, level: int = logging.INFO) -> None:
    """Log a line, or print it if there is no logger."""
    print_log(text, 'current', level)


class Progress:
    """Log the progress and the remaining time of the training.

    Args:
        epochs: Total number of epochs.
        length: Steps per epoch.
        done: Epochs finished before an interruption.
    """

    def __init__(self, epochs: int, length: int, done: int) -> None:
        self.epochs, self.length = epochs, length
        self.done = done * length
        self.first = self.done
        self.began = self.said = time.monotonic()

    def step(self, total: Tensor) -> None:
        """Count a step and log a line if it is due."""
        self.done += 1
        if time.monotonic() - self.said >= LINE_EVERY:
            self._line((total[0] / total[1]).item())

    def epoch(self, error: float) -> None:
        """Log the result of an epoch."""
        self._line(error)

    def _line(self, error: float) -> None:
        self.said = time.monotonic()
        pace = (self.said - self.began) / (self.done - self.first)
        left = round(pace * (self.epochs * self.length - self.done))
        epoch = (self.done - 1) // self.length + 1
        say(
            f'Auto-encoder: epoch {epoch} of {self.epochs}, step '
            f'{self.done} of {self.epochs * self.length}, reconstruction '
            f'{error:.5f}, {left // 60}:{left % 60:02} left'
        )
