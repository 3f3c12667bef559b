"""Four ranks are one process, and a rank that dies ends the others."""

import json
import os
import signal
import time

import numpy as np
import pytest
import ranks
import torch
from mmengine.config import Config
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import OptimWrapper
from mmengine.runner.checkpoint import get_state_dict
from test_ddp import IMAGES, NUM, Job, one_step
from tiny import batch_of, build, run_cfg, without_objects

from kd_det.api import launch
from kd_det.centroids import CentroidBank
from kd_det.errors import UserError
from kd_det.precompute.centroids import compute_bank

RANKS = 4
METHODS = ('kd', 'nd_foreground', 'rkd')
EMPTY = RANKS - 1  # the rank without objects


def wrapped(model):
    return MMDistributedDataParallel(
        model, broadcast_buffers=False, find_unused_parameters=False
    )


def log_of(model, batch):
    """Train one step; return the losses that are logged."""
    sgd = torch.optim.SGD(model.parameters(), lr=0.1)
    log = model.train_step(batch, OptimWrapper(sgd))
    return {key: value.item() for key, value in log.items()}


def batch_without(job, images, position):
    return without_objects(batch_of(job.shapes, *images), position)


def test_run(job):
    cfg = run_cfg(job.bank_cfg().model, job.shapes, job.folder / 'test')
    return launch.tester(cfg, str(job.folder / 'student.pth'))


def work(rank, job):
    torch.distributed.init_process_group('gloo')
    for method in METHODS:
        model = wrapped(job.model(method))
        results = one_step(model, job.shapes, IMAGES[rank : rank + 1])
        torch.save(results, job.folder / f'{method}_{rank}.pth')
    images = IMAGES[rank : rank + 1]
    batch = batch_of(job.shapes, *images)
    if rank == EMPTY:
        batch = batch_without(job, images, 0)
    model = wrapped(job.model('kd'))
    results = log_of(model, batch), get_state_dict(model.module)
    torch.save(results, job.folder / f'empty_{rank}.pth')
    distiller = build(job.bank_cfg().model).distill['roi']
    bank = compute_bank(distiller, job.bank_cfg(), 'proposals')
    bank.save(job.folder / f'bank_{rank}.npz')
    runner = test_run(job)
    runner.model = wrapped(runner.model)
    scores = runner.test()
    if rank == 0:
        (job.folder / 'scores.json').write_text(json.dumps(scores))
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


@pytest.fixture(scope='module')
def plan(shapes, teacher, bank, tmp_path_factory):
    return Job(tmp_path_factory.mktemp('ranks'), shapes, teacher, bank)


@pytest.fixture(scope='module')
def job(plan):
    job = plan
    state = get_state_dict(build(job.bank_cfg().model).student)
    torch.save(dict(state_dict=state), job.folder / 'student.pth')
    ranks.run(work, RANKS, job)
    return job


def load(job, name):
    paths = [job.folder / f'{name}_{rank}.pth' for rank in range(RANKS)]
    return [torch.load(path, weights_only=True) for path in paths]


@pytest.mark.parametrize('method', METHODS)
def test_a_step_is_that_of_one_process(job, method):
    results = load(job, method)
    model = job.model(method)
    state, labels = one_step(model, job.shapes, IMAGES)
    assert torch.equal(torch.cat([own for _, own in results]), labels)
    assert len({int((own < NUM).sum()) for _, own in results}) > 1
    for key, value in state.items():
        for weights, _ in results:
            torch.testing.assert_close(
                weights[key], value, rtol=1e-5, atol=1e-6, equal_nan=True
            )


def test_a_rank_without_objects(job):
    """All have one set of weights; the mean of the losses is as of one."""
    results = load(job, 'empty')
    one = log_of(job.model('kd'), batch_without(job, IMAGES, EMPTY))
    mean = np.mean([log['roi.loss_kd'] for log, _ in results])
    # of a KL divergence near zero, 0.0005
    assert mean == pytest.approx(one['roi.loss_kd'], rel=1e-4)
    for log, state in results:
        assert np.isfinite([*log.values()]).all()
        for key, value in results[0][1].items():
            if not key.startswith('distill'):
                assert torch.equal(state[key], value), key


def test_class_means_are_those_of_one_process(job):
    distiller = build(job.bank_cfg().model).distill['roi']
    alone = compute_bank(distiller, job.bank_cfg(), 'proposals')
    for rank in range(RANKS):
        bank = CentroidBank.load(job.folder / f'bank_{rank}.npz')
        assert bank.counts.tolist() == alone.counts.tolist()
        np.testing.assert_allclose(
            bank.centroids, alone.centroids, rtol=1e-6, atol=1e-6
        )


def test_the_scores_are_those_of_one_process(job):
    """Six images on four ranks: two of them have an image twice."""
    scores = json.loads((job.folder / 'scores.json').read_text())
    assert scores == pytest.approx(test_run(job).test())


test_run.__test__ = False


def steps(rank, job, sign, timeout):
    """Train without end; the last rank sends itself a signal."""
    cfg = Config(dict(model={}, launcher='pytorch'))
    if timeout:
        cfg.env_cfg = dict(dist_cfg=dict(backend='nccl', timeout=timeout))
    launch._join_ranks(cfg)
    model = wrapped(job.model('kd'))
    for step in range(1000):
        log_of(model, batch_of(job.shapes, IMAGES[rank]))
        if step == 2:
            (job.folder / f'{sign}_{rank}').touch()
            if rank == 2:
                os.kill(os.getpid(), sign)


@pytest.mark.parametrize(
    ('sign', 'timeout'), [(signal.SIGKILL, None), (signal.SIGSTOP, 5)]
)
def test_a_rank_that_dies_or_stands_still_ends_the_others(plan, sign, timeout):
    """Within a minute, and with an error."""
    started = ranks.start(steps, 3, plan, sign, timeout)
    try:
        reached = plan.folder / f'{sign}_2'
        while not reached.exists():
            time.sleep(0.1)
            # the last one may have died since
            assert all(r.is_alive() for r in started) or reached.exists()
        begin = time.monotonic()
        for rank in started[:2]:
            rank.join(60)
            assert rank.exitcode, rank
        print(f'{sign!r}: others ended in {time.monotonic() - begin:.1f} s')
    finally:
        for rank in started:
            rank.kill()


@pytest.mark.parametrize('timeout', [0, -1, 'long', True])
def test_a_timeout_that_is_none(timeout):
    cfg = Config(dict(model={}, launcher='mpi'))
    cfg.env_cfg = dict(dist_cfg=dict(timeout=timeout))
    with pytest.raises(UserError, match=r'dist_cfg\.timeout=.*seconds'):
        launch._join_ranks(cfg)
