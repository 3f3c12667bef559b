"""A config of metric or few-shot learning is what its name says, and runs."""

import functools
import re
from pathlib import Path

import pytest
import torch
from embedding_words import (
    ALONE,
    FEWSHOT,
    FEWSHOT_DATA,
    METHODS,
    METRIC,
    METRIC_DATA,
    NETWORKS,
    ON_MAPS,
    WITH_LABELS,
    Name,
    parse,
)
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from mmpretrain.structures import DataSample

from kd_det.config import load_config
from kd_det.models import FrozenTeacher, distill_model
from kd_det.models.spec import read_spec
from kd_det.registry import DATA_SAMPLERS, HOOKS, METRICS, MODELS

FILES = [*METRIC, *FEWSHOT]
each_config = pytest.mark.parametrize('path', FILES, ids=lambda p: p.stem)
read = functools.cache(load_config)  # for tests that change nothing in it


def is_few(path: Path) -> bool:
    return path.parent.name == 'fewshot'


def networks_of(cfg) -> list:
    if 'teacher' not in cfg.model:
        return [cfg.model]
    source = cfg.model.teacher.cfg
    return [
        read_spec(dict(cfg=source), 'teacher')[0],
        read_spec(cfg.model.student, 'student')[0],
    ]


@each_config
def test_name_tells_the_content(path):
    name, cfg, few = parse(path), read(str(path)), is_few(path)
    data = (FEWSHOT_DATA if few else METRIC_DATA)[name.data]
    assert ('teacher' in cfg.model) == name.is_pair
    models = networks_of(cfg)
    for (word, dims), model in zip(name.networks, models, strict=True):
        facts, channels = NETWORKS[word]
        found = {key: model.backbone.get(key) for key in facts}
        assert found == facts
        assert model.get('embed_dims') == dims
        if few:
            assert model.pool is False
            assert model.loss == dict(type=ALONE['protonet'], shots=name.shots)
        else:
            assert model.in_channels == channels
    if not few:  # all that learn from labels are normalised, no other is
        learns = [model.get('loss') is not None for model in models]
        assert learns == [True, name.method in WITH_LABELS][: len(models)]
        assert [model.get('normalize', False) for model in models] == learns
        loss = dict(type=ALONE['triplet'], margin=0.2, mining='distance')
        for model in models:
            assert model.get('loss') in (None, loss)
    assert cfg.data_root == data.root
    for split in ('train', 'val', 'test'):
        dataset = cfg[f'{split}_dataloader'].dataset
        assert (dataset.type, dataset.data_root) == (data.dataset, data.root)
    assert re.match(r'"""\w.*\."""$', path.read_text().splitlines()[0])
    assert 'method' not in cfg


@each_config
def test_losses_and_teacher(path):
    name, cfg = parse(path), read(str(path))
    if not name.is_pair:
        return
    (distiller,) = cfg.model.distillers.values()
    if name.method in ON_MAPS:
        assert distiller.type == 'FeatureDistiller'
        check_points(name, distiller)
    else:
        assert distiller.type == 'EmbeddingDistiller'
    if name.method == 'darkrank':  # as in RKD's script
        loss = distiller.losses.loss_darkrank
        assert (loss.alpha, loss.beta) == (2.0, 3.0)
    found = {v.type: v.loss_weight for v in distiller.losses.values()}
    assert found == METHODS[name.method][is_few(path)]
    source = Path(cfg.model.teacher.cfg).resolve()
    assert source == path.with_name(f'{name.teacher}.py')
    last = read(str(source)).train_cfg.max_epochs
    assert cfg.model.teacher.ckpt == (
        f'work_dirs/{name.teacher}/epoch_{last}.pth'
    )


def check_points(name: Name, distiller) -> None:
    """The last three stages, as in RKD's script, or all of a Conv4."""
    stages = [f'backbone.layer{k}' for k in (2, 3, 4)]
    blocks = [f'backbone.blocks.{k}' for k in range(4)]
    taps, student = distiller.taps, name.networks[-1][0]
    if name.shots:
        assert taps.student == taps.teacher == blocks
        return
    if student == 'conv4s':  # a map of one cell has a hint, but no attention
        stages_of_student = (
            blocks[1:] if name.method == 'fitnet' else blocks[:3]
        )
    else:
        stages_of_student = stages
    assert taps == dict(student=stages_of_student, teacher=stages)
    adaptor = dict(student_feats=dict(type='ConvAdaptor'))
    connectors = adaptor if name.method == 'fitnet' else {}
    assert distiller.get('connectors', {}) == connectors


