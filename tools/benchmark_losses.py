"""Benchmark the losses against slower versions and within a step."""

import argparse
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from benchmarks.comparison import Variant, compare, measured, table
from benchmarks.steps import steps
from kd_det import random_state
from kd_det.cli import run_tool
from kd_det.functional import dkd_loss, kd_loss, nd_loss, sdd_loss, sdd_weights

TAU = 4.0


def benchmark(
    sections: Sequence[str], rounds: int, threads: int, small: bool
) -> None:
    """Time equivalent variants and print a table for each section.

    Args:
        sections: Sections to run, from ``SECTIONS``.
        rounds: See :func:`measured`.
        threads: See :func:`measured`.
        small: Whether to use tiny sizes for testing.

    Raises:
        UserError: ``rounds`` or ``threads`` is below 1.
        RuntimeError: Two variants differ.
    """
    with measured(rounds, threads), random_state.isolated():
        random_state.seed_all(0)
        for section in sections:
            for lines in SECTIONS[section](rounds, small):
                print(f'\n{lines}', flush=True)


def nd(rounds: int, small: bool) -> Iterator[str]:
    """Yield the table of ND, vectorised and in a loop."""
    samples, width, classes = (16, 8, 5) if small else (1024, 1024, 81)
    # non-negative, as after ReLU and pooling
    student = torch.rand(samples, width, requires_grad=True)
    # around the student's norm, so that both branches of the maximum occur
    teacher = torch.rand(samples, width) * (0.5 + torch.rand(samples, 1))
    means = torch.rand(classes, width)
    labels = torch.randint(classes, (samples,))
    lists = {str(row): mean.tolist() for row, mean in enumerate(means)}
    title = f'nd: N={samples}, D={width}, K={classes}, forward and backward'
    variants = {
        'nd_loss': _graded(
            student, lambda: nd_loss(student, teacher, means, labels).mean()
        ),
        'loop over samples': _graded(
            student,
            lambda: _nd_loop(student, teacher, means.__getitem__, labels),
        ),
        # as in the authors' code, which reads them from JSON
        'loop over samples, class means as lists': _graded(
            student,
            lambda: _nd_loop(
                student,
                teacher,
                lambda label: torch.tensor(lists[str(label)]),
                labels,
            ),
        ),
    }
    timings = compare(title, variants, rounds)
    yield f'{title}\n{table(timings, ratio=timings[0])}'


def sdd(rounds: int, small: bool) -> Iterator[str]:
    """Yield the tables of SDD, in one call and by region."""
    samples, sizes = (4, (5, 7)) if small else (64, (100, 1000))
    regions = 1 + 4 + 16
    bases = dict(
        KD=lambda s, t, y: kd_loss(s, t, TAU),
        DKD=lambda s, t, y: dkd_loss(s, t, y, tau=TAU),
    )
    for classes in sizes:
        # in the layout of LogitDistiller: the classes of a cell are contiguous
        shape = samples, regions, classes
        student = torch.randn(shape, requires_grad=True)
        pair = student.transpose(1, 2), torch.randn(shape).transpose(1, 2)
        labels = torch.randint(classes, (samples,))
        for name, base in bases.items():
            title = (
                f'sdd: {name}, N={samples}, K={classes}, R={regions}, forward '
                'and backward'
            )
            timings = compare(
                title, _sdd_variants(student, pair, labels, base), rounds
            )
            yield f'{title}\n{table(timings, ratio=timings[0])}'


SECTIONS = dict(nd=nd, sdd=sdd, steps=steps)


def _sdd_variants(
    leaf: Tensor, pair: tuple[Tensor, Tensor], labels: Tensor, base: Callable
) -> dict[str, Variant]:
    return {
        'sdd_loss': _graded(
            leaf, lambda: sdd_loss(*pair, labels, base).mean()
        ),
        'a call of the base loss for each region': _graded(
            leaf, lambda: _sdd_loop(*pair, labels, base)
        ),
    }


def _graded(leaf: Tensor, loss: Callable[[], Tensor]) -> Variant:
    """Return a function for a loss and its gradient at ``leaf``."""

    def run() -> tuple[Tensor, Tensor]:
        leaf.grad = None
        value = loss()
        value.backward()
        return value.detach(), leaf.grad

    return run


def _nd_loop(
    student: Tensor,
    teacher: Tensor,
    mean_of: Callable[[int], Tensor],
    labels: Tensor,
) -> Tensor:
    total = 0.0
    for s, t, label in zip(student, teacher, labels.tolist()):
        mean = mean_of(label)
        direction = mean / mean.norm()
        total = total + 1 - s @ direction / max(s.norm(), t.norm())
    return total / len(student)


def _sdd_loop(
    student: Tensor, teacher: Tensor, labels: Tensor, base: Callable
) -> Tensor:
    weights = sdd_weights(teacher, labels)
    # unbind, since indexing would create a full gradient for each region
    regions = zip(weights.unbind(1), student.unbind(2), teacher.unbind(2))
    losses = [(w * base(s, t, labels)).mean() for w, s, t in regions]
    return torch.stack(losses).mean()


def main() -> None:
    """Parse the arguments and run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        '--section', choices=[*SECTIONS], help='run one section only (all)'
    )
    parser.add_argument(
        '--rounds', type=int, default=21, help='calls per variant (21)'
    )
    parser.add_argument(
        '--threads',
        type=int,
        default=1,
        help='torch threads; 1 measures CPU time (1)',
    )
    parser.add_argument(
        '--small', action='store_true', help='tiny sizes for testing'
    )
    args = parser.parse_args()
    sections = [args.section] if args.section else [*SECTIONS]
    benchmark(sections, args.rounds, args.threads, args.small)


if __name__ == '__main__':
    run_tool(main)
