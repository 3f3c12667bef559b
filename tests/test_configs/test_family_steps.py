"""A representative of each rule of the families builds and trains a step."""

import copy
import functools
import re
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from configs_toy import network_of, quarter, teacher_kept
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from mmpretrain.models import VisionTransformer
from mmpretrain.structures import DataSample
from write_configs import FAMILIES

from kd_det.centroids import CentroidBank
from kd_det.config import load_config
from kd_det.config_data import leaf_datasets
from kd_det.models.spec import read_spec
from kd_det.registry import DATA_SAMPLERS, HOOKS, METRICS, MODELS

CONFIGS = Path(__file__).parents[2] / 'configs'
# for tests that change nothing in it
read = functools.cache(load_config)

ALONE = ('baseline', 'probe', 'triplet', 'protonet')
# pixels a side: as small as the networks and batch norm allow
SIZES = dict(cub=64, imagenet=64)
# settings of which another number is nothing new
NUMBERED = r'^(beta|lambda|ratio|scale)\d+$'
OWN = ('model', 'custom_hooks', 'custom_imports', 'data_preprocessor')


def first_of(path: Path) -> set:
    """What a step of this config may be the first to run."""
    method, *words = path.stem.split('_')
    words = [re.sub(NUMBERED, r'\1', word) for word in words]
    if path.parent.name == 'metric':
        words = [word.partition('-')[0] for word in words]
    found = {(path.parent.name, word) for word in words}
    if method in ALONE:
        return found
    text = path.read_text()
    bases = re.findall(r"'([^']*_base_/[^']*)'", text)[:1]  # the method's
    lines = re.findall(r'^(?:del )?[a-z][\w.]+', text, re.M)
    points = re.findall(r"'backbone[^']*'", text)
    found |= {(path.parent / base).resolve() for base in bases}
    return found | {(method, *lines), (method, *points)}


def representatives() -> list[Path]:
    """Pairs that have something new, then networks that no pair has."""
    paths = [path for folder in FAMILIES for path in folder.glob('*.py')]
    paths.sort(key=lambda p: (p.stem.startswith(ALONE), p.parent.name, p.name))
    seen, chosen = set(), []
    for path in paths:
        new = first_of(path) - seen
        seen |= new
        chosen += [path] if new else []
    return chosen


def teacher_of(path: Path) -> str:
    return path.parent.name + path.stem.partition('_')[2]


