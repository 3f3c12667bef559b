"""ProgressHook: show the progress of training in one line."""

import time

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from rich import get_console

from kd_det.registry import HOOKS


@HOOKS.register_module()
class ProgressHook(Hook):
    """Print the step, loss and time left, as one line instead of a log.

    On a terminal the line is rewritten every second; elsewhere (a file, a
    pipe) a new one is printed now and then.

    Args:
        interval: Seconds between lines if there is no terminal.

    Example:
        >>> custom_hooks = [dict(type='kd_det.ProgressHook')]
    """

    priority = 'LOWEST'  # the time left includes the time spent in other hooks

    def __init__(self, interval: float = 20) -> None:
        self.interval = interval

    def before_train(self, runner) -> None:
        """Start the clock."""
        self._console = get_console()
        self._first = runner.iter
        self._began = self._printed = time.monotonic()

    def after_train_iter(
        self, runner, batch_idx, data_batch=None, outputs=None
    ) -> None:
        """Print the line when it is due."""
        if not is_main_process():
            return
        now, done = time.monotonic(), runner.iter + 1
        terminal = self._console.is_terminal
        last = done == runner.max_iters
        due = now - self._printed >= (1 if terminal else self.interval)
        if not (due or last):
            return
        self._printed = now
        pace = (now - self._began) / (done - self._first)
        left = round(pace * (runner.max_iters - done))
        loss = f', loss {outputs["loss"].item():.2f}' if outputs else ''
        self._console.print(
            f'      step {done} of {runner.max_iters}{loss}, '
            f'{left // 60}:{left % 60:02} left   ',
            end='\r' if terminal and not last else '\n',
            highlight=False,
        )
