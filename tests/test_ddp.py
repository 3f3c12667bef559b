"""Two ranks (gloo, CPU) are one process on the same global batch.

All that needs two processes runs in one pair of them, since they take
seconds to start; the tests compare what they left behind.
"""

import functools
import http.server
import json
import os
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.dist import get_rank
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import OptimWrapper
from mmengine.runner.checkpoint import get_state_dict
from tiny import (
    CLASSES,
    KD,
    ND,
    ND_FOREGROUND,
    NUM,
    batch_of,
    build,
    pair_cfg,
    run_cfg,
    spare_time,
    tiny_spec,
)

from kd_det.centroids import CentroidBank
from kd_det.checkpoint import load_checkpoint
from kd_det.engine import launch
from kd_det.engine.centroid_pass import compute_bank
from kd_det.errors import UserError
from kd_det.testing import save_teacher, tiny_run

SIFN = dict(loss_sifn=dict(type='SIFNLoss', num_classes=NUM + 1))
METHODS = {
    'kd': KD,
    'nd': {**KD, **ND},
    'nd_foreground': {**KD, **ND_FOREGROUND},
    'sifn': SIFN,
    'rkd': dict(
        loss_rkd=dict(
            type='RKDAngleLoss',
            background='foreground',
            max_samples=8,
            gather=True,
            loss_weight=50.0,
        )
    ),
    'norm_foreground': dict(
        loss_norm=dict(type='NormLoss', background='foreground')
    ),
}
# 6 and 5 objects for the first rank, 2 and 2 for the second; with none at
# all, mmdet's own RPN loss would divide by one more
IMAGES = [9, 6, 2, 5]
SOURCES = [('gt', False), ('proposals', False), ('gt', True)]


def deterministic_student():
    """A student that samples without drawing, equally many everywhere."""
    # not at the top: kd_det makes torchvision importable first
    from mmdet.models.task_modules.samplers import RandomSampler
    from mmdet.registry import TASK_UTILS

    @TASK_UTILS.register_module(name='FirstOfTests', force=True)
    class FirstSampler(RandomSampler):
        def random_choice(self, gallery, num):
            return gallery[:num]

    student = tiny_spec()
    sampler = dict(type='FirstOfTests')
    student['train_cfg']['rpn'] = dict(sampler=sampler)
    student['train_cfg']['rcnn']['sampler'].update(sampler, pos_fraction=0.5)
    return student


def one_step(model, shapes, images):
    """Train one step; return the pair's state and the RoIs' labels."""
    pair = getattr(model, 'module', model)
    labels = []
    handle = pair.distill['roi'].register_forward_pre_hook(
        lambda _, args: labels.append(args[0]['labels'])
    )
    sgd = torch.optim.SGD(model.parameters(), lr=0.1)
    log = model.train_step(batch_of(shapes, *images), OptimWrapper(sgd))
    handle.remove()
    assert all(value.isfinite().all() for value in log.values())
    return get_state_dict(pair), labels[0]


class Job:
    """What both ranks are told, and where they leave their results."""

    def __init__(self, folder, shapes, teacher, bank):
        self.folder, self.shapes = folder, shapes
        self.teacher, self.bank = teacher, bank
        self.data = os.environ.get('KD_DET_DATA')

    def model(self, method):
        bank = self.bank if 'nd' in method else None
        losses = METHODS[method]
        student = deterministic_student()
        return build(pair_cfg(self.teacher, losses, bank, student))

    def bank_cfg(self):
        return run_cfg(pair_cfg(self.teacher), self.shapes, '')


def train_steps(job, rank):
    for method in METHODS:
        model = MMDistributedDataParallel(
            job.model(method),
            broadcast_buffers=False,
            find_unused_parameters=False,
        )
        results = one_step(model, job.shapes, IMAGES[2 * rank : 2 * rank + 2])
        torch.save(results, job.folder / f'{method}_{rank}.pth')


def make_banks(job, rank):
    distiller = build(job.bank_cfg().model).distill['roi']
    for source, augmented in SOURCES:
        bank = compute_bank(distiller, job.bank_cfg(), source, augmented)
        bank.save(job.folder / f'{source}_{augmented}_{rank}.npz')
    if job.data:
        for name, cfg in real_data(job.data, job.folder).items():
            distiller = build(cfg.model).distill['roi']
            for source in ('gt', 'proposals'):
                bank = compute_bank(distiller, cfg, source)
                bank.save(job.folder / f'{name}_{source}_{rank}.npz')


def real_data(root, folder):
    """Runs on the data sets below a folder that are in the COCO layout."""
    found = {}
    for path in sorted(Path(root).glob('*/annotations/instances_train.json')):
        data = path.parents[1]
        table = json.loads(path.read_text())
        classes = tuple(c['name'] for c in table['categories'])
        spec = tiny_spec(50, len(classes))
        weights = folder / f'{data.name}_{get_rank()}.pth'
        teacher = save_teacher(spec, weights, classes)
        model = pair_cfg(teacher, student=tiny_spec(18, len(classes)))
        found[data.name] = tiny_run(model, data, '', classes)
    return found


def run_tool(job, rank):
    """Train by the tool's functions; the class means are made on the way."""
    model = pair_cfg(
        job.teacher,
        METHODS['nd'],
        job.folder / 'made.npz',
        deterministic_student(),
    )
    cfg = run_cfg(model, job.shapes, job.folder / 'run')
    cfg.custom_hooks = [
        dict(type='EMAHook', momentum=0.1),
        dict(type='kd_det.CentroidHook'),
        dict(type='kd_det.TeacherCheckHook', floor=None, num_images=2),
    ]
    path = job.folder / f'config_{rank}.py'
    cfg.dump(path)
    cfg = launch.prepare(str(path), launcher='pytorch')
    launch.train(cfg, seed=0)


