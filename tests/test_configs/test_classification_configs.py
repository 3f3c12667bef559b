"""A classification config is what its name and the papers' tables say."""

import ast
import copy
import functools
import re
from pathlib import Path

import ie_tables
import pytest
import torch
from classification_words import (
    DATA,
    FILES,
    PAIRS,
    PEERS,
    Name,
    parse,
    read,
)
from mmengine.config import Config
from mmengine.hub import get_config
from mmengine.registry import PARAM_SCHEDULERS
from published_tables import (
    expected_distillers,
    expected_names,
    recipe,
    task_weight,
    warm_up,
)
from torchvision.models import RegNet_Y_16GF_Weights

from kd_det.config import leaf_datasets, load_config
from kd_det.models.spec import read_spec
from kd_det.registry import HOOKS

each_config = pytest.mark.parametrize('path', FILES, ids=lambda p: p.stem)
each_pair = pytest.mark.parametrize('path', PAIRS, ids=lambda p: p.stem)
each_group = pytest.mark.parametrize('path', PEERS, ids=lambda p: p.stem)
each_method = pytest.mark.parametrize(
    'path', [*PAIRS, *PEERS], ids=lambda p: p.stem
)

HOW_IT_RUNS = ('ckpt', 'keys', 'fuse_conv_bn', 'channels_last', 'dtype')


def networks_of(cfg: Config) -> list[dict]:
    """The full model configs, teacher first."""
    if 'peers' in cfg.model:  # the one that is shown is the first
        return [_full(str(spec)) for spec in cfg.model.peers.values()][::-1]
    if 'teacher' not in cfg.model:
        return [_full(str(dict(cfg=cfg.filename)))]
    teacher = {
        key: value
        for key, value in cfg.model.teacher.items()
        if key not in HOW_IT_RUNS
    }
    return [_full(str(teacher)), _full(str(cfg.model.student))]


@functools.cache
def _full(spec: str) -> dict:
    return read_spec(ast.literal_eval(spec), 'network')[0]


def losses_of(cfg: Config) -> dict[str, str]:
    return {
        f'{name}.{key}': f'{loss.type} of {loss.base.type}'
        if 'base' in loss
        else loss.type
        for name, distiller in cfg.model.get('distillers', {}).items()
        for key, loss in distiller.losses.items()
    }


def check_network(model: dict, word: str, name: Name) -> None:
    facts, width = DATA[name.data].networks[word]
    expected = dict(facts)
    distilled = word == 'deit-b' and name.is_pair
    if distilled:  # the control has no distillation token
        expected['type'] = 'DistilledVisionTransformer'
    if word in ('resnet20', 'resnet32', 'resnet44', 'resnet56'):
        is_teacher = name.is_pair and word == name.networks[0]
        padded = name.setting == 'pad' or (
            is_teacher and name.data == 'cifar10'
        )
        expected['shortcut'] = 'pad' if padded else None
    if name.data == 'cub200' and not word.startswith('vgg'):
        expected['stem'] = 'cub'
    assert {key: model.backbone.get(key) for key in expected} == expected
    assert model.head.in_channels == width
    assert model.head.num_classes == DATA[name.data].num_classes
    assert model.data_preprocessor.num_classes == model.head.num_classes


@each_config
def test_name_tells_the_content(path):
    name, cfg = parse(path.stem), read(str(path))
    data = DATA[name.data]
    assert path.parent.name == data.folder
    assert ('teacher' in cfg.model) == name.is_pair
    for word, model in zip(name.networks, networks_of(cfg), strict=True):
        check_network(model, word, name)
    assert losses_of(cfg) == name.losses
    assert cfg.data_root == data.data_root
    for split in ('train', 'val', 'test'):
        for dataset in leaf_datasets(cfg[f'{split}_dataloader'].dataset):
            assert dataset.type == data.dataset
            assert dataset.data_root == data.data_root
    text = path.read_text()
    assert re.match(r'"""\w.*\.("""$|$)', text.splitlines()[0]), 'docstring'
    assert not {'method', 'taps'} & {*cfg}, 'left over from a base'


def test_every_row_of_the_tables_is_a_config():
    assert {path.stem for path in [*PAIRS, *PEERS]} == expected_names()


def test_grammar_refuses_what_it_does_not_know():
    for wrong in (
        'xx_resnet56_resnet20_cifar100',
        'kd_resnet56_resnet21_cifar100',
        'kd_resnet56_cifar100',
        'baseline_resnet56_resnet20_cifar100',
        'kd_resnet56_resnet20_fast_cifar100',
        'kd_resnet56_resnet20_cifar11',
        'kd_resnet56_resnet20_cifar100_short',
        'kd_resnet34_resnet18_cifar100',
        'dml_resnet20_cifar10',
    ):
        with pytest.raises(AssertionError):
            parse(wrong)


@each_method
def test_distillers_are_those_of_the_tables(path):
    cfg = read(str(path))
    assert cfg.model.distillers.to_dict() == (
        expected_distillers(parse(path.stem))
    )


@each_config
def test_recipe_is_that_of_the_tables(path):
    name, cfg = parse(path.stem), read(str(path))
    expected = recipe(name)
    optimizer = cfg.optim_wrapper.optimizer
    assert optimizer.lr == pytest.approx(expected['lr'])
    assert optimizer.weight_decay == expected['decay']
    assert cfg.train_cfg.max_epochs == expected['epochs']
    assert cfg.auto_scale_lr.base_batch_size == expected['batch']
    assert optimizer.get('nesterov', False) == (name.by_nd or name.by_ie)
    schedulers = cfg.param_scheduler
    if expected['steps']:
        assert schedulers.milestones == expected['steps']
        assert schedulers.gamma == expected.get('gamma', 0.1)
        assert optimizer.type == 'SGD' and optimizer.momentum == 0.9
    else:
        last = schedulers[-1] if isinstance(schedulers, list) else schedulers
        assert last.type == 'CosineAnnealingLR'
        assert 'T_max' not in last  # it ends with the run
        assert 'end' not in last


