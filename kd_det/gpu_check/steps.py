"""Cost of a pair's training step relative to the student alone."""

import time
from collections.abc import Callable, Iterator
from statistics import median
from tempfile import TemporaryDirectory

import torch

from kd_det.gpu_check.pairs import ALONE, Steps, full, tiny
from kd_det.gpu_check.rows import GPU_ONLY, Row
from kd_det.gpu_check.waits import waits

ROUNDS = 15
# Generous limits, to find mistakes such as a stored teacher graph or repeated
# computation, not slow GPUs.
MOST_TIME = 1.3  # relative to student step plus teacher forward pass
MOST_MEMORY = 2.0  # relative to the student alone


def check_waits(device: torch.device) -> Iterator[Row]:
    """Yield one row per method: synchronisations compared with the student."""
    with TemporaryDirectory() as folder:
        steps = Steps(tiny(), folder, device)
        alone = _waits(steps, None)
        for method in steps.distillers:
            pair = _waits(steps, method)
            more = pair - alone
            places = ', '.join(f'{n} in {p}' for p, n in more.items())
            text = (
                f'{alone.total()} per step of the student alone, '
                f'{pair.total()} of the pair'
            )
            yield Row(
                f'waits, {method}',
                f'{text}; more: {places}' if more else text,
                'none more',
                not more,
            )


def _waits(steps: Steps, method: str | None):
    step = steps.step(steps.model(method))
    step()  # warm-up
    return waits(step, steps.device)


def check_costs(device: torch.device) -> Iterator[Row]:
    """Yield rows of memory and time, relative to the student alone."""
    on_gpu = device.type == 'cuda'
    with TemporaryDirectory() as folder:
        steps = Steps(full() if on_gpu else tiny(), folder, device)
        runs, peaks = {}, {}
        for name in (ALONE, *steps.distillers):
            method = None if name == ALONE else name
            before = torch.cuda.memory_allocated() if on_gpu else 0
            runs[name] = steps.step(steps.model(method))
            runs[name](), runs[name]()
            if on_gpu:
                torch.cuda.reset_peak_memory_stats()
                runs[name]()
                peak = torch.cuda.max_memory_allocated()
                peaks[name] = (peak - before) / 2**20
        for method in steps.distillers:
            yield _memory(method, peaks)
        runs['floor'] = steps.floor()
        times = _times(runs, ROUNDS if on_gpu else 3, on_gpu)
        for method in steps.distillers:
            yield _time(method, times, on_gpu)


def _memory(method: str, peaks: dict[str, float]) -> Row:
    name = f'memory, {method}'
    if not peaks:
        return Row(name, GPU_ONLY)
    ratio = peaks[method] / peaks[ALONE]
    text = f'{ratio:.2f} of the {peaks[ALONE]:.0f} MiB of the student alone'
    return Row(name, text, f'{MOST_MEMORY}', ratio <= MOST_MEMORY)


def _time(method: str, times: dict[str, list[float]], judge: bool) -> Row:
    alone, floor = (_ratio(times, method, o) for o in (ALONE, 'floor'))
    text = (
        f'{alone:.2f} of the {median(times[ALONE]):.0f} ms of the student '
        f'alone, {floor:.2f} of student and teacher'
    )
    if not judge:
        return Row(f'step time, {method}', f'{text}; {GPU_ONLY}')
    accepted = f'{MOST_TIME} of student and teacher'
    return Row(f'step time, {method}', text, accepted, floor <= MOST_TIME)


def _ratio(times: dict[str, list[float]], name: str, other: str) -> float:
    # of adjacent measurements, so that a slow machine affects both equally
    return median(a / b for a, b in zip(times[name], times[other]))


def _times(
    runs: dict[str, Callable], rounds: int, on_gpu: bool
) -> dict[str, list[float]]:
    """Return the milliseconds of each run, alternating."""
    clock = _gpu_ms if on_gpu else _cpu_ms
    times = {name: [] for name in runs}
    order = [*runs]
    for _ in range(rounds):
        for name in order:
            times[name].append(clock(runs[name]))
        order.reverse()
    return times


def _gpu_ms(run: Callable) -> float:
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    begin.record()
    run()
    end.record()
    torch.cuda.synchronize()
    return begin.elapsed_time(end)


def _cpu_ms(run: Callable) -> float:
    began = time.perf_counter()
    run()
    return 1000 * (time.perf_counter() - began)