@each_config
def test_splits_share_no_class(path):
    cfg = read(str(path))
    train, test = (
        cfg[f'{split}_dataloader'].dataset for split in ('train', 'test')
    )
    if train.type == 'kd_det.Omniglot':
        assert (train.folder, test.folder) == (
            'images_background_small1',
            'images_background_small2',
        )
        assert {*test.without} == {'Greek', 'Latin'}  # in both archives
    else:
        assert (train.split, test.split) == ('train', 'test')


@each_config
def test_batches_and_metric(path):
    name, cfg = parse(path), read(str(path))
    loader, metric = cfg.train_dataloader, cfg.test_evaluator
    batches = loader.batch_sampler
    if is_few(path):
        assert batches.type == 'kd_det.EpisodeBatchSampler'
        per_class = batches.shots + batches.queries
        assert loader.batch_size == batches.ways * per_class
        assert batches.shots == metric.shots == name.shots
        assert batches.ways > metric.ways == 5
        episodes = dict(omniglot=1000, miniimagenet=600)
        assert metric.episodes == episodes[name.data]
    else:
        assert batches.type == 'kd_det.ClassBatchSampler'
        assert (loader.batch_size, batches.per_class) == (128, 5)
        sop = 500 if name.is_pair else 1000
        assert batches.num_batches == (sop if name.data == 'sop' else 100)
        ks = (1, 10, 100, 1000) if name.data == 'sop' else (1, 2, 4, 8)
        assert tuple(metric.ks) == ks
    assert METRICS.build(metric)
    assert DATA_SAMPLERS.get(batches.type)


@pytest.mark.parametrize(
    'path', [p for p in METRIC if parse(p).data != 'omniglot'], ids=str
)
def test_recipe_is_that_of_the_scripts(path):
    name, cfg = parse(path), read(str(path))
    optimizer, steps = cfg.optim_wrapper.optimizer, cfg.param_scheduler
    assert optimizer.type == 'Adam' and optimizer.weight_decay == 1e-5
    got = (
        optimizer.lr,
        cfg.train_cfg.max_epochs,
        steps.gamma,
        tuple(m + 1 for m in steps.milestones),
    )
    wanted = (1e-5, 40, 0.5, (25, 30, 35))
    if name.is_pair:
        sop = name.data == 'sop'
        wanted = (1e-4, 120 if sop else 80, 0.1, (40, 80 if sop else 60))
    assert got == wanted


@each_config
def test_control_shares_data_and_metric(path):
    name, cfg = parse(path), read(str(path))
    if not name.is_pair:
        return
    teacher = read(cfg.model.teacher.cfg)
    for key in ('val_dataloader', 'test_dataloader', 'test_evaluator'):
        assert cfg[key] == teacher[key]
    assert cfg.train_dataloader.dataset == teacher.train_dataloader.dataset
    if is_few(path):
        control = f'protonet_{name.networks[1][0]}_5w{name.shots}s_{name.data}'
        source = Path(cfg.model.student.cfg).resolve()
        assert source == path.with_name(f'{control}.py')


@each_config
def test_hooks(path):
    cfg = read(str(path))
    types = [type(HOOKS.build(h)).__name__ for h in cfg.custom_hooks]
    wanted = ['RandomStateHook', 'NonFiniteHook']
    if parse(path).is_pair:
        wanted = ['TeacherCheckHook', 'FeatureNormHook', *wanted]
    assert types == wanted


def test_every_cell_of_the_tables_is_a_config():
    names = {path.stem for path in METRIC}
    for data in ('cub200', 'cars196'):
        for dims in (16, 32, 64, 128):
            assert f'triplet_resnet18-{dims}_{data}' in names
            for method in METHODS:
                pair = f'{method}_resnet50-512_resnet18-{dims}_{data}'
                assert pair in names
    for data in ('cub200', 'cars196', 'sop'):  # with the state of the art
        for student in ('resnet50-128', 'googlenet-128', 'googlenet-512'):
            assert f'rkdda_resnet50-512_{student}_{data}' in names
    for data, facts in METRIC_DATA.items():
        own = facts.teacher
        assert f'triplet_{own}_{data}' in names
        assert f'rkdda_{own}_{own}_{data}' in names  # self-distillation
    names = {path.stem for path in FEWSHOT}
    for data in FEWSHOT_DATA:
        for shots in (1, 5):
            for method, weights in METHODS.items():
                pair = f'{method}_conv4_conv4_5w{shots}s_{data}'
                assert (pair in names) == bool(weights[1])