@each_pair
def test_control_is_the_student_and_shares_all_else(path):
    name, cfg = parse(path.stem), read(str(path))
    control = path.with_name(f'{name.control}.py')
    alone = read(str(control))
    assert Path(cfg.model.student.cfg).resolve() == control
    _, student = networks_of(cfg)
    assert student.head.loss.loss_weight == task_weight(name)
    model = copy.deepcopy(networks_of(alone)[0])
    model.head.loss.loss_weight = task_weight(name)
    if 'deit-b' in name.networks:  # with a token more
        model.backbone.type = 'DistilledVisionTransformer'
        model.head.type = 'DistilledDeiTHead'
    assert student == model
    check_rest(cfg, alone)


OWN = ('model', 'custom_hooks', 'custom_imports', 'data_preprocessor')


def check_rest(cfg: Config, alone: Config) -> None:
    rest, rest_alone = (
        {key: value for key, value in c.items() if key not in OWN}
        for c in (cfg, alone)
    )
    assert rest == rest_alone


@each_group
def test_control_of_each_peer_shares_all_else(path):
    name, cfg = parse(path.stem), copy.deepcopy(read(str(path)))
    assert cfg.model.type == 'MutualModel'
    constructor = cfg.optim_wrapper.pop('constructor')
    assert constructor == 'kd_det.PeerOptimWrapperConstructor'
    names = [*cfg.model.peers]
    assert names == (
        ['one', 'two']
        if len({*name.networks}) == 1
        else [*reversed(name.networks)]
    )
    specs = cfg.model.peers.values()
    for word, spec in zip(reversed(name.networks), specs, strict=True):
        control = path.with_name(f'{name.alone(word)}.py')
        assert Path(spec.cfg).resolve() == control
        assert [*spec] == ['cfg', 'data_preprocessor']
        alone = read(str(control))
        assert spec.data_preprocessor == alone.data_preprocessor
        check_rest(cfg, alone)


@each_pair
def test_teacher_checkpoint_is_of_the_teacher_config(path):
    name, cfg = parse(path.stem), read(str(path))
    source, ckpt = cfg.model.teacher.cfg, cfg.model.teacher.ckpt
    if '::' in source:
        assert get_config(source, pretrained=True).model_path == ckpt
        return
    assert Path(source).resolve() == path.with_name(f'{name.teacher}.py')
    if name.data == 'imagenet':
        assert ckpt == RegNet_Y_16GF_Weights.IMAGENET1K_V2.url
        assert cfg.model.teacher['keys'] == 'torchvision'
    elif name.data == 'cifar10':
        files = dict(
            resnet56='resnet56-4bfd9763', resnet20='resnet20-12fca82f'
        )
        assert ckpt == f'data/teachers/{files[name.networks[0]]}.th'
        assert cfg.model.teacher['keys'] == 'akamaster'
    else:
        last = read(source).train_cfg.max_epochs
        assert ckpt == f'work_dirs/{name.teacher}/epoch_{last}.pth'


@each_config
def test_hooks(path):
    name, cfg = parse(path.stem), read(str(path))
    hooks = [HOOKS.build(hook) for hook in cfg.custom_hooks]
    types = [type(hook).__name__ for hook in hooks]
    of_pairs = ['TeacherCheckHook', 'CentroidHook', 'FeatureNormHook']
    of_pairs.append('GradientShareHook')
    of_all = ['RandomStateHook', 'NonFiniteHook']
    if name.method in ie_tables.WITH_TEACHER:
        of_pairs[1:3] = ['AutoEncoderHook', 'FactorCosineHook']
    wanted = [*of_pairs, *of_all] if name.is_pair else of_all
    if name.is_mutual:
        wanted = ['PeerHook', *of_all]
    schedules = warm_up(name)
    if schedules:
        wanted.append('LossScheduleHook')
        found = {
            f'{distiller}.{loss}': schedule
            for distiller, losses in cfg.custom_hooks[-1].schedules.items()
            for loss, schedule in losses.to_dict().items()
        }
        assert found == schedules
        assert schedules.keys() <= losses_of(cfg).keys()
    assert types == wanted


def test_teachers_of_cifar10_want_the_constants_of_imagenet():
    pair = next(path for path in PAIRS if path.stem.endswith('_cifar10'))
    teacher, student = (
        model.data_preprocessor for model in networks_of(read(str(pair)))
    )
    scaled = [[value / 255 for value in teacher[k]] for k in ('mean', 'std')]
    assert scaled[0] == pytest.approx([0.485, 0.456, 0.406])
    assert scaled[1] == pytest.approx([0.229, 0.224, 0.225])
    assert student.mean != teacher.mean


@pytest.mark.parametrize('epochs', [4, 30])
def test_a_short_run_of_any_length_ends_its_cosine(epochs):
    path = next(path for path in PAIRS if parse(path.stem).setting == 'short')
    cfg = load_config(str(path), {'train_cfg.max_epochs': epochs})
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    steps = 5 * epochs
    scheduler = PARAM_SCHEDULERS.build(
        # the Runner fills in the end
        dict(cfg.param_scheduler, end=cfg.train_cfg.max_epochs),
        default_args=dict(optimizer=optimizer, epoch_length=5),
    )
    rates = []
    for _ in range(steps - 1):
        rates.append(optimizer.param_groups[0]['lr'])
        optimizer.step()
        scheduler.step()
    assert rates[steps // 2] == pytest.approx(0.5, abs=0.01)
    assert 0 < rates[-1] < 0.05
