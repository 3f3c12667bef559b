"""Parts: where the time of one step goes."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from torch import nn

from kd_det.benchmark.timing import Clock

REST = 'rest'


class Parts:
    """Divide the time of a step among its parts, so that they add up to it.

    A part that runs inside another is not counted in the outer one.

    Args:
        clock: The clock.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._stack: list[str] = []  # empty outside of a measured step
        self._marks: list[tuple] = []  # moment, part that begins or goes on

    def measure(self, step: Callable[[], object]) -> dict[str, float]:
        """Run a step and return the seconds of each part and of the rest.

        Args:
            step: The step.
        """
        self._stack, self._marks = [REST], [(self.clock.mark(), REST)]
        step()
        self._marks.append((self.clock.mark(), REST))
        self._stack = []
        spent: dict[str, float] = defaultdict(float)
        for (begin, part), (end, _) in zip(self._marks, self._marks[1:]):
            spent[part] += self.clock.seconds(begin, end)
        return dict(spent)

    @contextmanager
    def within(self, part: str) -> Iterator[None]:
        """Count a block as a part.

        Args:
            part: Its name.
        """
        self._begin(part)
        yield
        self._end()

    def hook(self, module: nn.Module, part: str) -> None:
        """Count the calls of a module as a part.

        Args:
            module: The module.
            part: Name of the part.
        """
        module.register_forward_pre_hook(lambda *_: self._begin(part))
        module.register_forward_hook(lambda *_: self._end())

    def wrap(self, owner: object, method: str, part: str) -> None:
        """Count the calls of a method as a part.

        Args:
            owner: The object.
            method: Name of its method.
            part: Name of the part.
        """
        inner = getattr(owner, method)

        def counted(*args, **kwargs):
            with self.within(part):
                return inner(*args, **kwargs)

        setattr(owner, method, counted)

    def _begin(self, part: str) -> None:
        if self._stack:
            self._stack.append(part)
            self._marks.append((self.clock.mark(), part))

    def _end(self) -> None:
        if self._stack:
            self._stack.pop()
            self._marks.append((self.clock.mark(), self._stack[-1]))