def download_once(job, rank):
    """Only rank 0 asks for a file, and no rank waits for ever."""
    requests = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            requests.append(self.path)

    if rank == 0:
        torch.save(dict(a=torch.ones(1)), job.folder / 'served.pth')
    os.environ['TORCH_HOME'] = str(job.folder / 'home')
    handler = functools.partial(Handler, directory=str(job.folder))
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = [f'http://127.0.0.1:{server.server_port}']
        torch.distributed.broadcast_object_list(address)
        checkpoint = load_checkpoint(f'{address[0]}/served.pth')
        assert checkpoint['a'] == 1
        with pytest.raises(UserError, match='HTTP Error 404'):
            load_checkpoint(f'{address[0]}/none.pth')
        torch.distributed.barrier()
        server.shutdown()
    (job.folder / f'requests_{rank}.json').write_text(json.dumps(requests))


def work(rank, job):
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE='2')
    torch.set_num_threads(1)
    spare_time()
    torch.distributed.init_process_group(
        'gloo',
        init_method=f'file://{job.folder}/meet',
        rank=rank,
        world_size=2,
    )
    train_steps(job, rank)
    make_banks(job, rank)
    run_tool(job, rank)
    download_once(job, rank)
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


@pytest.fixture(scope='module')
def job(shapes, teacher, bank, tmp_path_factory):
    job = Job(tmp_path_factory.mktemp('ranks'), shapes, teacher, bank)
    torch.multiprocessing.spawn(work, (job,), nprocs=2)
    return job


@pytest.mark.parametrize('method', METHODS)
def test_a_step_is_that_of_one_process(job, method):
    ranks = [
        torch.load(job.folder / f'{method}_{rank}.pth', weights_only=True)
        for rank in range(2)
    ]
    model = job.model(method)
    start = get_state_dict(model)
    start = {key: value.clone() for key, value in start.items()}
    state, labels = one_step(model, job.shapes, IMAGES)
    # the same regions, and not as many objects on both ranks
    both = [own for _, own in ranks]
    assert torch.equal(torch.cat(both), labels)
    counts = [int((own < NUM).sum()) for own in both]
    assert len(both[0]) == len(both[1]) and counts[0] != counts[1] > 0
    moved = 0
    for key, value in state.items():
        first, second = (weights[key] for weights, _ in ranks)
        assert torch.equal(first, second) or key.startswith('distill'), key
        torch.testing.assert_close(
            first, value, rtol=1e-5, atol=1e-6, equal_nan=True, msg=key
        )
        torch.testing.assert_close(first, second, equal_nan=True)
        moved += not torch.equal(value, start[key])
    assert moved > 50


@pytest.mark.parametrize(('source', 'augmented'), SOURCES)
def test_class_means_are_those_of_one_process(job, source, augmented):
    cfg = job.bank_cfg()
    distiller = build(cfg.model).distill['roi']
    alone = compute_bank(distiller, cfg, source, augmented)
    for rank in range(2):
        path = job.folder / f'{source}_{augmented}_{rank}.npz'
        bank = CentroidBank.load(path)
        assert bank.counts.tolist() == alone.counts.tolist()
        assert bank.provenance == alone.provenance
        np.testing.assert_allclose(
            bank.centroids, alone.centroids, rtol=1e-6, atol=1e-6
        )


@pytest.mark.skipif(
    'KD_DET_DATA' not in os.environ,
    reason='KD_DET_DATA names no folder of COCO-layout data sets',
)
@pytest.mark.parametrize('source', ['gt', 'proposals'])
def test_class_means_of_real_data(job, source):
    runs = real_data(job.data, job.folder)
    assert runs
    for name, cfg in runs.items():
        distiller = build(cfg.model).distill['roi']
        alone = compute_bank(distiller, cfg, source)
        for rank in range(2):
            path = job.folder / f'{name}_{source}_{rank}.npz'
            bank = CentroidBank.load(path)
            assert bank.counts.tolist() == alone.counts.tolist()
            np.testing.assert_allclose(
                bank.centroids, alone.centroids, rtol=1e-6, atol=1e-6
            )


def test_the_tool_trains_and_makes_the_means(job):
    bank = CentroidBank.load(job.folder / 'made.npz')
    assert bank.provenance['source'] == 'proposals'
    cfg = job.bank_cfg()
    distiller = build(cfg.model).distill['roi']
    alone = compute_bank(distiller, cfg, 'proposals')
    np.testing.assert_allclose(
        bank.centroids, alone.centroids, rtol=1e-6, atol=1e-6
    )
    checkpoint = load_checkpoint(job.folder / 'run/epoch_1.pth')
    for key, value in checkpoint['state_dict'].items():
        assert value.isfinite().all(), key
    assert checkpoint['meta']['iter'] == 3  # 12 images, 2 a rank
    model = build(pair_cfg(job.teacher))
    model.load_state_dict(checkpoint['state_dict'])
    assert bank.classes == (*CLASSES, 'background')


def test_one_rank_downloads(job):
    requests = json.loads((job.folder / 'requests_0.json').read_text())
    assert requests.count('/served.pth') == 1
