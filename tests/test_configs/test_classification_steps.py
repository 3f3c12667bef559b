"""Every classification config builds and trains a step."""

import functools
import tempfile
from pathlib import Path

import ie_tables
import numpy as np
import pytest
import torch
from classification_words import DATA, FILES, PEERS, parse
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from mmpretrain.structures import DataSample

from kd_det.centroids import CentroidBank
from kd_det.config import load_config
from kd_det.models import FrozenTeacher, distill_model
from kd_det.models.spec import read_spec
from kd_det.registry import MODELS

# images and pixels a side: as small as the networks and batch norm allow
SIZES = dict(
    cifar=(4, 32), tiny_imagenet=(4, 32), cub=(2, 64), imagenet=(2, 64)
)
# Of IE-KD and its relatives one config for each thing that differs.
PAIR, TWINS = ('resnet56', 'resnet20'), ('resnet20', 'resnet20')
SAMPLED = {'', 'cos', 'p2', 'randomsplit'}


def is_spared(path: Path) -> bool:
    name = parse(path.stem)
    if name.method in ie_tables.AMONG_PEERS:
        return name.networks != TWINS or name.setting != ''
    if name.data == 'imagenet':
        return False
    if name.method in ie_tables.WITH_TEACHER:
        sampled = name.setting in SAMPLED and name.data == 'cifar10'
        return name.networks != PAIR or not sampled
    return (
        name.setting == 'ierecipe'
        or name.networks[0] == 'resnet20' != (name.networks[-1])
    )


STEPPED = [path for path in FILES if not is_spared(path)]
BY_TEACHER = sorted(
    (path for path in STEPPED if path not in PEERS),
    key=lambda path: parse(path.stem).teacher,
)


class Supplies:
    """Weights and class means, drawn at random, for every config."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.checkpoint = functools.cache(self._checkpoint)

    def _checkpoint(self, source: str) -> str:
        model = MODELS.build(read_spec(dict(cfg=source), 'teacher')[0])
        path = f'{self.folder}/{Path(source).stem}.pth'
        torch.save(dict(state_dict=model.state_dict()), path)
        return path

    def bank(self, name) -> str:
        """Class means of the teacher that a name tells."""
        data = DATA[name.data]
        _, width = data.networks[name.networks[0]]
        rows = data.num_classes
        path = f'{self.folder}/bank_{rows}_{width}.npz'
        means = np.random.default_rng(0).random((rows, width), np.float32)
        names = tuple(f'class {row}' for row in range(rows))
        CentroidBank(means, np.ones(rows, np.int64), names).save(path)
        return path

    def load(self, path: Path) -> dict:
        """Read a config with what is not there replaced."""
        cfg = load_config(str(path))
        if 'peers' in cfg.model:
            return cfg
        if 'teacher' in cfg.model:
            # the file that `keys` translates is not there
            cfg.model.teacher.pop('keys', None)
            cfg.model.teacher.ckpt = self.checkpoint(cfg.model.teacher.cfg)
            for distiller in cfg.model.distillers.values():
                if 'centroids' in distiller:
                    distiller.centroids = self.bank(parse(path.stem))
        else:
            cfg.model.data_preprocessor = cfg.data_preprocessor
        return cfg


@pytest.fixture(scope='module')
def supplies():
    """Made once; a teacher does not change: the next pair may have it too."""
    last = {}

    def reuse(spec: dict, *rest: tuple[str, ...]) -> FrozenTeacher:
        key = str(spec)
        if key not in last:
            last.clear()  # the large ones would add up
            last[key] = FrozenTeacher(spec, *rest)
        return last[key]

    with (
        tempfile.TemporaryDirectory() as folder,
        pytest.MonkeyPatch.context() as patch,
        DefaultScope.overwrite_default_scope('mmpretrain'),
    ):
        patch.setattr(distill_model, 'FrozenTeacher', reuse)
        yield Supplies(Path(folder))


def random_batch(name) -> dict:
    count, size = SIZES[DATA[name.data].folder]
    images = torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8)
    samples = [DataSample().set_gt_label(label) for label in range(count)]
    return dict(inputs=list(images), data_samples=samples)


def losses_in(logs: dict) -> dict:
    """Leave out the training accuracy, which the short recipe logs."""
    return {k: v for k, v in logs.items() if 'accuracy' not in k}


def draw_auto_encoders(model) -> None:
    """Give each distiller that wants one an untrained auto-encoder."""
    for distiller in model.distill.values():
        if getattr(distiller, 'auto_encoder_file', None):
            distiller.set_auto_encoder(distiller.new_auto_encoder())


def check_values(logs: dict, negative: str) -> None:
    """Losses are above 0, but that of the half that explores."""
    for key, value in logs.items():
        assert torch.isfinite(value).all(), key
        below = negative and key.endswith(negative)
        assert (value < 0) if below else (value > 0), key


@pytest.mark.parametrize('path', BY_TEACHER, ids=lambda path: path.stem)
def test_trains_a_step(path, supplies):
    name, cfg = parse(path.stem), supplies.load(path)
    torch.manual_seed(0)
    model = MODELS.build(cfg.model).train()
    if name.is_pair:  # only the public CIFAR-10 networks see other colours
        differs = bool(model.data_preprocessor.differing)
        assert differs == (name.data == 'cifar10')
    if name.is_pair:
        draw_auto_encoders(model)
    optim_wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    before = {key: value.clone() for key, value in model.named_parameters()}
    logs = losses_in(model.train_step(random_batch(name), optim_wrapper))
    wanted = {
        f'{distiller}.{loss}'
        for distiller, spec in cfg.model.get('distillers', {}).items()
        for loss in spec.losses
    }
    assert logs.keys() == {'loss', *wanted} | (
        {'loss_task'} if wanted else set()
    )
    check_values(logs, negative='loss_exp' if name.setting != 'cos' else '')
    for key, value in model.named_parameters():
        assert torch.isfinite(value).all(), key
        assert not torch.equal(value, before[key]), f'{key} did not move'


@pytest.mark.parametrize(
    'path',
    [path for path in STEPPED if path in PEERS],
    ids=lambda path: path.stem,
)
def test_peers_train_a_step(path, supplies):
    name, cfg = parse(path.stem), supplies.load(path)
    torch.manual_seed(0)
    model = MODELS.build(cfg.model).train()
    optim_wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    before = {key: value.clone() for key, value in model.named_parameters()}
    logs = losses_in(model.train_step(random_batch(name), optim_wrapper))
    losses = {
        f'{distiller}.{loss}'
        for distiller, spec in cfg.model.distillers.items()
        for loss in spec.losses
    }
    assert logs.keys() == {'loss'} | {
        f'{peer}.{loss}'
        for peer in cfg.model.peers
        for loss in {'loss', 'loss_task', *losses}
    }
    check_values(logs, negative='loss_exp')
    for key, value in model.named_parameters():
        assert torch.isfinite(value).all(), key
        assert not torch.equal(value, before[key]), f'{key} did not move'