@pytest.mark.parametrize(
    'wrong',
    [
        'metric/triplet_resnet18_cub200.py',
        'metric/rkdda_resnet18-16_cub200.py',
        'metric/triplet_resnet18-16_cub201.py',
        'metric/protonet_conv4-16_omniglot.py',
        'fewshot/protonet_conv4_omniglot.py',
        'fewshot/protonet_conv4_5w3s_omniglot.py',
        'fewshot/rkdx_conv4_conv4_5w1s_omniglot.py',
        'fewshot/fitnet_conv4_conv4_5w1s_omniglot.py',
    ],
)
def test_grammar_refuses_what_it_does_not_know(wrong):
    with pytest.raises(AssertionError):
        parse(Path(wrong))


# ---- one step of each, teachers one after another ----


@pytest.fixture(scope='module')
def teachers(tmp_path_factory):
    """Random weights of a teacher, and the teacher while it is the same."""
    folder = tmp_path_factory.mktemp('teachers')
    last = {}

    @functools.cache
    def weights(source: str) -> str:
        model = MODELS.build(read_spec(dict(cfg=source), 'teacher')[0])
        path = f'{folder}/{Path(source).stem}.pth'
        torch.save(dict(state_dict=model.state_dict()), path)
        return path

    def reuse(spec: dict, *rest: tuple[str, ...]) -> FrozenTeacher:
        if str(spec) not in last:
            last.clear()
            last[str(spec)] = FrozenTeacher(spec, *rest)
        return last[str(spec)]

    with (
        pytest.MonkeyPatch.context() as patch,
        DefaultScope.overwrite_default_scope('mmpretrain'),
    ):
        patch.setattr(distill_model, 'FrozenTeacher', reuse)
        yield weights


def random_batch(name: Name) -> dict:
    """Two classes of two images, or one more than the shots."""
    each = (name.shots or 1) + 1
    grey = name.data == 'omniglot'
    side = 28 if grey else 84 if name.shots else 32
    shape = (2 * each, 1 if grey else 3, side, side)
    images = torch.randint(0, 256, shape, dtype=torch.uint8)
    samples = [DataSample().set_gt_label(k // each) for k in range(2 * each)]
    return dict(inputs=[*images], data_samples=samples)


def step(cfg, name: Name) -> dict:
    torch.manual_seed(0)
    model = MODELS.build(cfg.model).train()
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    before = {key: value.clone() for key, value in model.named_parameters()}
    logs = model.train_step(random_batch(name), wrapper)
    for key, value in logs.items():
        assert torch.isfinite(value).all(), key
    assert logs['loss'] > 0
    moved = [k for k, v in model.named_parameters() if (v != before[k]).any()]
    assert len(moved) >= 0.9 * len(before)
    return logs


STEPPED = {}  # what is built and trained, without the names of files


@pytest.mark.parametrize(
    'path', sorted(FILES, key=lambda p: parse(p).teacher), ids=lambda p: p.stem
)
def test_trains_a_step(path, teachers):
    name, cfg = parse(path), load_config(str(path))
    wanted = {'loss'}
    if name.is_pair:
        ((key, distiller),) = cfg.model.distillers.items()
        wanted |= {f'{key}.{loss}' for loss in distiller.losses}
        task = is_few(path) or name.method in WITH_LABELS
        wanted |= {'loss_task'} if task else set()
    # the same networks and method on another set are the same code
    key = repr(
        (
            networks_of(cfg),
            cfg.model.get('distillers'),
            cfg.optim_wrapper,
            name.shots,
        )
    )
    if key not in STEPPED:
        if name.is_pair:
            cfg.model.teacher.ckpt = teachers(cfg.model.teacher.cfg)
        STEPPED[key] = step(cfg, name).keys()
    assert STEPPED[key] == wanted


def test_students_with_normalised_embeddings(teachers):
    path = next(p for p in METRIC if p.stem.startswith('rkdda_resnet50-512_'))
    cfg = load_config(str(path), {'model.student.normalize': True})
    cfg.model.teacher.ckpt = teachers(cfg.model.teacher.cfg)
    model = MODELS.build(cfg.model).eval()
    with torch.no_grad():
        norms = model(torch.randn(2, 3, 32, 32)).norm(dim=1)
    torch.testing.assert_close(norms, torch.ones(2))
    step(cfg, parse(path))
