"""Benchmark time and memory of RKD's angle loss."""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.comparison import Variant, compare, measured, table
from kd_det.cli import run_tool
from kd_det.functional import rkd_angle_loss

# samples, width -> forms that fit in memory; a tensor of the last form would
# have 4 GiB at the second size, one of the second form 1 GiB at the third
SIZES = {(64, 64): 3, (128, 512): 2, (512, 1024): 1}
SMALL = {(6, 5): 3, (7, 4): 2}
PEAK = """
import json, sys
sys.path.insert(0, {folder!r})
from benchmark_rkd import peak
print(json.dumps(peak{arguments}))
"""


def benchmark(rounds: int, threads: int, small: bool = False) -> None:
    """Print time and memory of the angle loss, forward and backward.

    Args:
        rounds: See :func:`measured`.
        threads: See :func:`measured`.
        small: Whether to use tiny sizes for testing.

    Raises:
        UserError: ``rounds`` or ``threads`` is below 1.
        RuntimeError: Two forms differ.
    """
    with measured(rounds, threads):
        for (samples, width), count in (SMALL if small else SIZES).items():
            title = f'angle: N={samples}, D={width}, forward and backward'
            names = [*FORMS][:count]
            variants = {name: variant(name, samples, width) for name in names}
            # the others are in float32
            timings = compare(title, variants, rounds, tolerance=1e-4)
            print(f'\n{title}\n{table(timings, ratio=timings[0])}')
            for name in names:
                mib = measured_peak(name, samples, width) / 2**20
                print(f'{mib:>10.0f} MiB at the peak: {name}', flush=True)


def variant(name: str, samples: int, width: int) -> Variant:
    """Return a function for the value and gradient of one form.

    Args:
        name: One of ``FORMS``.
        samples: Number of samples.
        width: Width of both embeddings.
    """
    generator = torch.Generator().manual_seed(0)
    student, teacher = torch.randn(2, samples, width, generator=generator)
    student.requires_grad_()

    def run() -> tuple[Tensor, Tensor]:
        student.grad = None
        value = FORMS[name](student, teacher)
        value.backward()
        return value.detach(), student.grad

    return run


def measured_peak(name: str, samples: int, width: int) -> int:
    """Return the memory that one form adds to a new process, in bytes.

    Args:
        name: One of ``FORMS``.
        samples: Number of samples.
        width: Width of both embeddings.
    """
    code = PEAK.format(
        folder=str(Path(__file__).parent), arguments=(name, samples, width)
    )
    command = [sys.executable, '-c', code]
    return json.loads(subprocess.check_output(command))


def peak(name: str, samples: int, width: int) -> int:
    """Return the memory that one form adds to this process, in bytes."""
    torch.set_num_threads(1)
    # one-time cost of the first backward pass
    variant(name, 3, 2)()
    run = variant(name, samples, width)
    before = _peak()
    run()
    return _peak() - before


def _peak() -> int:
    # Linux only; getrusage starts from the parent's peak
    with open('/proc/self/status') as status:
        (line,) = (line for line in status if line.startswith('VmHWM:'))
    return 1024 * int(line.split()[1])


def _as_published(student: Tensor, teacher: Tensor) -> Tensor:
    """Store N^2 D differences and N^3 angles for the gradient."""

    def angles(x: Tensor) -> Tensor:
        unit = F.normalize(x[None] - x[:, None], dim=2)
        return unit @ unit.transpose(1, 2)

    return F.smooth_l1_loss(angles(student), angles(teacher))


def _direct(student: Tensor, teacher: Tensor) -> Tensor:
    """Evaluate the formula directly, with N^3 D products."""

    def angles(x: Tensor) -> Tensor:
        unit = F.normalize(x[None] - x[:, None], dim=2)
        return (unit[:, :, None] * unit[:, None]).sum(3)

    return F.smooth_l1_loss(angles(student), angles(teacher))


FORMS = {
    'rkd_angle_loss': rkd_angle_loss,
    'as published: N^2 D differences, N^3 angles': _as_published,
    'direct: N^3 D products': _direct,
}


def main() -> None:
    """Parse the arguments and run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        '--rounds', type=int, default=7, help='calls per variant (7)'
    )
    parser.add_argument(
        '--threads',
        type=int,
        default=1,
        help='torch threads; 1 measures CPU time (1)',
    )
    args = parser.parse_args()
    benchmark(args.rounds, args.threads)


if __name__ == '__main__':
    run_tool(main)
