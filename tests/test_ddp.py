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
from types import SimpleNamespace

import ie_toy as toy
import numpy as np
import pytest
import ranks
import share_toy
import torch
from mmengine.config import ConfigDict
from mmengine.dist import get_rank
from mmengine.hooks import Hook, SyncBuffersHook
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import OptimWrapper, build_optim_wrapper
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
    tiny_spec,
)
from torch import nn

from kd_det.api import launch
from kd_det.centroids import CentroidBank
from kd_det.checkpoint import load_checkpoint
from kd_det.connectors.autoencoder_file import load_auto_encoder
from kd_det.engine.run_record import load_record
from kd_det.errors import UserError
from kd_det.evaluation.predictions import FILE as PREDICTIONS
from kd_det.evaluation.predictions import load_predictions
from kd_det.precompute.autoencoder import AutoEncoderStage
from kd_det.precompute.centroids import compute_bank
from kd_det.precompute.gradient_shares import step_shares
from kd_det.registry import MODEL_WRAPPERS
from kd_det.testing import save_teacher, tiny_run

SIFN = dict(loss_sifn=dict(type='SIFNLoss', num_classes=NUM + 1))
METHODS = {
    'nd': {**KD, **ND},
    'nd_foreground': {**KD, **ND_FOREGROUND},
    'sifn': SIFN,
    'inherit': KD,
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
LOSSES = {'kd': KD, **METHODS}  # KD alone is stepped by four ranks
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
        self.images = toy.images(folder)

    def model(self, method):
        bank = self.bank if 'nd' in method else None
        losses = LOSSES[method]
        student = deterministic_student()
        if method == 'inherit':
            student['inherit'] = ('neck', 'rpn_head', 'roi_head')
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


PEERS = dict(a=toy.network(), b=toy.network((4, 4, 8, 12)))


def peers():
    """Peers whose step is the same in parts: norms that stand still."""
    logit = dict(
        type='LogitDistiller', losses=dict(loss_kd=dict(type='KDLoss'))
    )
    factor = dict(
        type='MutualFactorDistiller',
        channels=4,
        norm=False,
        taps=[toy.POINT],
        losses=dict(toy.IE, loss_rec=dict(type='ReconstructionLoss')),
    )
    model = toy.build(
        ConfigDict(
            _scope_='kd_det',
            type='MutualModel',
            peers=PEERS,
            distillers=dict(logit=logit, factor=factor),
        )
    )
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    return model


def peer_steps(model, count, rank=None):
    """Two batches, or a rank's half of them; the peers' state."""
    optim = build_optim_wrapper(
        model,
        dict(
            constructor='kd_det.PeerOptimWrapperConstructor',
            type='OptimWrapper',
            optimizer=dict(type='SGD', lr=0.01, momentum=0.9),
            accumulative_counts=count,
        ),
    )
    optim.initialize_count_status(model, 0, 2)
    for seed in range(2):
        data = toy.batch(6, seed)
        if rank is not None:
            own = slice(3 * rank, 3 * rank + 3)
            data = {key: value[own] for key, value in data.items()}
        model.train_step(data, optim)
    return get_state_dict(getattr(model, 'module', model))


def train_peers(job, rank):
    """Steps of peers, and a run of them by the tool's functions."""
    for count in (1, 2):
        model = MODEL_WRAPPERS.build(
            dict(type='kd_det.MutualDataParallel', module=peers())
        )
        state = peer_steps(model, count, rank)
        torch.save(state, job.folder / f'peers{count}_{rank}.pth')
    cfg = toy.run(
        'iedml_resnet56_resnet20_short_cifar10',
        job.folder / 'peers',
        job.images,
    )
    cfg.model.peers = PEERS
    cfg.model.distillers.factor.channels = 4
    cfg.custom_hooks.append(dict(type='EMAHook', momentum=0.1))
    path = job.folder / f'peers_{rank}.py'
    cfg.dump(path)
    cfg = launch.prepare(str(path), launcher='pytorch')
    launch.train(cfg, seed=0)


def make_auto_encoder(job, rank):
    """Stage 1: what each rank holds in the end, and who wrote."""
    folder = job.folder / f'stage_{rank}'
    folder.mkdir()
    model = toy.pair(folder)  # the same teacher, in a file of each rank
    file = str(job.folder / 'ae.pth')
    model.distillers.factor.auto_encoder = file
    cfg = toy.run(
        'iekd_resnet56_resnet20_short_cifar10', folder, job.images, model
    )
    distiller = toy.build(model).distill.factor
    AutoEncoderStage(epochs=2).provide(distiller, cfg)
    state = distiller.auto_encoder.state_dict()
    torch.save(state, job.folder / f'ae_{rank}.pth')


def share_step(model, data):
    """The shares of a step, with norms that stand still; its gradients."""
    pair = getattr(model, 'module', model)
    for module in pair.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    found = {}
    handle = pair.register_forward_hook(
        lambda pair, args, losses: found.update(step_shares(pair, losses))
    )
    losses = model(**pair.data_preprocessor(data, True), mode='loss')
    handle.remove()
    pair.parse_losses(losses)[0].backward()
    grads = {name: p.grad for name, p in pair.named_parameters()}
    return {k: (v.share, v.cosine, v.task) for k, v in found.items()}, grads


class Factor(Hook):
    """Leaves the factor of a rank behind."""

    def __init__(self, folder):
        self.folder = folder

    def after_train(self, runner):
        loss = runner.model.module.distill.logit.losses.loss_kd
        path = Path(self.folder) / f'factor_{get_rank()}.json'
        path.write_text(json.dumps(loss.factor))


def measure_shares(job, rank):
    """Of a step in which the ranks have other images, and of a run."""
    folder = job.folder / f'shares_{rank}'
    folder.mkdir()
    model = MMDistributedDataParallel(toy.build(share_toy.pair(folder)))
    own = slice(3 * rank, 3 * rank + 3)
    data = {key: value[own] for key, value in toy.batch(6).items()}
    torch.save(share_step(model, data), job.folder / f'shares_{rank}.pth')
    kd = dict(share_toy.LOSSES['loss_kd'], auto_weight=dict(share=0.5, step=2))
    cfg = share_toy.run(
        folder,
        job.images,
        dict(share_toy.HOOK, steps=(1, 3)),
        losses=dict(share_toy.LOSSES, loss_kd=kd),
    )
    cfg.custom_hooks.append(dict(type=Factor, folder=str(job.folder)))
    cfg.work_dir = str(job.folder / 'shares')
    cfg.launcher = 'pytorch'
    cfg.model_wrapper_cfg = dict(
        type='MMDistributedDataParallel', device_ids=None
    )
    launch.train(cfg, seed=0)


def sync_statistics(job, rank):
    """What MMDetection's and MMEngine's hooks make of unequal ranks."""
    # not at the top: kd_det makes torchvision importable first
    from mmdet.engine.hooks import SyncNormHook

    model = MMDistributedDataParallel(job.model('inherit'))
    for name, call in (
        ('norm', lambda runner: SyncNormHook().before_val_epoch(runner)),
        (
            'buffers',
            lambda runner: SyncBuffersHook().after_train_epoch(runner),
        ),
    ):
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.fill_(3.0 + 4 * rank)
        call(SimpleNamespace(model=model))
        state = {k: v for k, v in get_state_dict(model).items()}
        torch.save(state, job.folder / f'{name}_{rank}.pth')


def work(rank, job):
    torch.distributed.init_process_group('gloo')
    train_steps(job, rank)
    make_banks(job, rank)
    run_tool(job, rank)
    download_once(job, rank)
    train_peers(job, rank)
    make_auto_encoder(job, rank)
    measure_shares(job, rank)
    sync_statistics(job, rank)
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


@pytest.fixture(scope='module')
def job(shapes, teacher, bank, tmp_path_factory):
    job = Job(tmp_path_factory.mktemp('ranks'), shapes, teacher, bank)
    ranks.run(work, 2, job)
    return job


@pytest.mark.parametrize('method', METHODS)
def test_a_step_is_that_of_one_process(job, method):
    results = [
        torch.load(job.folder / f'{method}_{rank}.pth', weights_only=True)
        for rank in range(2)
    ]
    model = job.model(method)
    start = get_state_dict(model)
    start = {key: value.clone() for key, value in start.items()}
    state, labels = one_step(model, job.shapes, IMAGES)
    # the same regions, and not as many objects on both ranks
    both = [own for _, own in results]
    assert torch.equal(torch.cat(both), labels)
    counts = [int((own < NUM).sum()) for own in both]
    assert len(both[0]) == len(both[1]) and counts[0] != counts[1] > 0
    moved = 0
    for key, value in state.items():
        first, second = (weights[key] for weights, _ in results)
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


def test_the_record_has_the_images_of_both_ranks(job):
    record = load_record(job.folder / 'run')
    assert record['machine']['processes'] == 2
    predictions = load_predictions(job.folder / 'run' / PREDICTIONS)
    assert predictions.num_images == 6
    assert {*predictions.images.tolist()} == {*range(6)}
    score = record['logged']['coco/bbox_mAP']
    assert round(record['metrics']['mAP'], 3) == score


def test_one_rank_downloads(job):
    requests = json.loads((job.folder / 'requests_0.json').read_text())
    assert requests.count('/served.pth') == 1


@pytest.mark.parametrize('count', [1, 2])
def test_peers_step_as_in_one_process(job, count):
    """Also where gradients are accumulated over two batches."""
    states = [
        torch.load(job.folder / f'peers{count}_{rank}.pth', weights_only=True)
        for rank in range(2)
    ]
    model = peers()
    start = {key: v.clone() for key, v in get_state_dict(model).items()}
    state = peer_steps(model, count)
    moved = 0
    for key, value in state.items():
        assert torch.equal(states[0][key], states[1][key]), key
        torch.testing.assert_close(
            states[0][key], value, rtol=1e-4, atol=1e-6, msg=key
        )
        moved += not torch.equal(value, start[key])
    assert moved > 50


def test_peers_train_by_the_tool(job):
    run = job.folder / 'peers'
    checkpoint = load_checkpoint(run / 'epoch_2.pth')
    assert checkpoint['meta']['iter'] == 4  # 20 images, 5 a rank
    for name in PEERS:
        state = load_checkpoint(run / f'{name}.pth')['state_dict']
        assert all(value.isfinite().all() for value in state.values())


def test_stage_1_of_ranks(job):
    """One file, which is what both ranks go on with."""
    state, provenance = load_auto_encoder(job.folder / 'ae.pth')
    assert not [*job.folder.glob('*ae.pth.*')]
    assert provenance['points'] == [toy.POINT]
    assert provenance['epochs'] == 2 and provenance['reconstruction'] > 0
    for rank in range(2):
        own = load_checkpoint(job.folder / f'ae_{rank}.pth')
        assert own.keys() == state.keys()
        for key, value in state.items():
            assert torch.equal(own[key], value), key


def test_gradient_shares_are_those_of_one_process(job):
    """And the gradients that the step goes on with too."""
    model = toy.build(share_toy.pair(job.folder))
    shares, grads = share_step(model, toy.batch(6))
    assert set(shares) == set(share_toy.KEYS)
    for rank in range(2):
        own, own_grads = torch.load(
            job.folder / f'shares_{rank}.pth', weights_only=True
        )
        for key, values in shares.items():
            assert own[key] == pytest.approx(values, rel=1e-4), key
        for name, grad in grads.items():
            torch.testing.assert_close(own_grads[name], grad)


def test_ranks_rescale_a_loss_alike(job):
    factors = [
        json.loads((job.folder / f'factor_{rank}.json').read_text())
        for rank in range(2)
    ]
    assert factors[0] == factors[1] != 1
    checkpoint = load_checkpoint(job.folder / 'shares/epoch_2.pth')
    key = 'distill.logit.losses.loss_kd.auto_weight.factor'
    assert checkpoint['state_dict'][key].item() == factors[0]


@pytest.mark.parametrize('hook', ['norm', 'buffers'])
def test_the_students_statistics_are_made_alike(job, hook):
    """SyncNormHook and SyncBuffersHook reach the student of a pair."""
    for rank in range(2):
        path = job.folder / f'{hook}_{rank}.pth'
        state = torch.load(path, weights_only=True)
        means = [v for k, v in state.items() if k.endswith('running_mean')]
        assert len(means) > 10
        assert all((mean == 5.0).all() for mean in means)