def narrowing(source: str) -> dict:
    """What gives a large network a quarter of its widths, for a cheap step.

    Its parts have to fit as before, since all widths are divided alike.
    """
    model = network_of(dict(cfg=source), 'teacher')
    backbone = model.backbone
    if backbone.type == 'VisionTransformer':
        arch = VisionTransformer.arch_zoo[backbone.arch]
        dims = {
            k: arch[k] // 4 for k in ('embed_dims', 'feedforward_channels')
        }
        narrow = dict(arch=dict(arch, **dims, _delete_=True))
    elif 'widths' in backbone:
        narrow = dict(widths=[width // 4 for width in backbone.widths])
    elif (
        backbone.type.startswith('ResNet') and 'base_channels' not in backbone
    ):
        narrow = dict(stem_channels=16, base_channels=16)
    else:
        return {}
    return dict(quarter(model), backbone=narrow)


class Supplies:
    """Weights and class means, drawn at random, for every config."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.checkpoint = functools.cache(self._checkpoint)
        self.bank = functools.cache(self._bank)

    def _checkpoint(self, source: str) -> str:
        spec = dict(narrowing(source), cfg=source)
        model = MODELS.build(read_spec(spec, 'teacher')[0])
        path = f'{self.folder}/{Path(source).stem}.pth'
        torch.save(dict(state_dict=model.state_dict()), path)
        return path

    def _bank(self, source: str) -> str:
        """Class means as wide as the teacher's embeddings."""
        spec = dict(narrowing(source), cfg=source)
        head = network_of(spec, 'teacher').head
        path = f'{self.folder}/{Path(source).stem}.npz'
        means = np.random.default_rng(0).random(
            (head.num_classes, head.in_channels), np.float32
        )
        names = tuple(f'class {row}' for row in range(len(means)))
        CentroidBank(means, np.ones(len(means), np.int64), names).save(path)
        return path

    def load(self, path: Path) -> Config:
        """Read a config with what is not there replaced."""
        cfg = copy.deepcopy(read(str(path)))
        for side in {'teacher', 'student'} & {*cfg.model}:
            narrow = narrowing(cfg.model[side].cfg)
            cfg.merge_from_dict({f'model.{side}': narrow})
        if 'teacher' in cfg.model:
            source = cfg.model.teacher.cfg
            # the file that `keys` translates is not there
            cfg.model.teacher.pop('keys', None)
            cfg.model.teacher.ckpt = self.checkpoint(source)
            for distiller in cfg.model.distillers.values():
                if 'centroids' in distiller:
                    distiller.centroids = self.bank(source)
        elif 'peers' not in cfg.model and 'data_preprocessor' in cfg:
            cfg.model.data_preprocessor = cfg.data_preprocessor
        return cfg


@pytest.fixture(scope='module')
def supplies():
    """Made once for all configs."""
    with (
        tempfile.TemporaryDirectory() as folder,
        teacher_kept(),
        DefaultScope.overwrite_default_scope('mmpretrain'),
    ):
        yield Supplies(Path(folder))


def random_batch(path: Path) -> dict:
    """Two classes of two images, or of one more than the shots."""
    shots = re.search(r'_5w(\d)s_', path.stem)
    each = int(shots[1]) + 1 if shots else 2
    channels, side = 3, SIZES.get(path.parent.name, 32)
    if shots:
        side = 84
    if path.stem.endswith('_omniglot'):
        channels, side = 1, 28
    shape = (2 * each, channels, side, side)
    images = torch.randint(0, 256, shape, dtype=torch.uint8)
    samples = [DataSample().set_gt_label(k // each) for k in range(2 * each)]
    return dict(inputs=[*images], data_samples=samples)


def step(cfg: Config, path: Path) -> dict:
    """Train a step, in which all parameters move; return its logs."""
    torch.manual_seed(0)
    model = MODELS.build(cfg.model).train()
    for distiller in getattr(model, 'distill', {}).values():
        if getattr(distiller, 'auto_encoder_file', None):
            distiller.set_auto_encoder(distiller.new_auto_encoder())
    optim_wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    before = {key: value.clone() for key, value in model.named_parameters()}
    logs = model.train_step(random_batch(path), optim_wrapper)
    for key, value in logs.items():
        assert torch.isfinite(value).all(), key
        # what explores is to differ: its loss is the negative of a distance
        negative = key.endswith('loss_exp') and '_cos_' not in path.stem
        assert (value < 0) if negative else (value >= 0), key
    for key, value in model.named_parameters():
        assert torch.isfinite(value).all(), key
        assert not torch.equal(value, before[key]), f'{key} did not move'
    return {k: v for k, v in logs.items() if 'accuracy' not in k}


@pytest.mark.parametrize(
    'path',
    sorted(representatives(), key=teacher_of),
    ids=lambda path: path.stem,
)
def test_trains_a_step(path, supplies):
    cfg = supplies.load(path)
    distillers = cfg.model.get('distillers', {})
    losses = {f'{k}.{v}' for k in distillers for v in distillers[k].losses}
    wanted = losses
    if 'teacher' in cfg.model:
        student = network_of(cfg.model.student, 'student')
        learns = 'head' in student or student.get('loss')
        wanted = losses | ({'loss_task'} if learns else set())
    if 'peers' in cfg.model:
        wanted = {
            f'{peer}.{loss}'
            for peer in cfg.model.peers
            for loss in {'loss', 'loss_task', *losses}
        }
    assert step(cfg, path).keys() == {'loss', *wanted}
    check_data(cfg)
    check_hooks(cfg, losses)
    sides = cfg.model.get('peers', {}).values() or [
        cfg.model.get('student', {})
    ]
    for side in sides:
        source = side.get('cfg', '')
        if '/_base_/' not in source and source:  # a control
            check_control(read(str(path)), read(source))


def check_data(cfg: Config) -> None:
    for split in ('train', 'val', 'test'):
        for dataset in leaf_datasets(cfg[f'{split}_dataloader'].dataset):
            assert dataset.data_root == cfg.data_root
    train, test = cfg.train_dataloader, cfg.test_dataloader
    assert train.dataset != test.dataset
    assert DATA_SAMPLERS.get(train.get('batch_sampler', train.sampler).type)
    evaluators = cfg.test_evaluator
    for evaluator in evaluators if type(evaluators) is list else [evaluators]:
        assert METRICS.build(evaluator)
    assert not {'method', 'taps'} & {*cfg}, 'left over from a base'


def check_hooks(cfg: Config, losses: set) -> None:
    hooks = {type(HOOKS.build(h)).__name__: h for h in cfg.custom_hooks}
    assert hooks.keys() >= {'RandomStateHook', 'NonFiniteHook'}
    assert ('TeacherCheckHook' in hooks) == ('teacher' in cfg.model)
    distillers = cfg.model.get('distillers', {}).values()
    if any('centroids' in distiller for distiller in distillers):
        assert 'CentroidHook' in hooks
    if any('auto_encoder' in distiller for distiller in distillers):
        assert 'AutoEncoderHook' in hooks
    schedules = hooks.get('LossScheduleHook', {}).get('schedules', {})
    assert losses >= {f'{k}.{v}' for k in schedules for v in schedules[k]}


def check_control(cfg: Config, alone: Config) -> None:
    """A student trained alone has the same data and the same schedule."""
    rest, rest_alone = (
        {key: value for key, value in c.items() if key not in OWN}
        for c in (cfg, alone)
    )
    # an optimiser for each peer
    rest['optim_wrapper'] = {**rest['optim_wrapper']}
    rest['optim_wrapper'].pop('constructor', None)
    assert rest == rest_alone


def test_students_with_normalised_embeddings(supplies):
    name = 'metric/rkdda_resnet50-512_resnet18-16_cub200.py'
    cfg = supplies.load(CONFIGS / name)
    cfg.model.student.normalize = True
    model = MODELS.build(cfg.model).eval()
    with torch.no_grad():
        norms = model(torch.randn(2, 3, 32, 32)).norm(dim=1)
    torch.testing.assert_close(norms, torch.ones(2))
    step(cfg, CONFIGS / name)


@pytest.mark.parametrize(
    'data', ['metric/_base_/omniglot', 'fewshot/_base_/omniglot_5w1s']
)
def test_omniglot_trains_and_tests_on_other_alphabets(data):
    cfg = Config.fromfile(CONFIGS / f'{data}.py')
    train, test = cfg.train_dataloader.dataset, cfg.test_dataloader.dataset
    assert train.folder == 'images_background_small1'
    assert test.folder == 'images_background_small2'
    assert {*test.without} == {'Greek', 'Latin'}  # in both archives


@pytest.mark.parametrize('shots', [1, 5])
@pytest.mark.parametrize('data', ['omniglot', 'miniimagenet'])
def test_episodes(data, shots):
    name = f'fewshot/rkdda_conv4_conv4_5w{shots}s_{data}.py'
    cfg = load_config(str(CONFIGS / name))
    loader, metric = cfg.train_dataloader, cfg.test_evaluator
    batches = loader.batch_sampler
    per_class = batches.shots + batches.queries
    assert loader.batch_size == batches.ways * per_class
    assert batches.shots == metric.shots == shots
    assert batches.ways > metric.ways == 5
    student = read_spec(cfg.model.student, 'student')[0]
    assert student.loss.shots == shots
