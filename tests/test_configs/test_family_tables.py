"""What table.yml makes is in the tree, and says what the papers say."""

import shutil
from pathlib import Path

import pytest
import torch
import yaml
from mmengine.config import Config
from mmengine.hub import get_config
from mmengine.registry import PARAM_SCHEDULERS
from model_table import model_table
from torchvision.models import RegNet_Y_16GF_Weights
from write_configs import FAMILIES, TABLE, family_files

from kd_det.config import load_config
from kd_det.errors import UserError
from kd_det.models.spec import read_spec

CONFIGS = Path(__file__).parents[2] / 'configs'


@pytest.mark.parametrize('folder', FAMILIES, ids=lambda path: path.name)
def test_tree_is_what_the_table_makes(folder):
    table = yaml.safe_load((folder / TABLE).read_text())
    files = family_files(folder)
    for name, text in files.items():
        assert (folder / name).read_text() == text, (
            f'edit {folder / TABLE}, then run `make configs`'
        )
    assert files['README.md'] == model_table(folder)  # no leaf without a row
    by_hand = {f'{name}.py' for name in table.get('by_hand', '').split()}
    settings = set(table.get('ablations', '').split())
    for path in folder.glob('*.py'):
        ablation = settings & {*path.stem.split('_')}
        assert path.name in {*files, *by_hand} or ablation, path.name
        assert path.read_text().startswith('"""')
    unmade = {p.name for p in folder.glob('_base_/*.py')} - {
        Path(name).name for name in [*files, *by_hand]
    }
    networks = [*table['networks']]
    pairs = [f'{one}_{two}' for one in networks for two in networks]
    assert not [name for name in unmade if name.startswith(tuple(pairs))]


# Typed from the papers and their code: learning rate, batch and epochs;
# numbers of losses; epochs and first step of a warm-up; accuracy.
ROWS = {
    'cifar/dkdpp_resnet32x4_resnet8x4_cifar100': (
        (0.1, 128, 240),
        {
            'logit.loss_dkd': dict(alpha=2.0, beta=8.0, tau=4.0),
            'logit.loss_nd': dict(loss_weight=0.5),
        },
        {'logit.loss_dkd': (20, 0)},
        '76.28',
    ),
    'cifar/kdpp_resnet50_mv2_cifar100': (
        (0.02, 128, 240),
        {
            'logit.loss_kd': dict(tau=4.0, loss_weight=3.0),
            'logit.loss_nd': dict(loss_weight=0.5),
        },
        {'logit.loss_kd': (20, 0)},
        '70.10',
    ),
    'cifar/distpp_wrn-40-2_wrn-40-1_cifar100': (
        (0.1, 128, 240),
        {
            'logit.loss_dist': dict(tau=4.0, loss_weight=2.5),
            'logit.loss_nd': dict(loss_weight=3.0),
        },
        {'logit.loss_dist': (20, 0)},
        '75.00',
    ),
    'cifar/reviewkdpp_resnet32x4_shufflev2_cifar100': (
        (0.02, 128, 240),
        {
            'feats.loss_reviewkd': dict(loss_weight=8.0),
            'logit.loss_nd': dict(loss_weight=1.5),
        },
        {'feats.loss_reviewkd': (20, 0)},
        '77.93',
    ),
    'cifar/reviewkd_resnet56_resnet20_cifar100': (
        (0.05, 64, 240),
        {'feats.loss_reviewkd': dict(loss_weight=0.6)},
        {'feats.loss_reviewkd': (20, 1)},
        '71.89',
    ),
    'cifar/dkd_resnet110_resnet32_cifar100': (
        (0.05, 64, 240),
        {'logit.loss_dkd': dict(alpha=1.0, beta=2.0, tau=4.0)},
        {'logit.loss_dkd': (20, 1)},
        '74.11',
    ),
    'cifar/rkd_resnet32x4_shufflev1_cifar100': (
        (0.01, 64, 240),
        {
            'logit.loss_rkd_d': dict(loss_weight=25.0),
            'logit.loss_rkd_a': dict(loss_weight=50.0),
        },
        {},
        '72.28',
    ),
    'cifar/kd-rkd_resnet50_vgg11_rkdrecipe_cifar100': (
        (0.1, 128, 200),
        {
            'logit.loss_kd': dict(tau=4.0, loss_weight=1.0),
            'logit.loss_rkd_d': dict(loss_weight=25.0, normalize=True),
            'logit.loss_rkd_a': dict(loss_weight=50.0, normalize=True),
        },
        {},
        '74.66',
    ),
    'cifar/iekd_resnet56_resnet20_cifar10': (
        (0.1, 128, 160),
        {
            'factor.loss_inh': dict(p=1, loss_weight=50.0),
            'factor.loss_exp': dict(p=1, loss_weight=50.0),
        },
        {},
        '93.47',
    ),
    'cub/sdnkd_vgg13_vgg8_cub200': (
        (0.05, 64, 240),
        {
            'logit.loss_sdd': dict(
                base=dict(
                    type='NKDLoss', gamma=6.0, tau=4.0, mask_target=False
                )
            )
        },
        {'logit.loss_sdd': (20, 1)},
        '68.37',
    ),
    'imagenet/dkdpp_resnet50_mv1_imagenet': (
        (0.2, 512, 100),
        {
            'logit.loss_dkd': dict(alpha=0.8, beta=1.0, tau=1.0),
            'logit.loss_nd': dict(loss_weight=1.0),
        },
        {'logit.loss_dkd': (5, 0), 'logit.loss_nd': (5, 0)},
        '72.63',
    ),
    'imagenet/kdpp_vit-b_resnet18_imagenet': (
        (0.2, 512, 100),
        {
            'logit.loss_kd': dict(tau=1.0, loss_weight=2.0),
            'logit.loss_nd': dict(loss_weight=1.0),
        },
        {'logit.loss_kd': (5, 0)},
        '71.84',
    ),
    'tiny_imagenet/at-rkd_resnet101_resnet18_tinyimagenet': (
        (0.1, 128, 300),
        {
            'feats.loss_at': dict(loss_weight=1000.0),
            'logit.loss_rkd_d': dict(loss_weight=25.0, normalize=True),
            'logit.loss_rkd_a': dict(loss_weight=50.0, normalize=True),
        },
        {},
        '56.55',
    ),
    'metric/rkdda_resnet50-512_resnet18-128_cub200': (
        (1e-4, 128, 80),
        {
            'embed.loss_rkd_d': dict(loss_weight=1.0),
            'embed.loss_rkd_a': dict(loss_weight=2.0),
        },
        {},
        '60.67',
    ),
    'fewshot/rkdda_conv4_conv4_5w5s_miniimagenet': (
        (1e-3, 400, 200),
        {
            'embed.loss_rkd_d': dict(loss_weight=25.0),
            'embed.loss_rkd_a': dict(loss_weight=50.0),
        },
        {},
        '68.16',
    ),
}


@pytest.mark.parametrize('name', ROWS)
def test_row_of_a_paper(name):
    recipe, losses, warm_up, accuracy = ROWS[name]
    path = CONFIGS / f'{name}.py'
    cfg = load_config(str(path))
    batch = cfg.get('auto_scale_lr', {}).get(
        'base_batch_size', cfg.train_dataloader.batch_size
    )
    rate = cfg.optim_wrapper.optimizer.lr
    assert (rate, batch, cfg.train_cfg.max_epochs) == pytest.approx(recipe)
    found = _by_name(
        {k: v.losses.to_dict() for k, v in cfg.model.distillers.items()}
    )
    assert found.keys() == losses.keys()
    for key, numbers in losses.items():
        assert found[key].items() >= numbers.items(), key
    hook = cfg.custom_hooks[-1]
    schedules = hook.get('schedules', {}) if warm_up else {}
    assert {
        key: (plan['epochs'], plan['origin'])
        for key, plan in _by_name(schedules).items()
    } == warm_up
    meta = (path.parent / 'metafile.yml').read_text()
    rows = [
        row
        for table in yaml.load(meta, yaml.BaseLoader)['tables']
        for row in table['rows']
    ]
    (row,) = [row for row in rows if row['config'] == path.stem]
    assert row['published'] == accuracy


def _by_name(nested: dict) -> dict:
    return {
        f'{outer}.{inner}': value
        for outer, values in nested.items()
        for inner, value in values.items()
    }


def _shipped(name: str) -> Config:
    return load_config(str(CONFIGS / f'{name}.py'))


def test_recipes_of_the_authors():
    """What their code does, whatever their papers say."""
    nd = _shipped('cifar/kdpp_resnet56_resnet20_cifar100')
    assert nd.train_dataloader.batch_size == 128  # 64 on each of two GPUs
    sdd = _shipped('cifar/sddkd_vgg13_vgg8_cifar100')
    assert sdd.optim_wrapper.clip_grad == dict(max_norm=40.0)
    assert sdd.optim_wrapper.optimizer.lr == 0.05
    large = _shipped('imagenet/kd_resnet34_resnet18_imagenet')
    assert large.auto_scale_lr == dict(base_batch_size=512, enable=True)


@pytest.mark.parametrize(
    'name, elements',
    [
        ('cifar/iekd_resnet56_resnet20_cifar10', 32 * 8 * 8),
        ('imagenet/iekd_resnet34_resnet18_imagenet', 256 * 7 * 7),
    ],
)
def test_factor_weights_are_those_of_cifar_at_any_size(name, elements):
    """The losses fall with the square root of the factor's size."""
    cfg = _shipped(name)
    for loss in cfg.model.distillers.factor.losses.values():
        weight = 50 * (elements / (32 * 8 * 8)) ** 0.5
        assert loss.loss_weight == pytest.approx(weight, rel=0.02)
    crop = cfg.train_dataloader.dataset.pipeline[0]
    reflects = crop.get('padding_mode') == 'reflect'
    assert reflects == name.startswith('cifar')


def test_sdd_scales():
    """Networks of one family: two scales; others: the default, three."""
    scales = {
        name: load_config(
            str(CONFIGS / f'cifar/{name}_cifar100.py')
        ).model.distillers.logit.get('scales')
        for name in (
            'sdkd_vgg13_vgg8',
            'sddkd_resnet50_vgg8',
            'sdnkd_resnet50_vgg8',
        )
    }
    assert [*scales.values()] == [(1, 2), None, (1, 2)]


def test_teachers_of_imagenet_are_published():
    table = yaml.safe_load((CONFIGS / 'imagenet' / TABLE).read_text())
    teachers = [n for n in table['networks'].values() if 'cfg' in n]
    assert len(teachers) == 7
    for network in teachers:
        cfg = get_config(network['cfg'], pretrained=True)
        assert cfg.model_path == network['ckpt']
    deit = 'hardkd_regnety-16gf_deit-b_imagenet.py'
    teacher = load_config(str(CONFIGS / 'imagenet' / deit)).model.teacher
    assert teacher.ckpt == RegNet_Y_16GF_Weights.IMAGENET1K_V2.url


def test_adaptors_stand_between_embeddings_of_different_width():
    for name in ('cifar', 'imagenet'):
        for path in sorted((CONFIGS / name / '_base_').glob('*_nd*.py')):
            if path.name.startswith('recipe'):
                continue
            cfg = load_config(str(path))
            sides = (cfg.model.teacher.cfg, cfg.model.student.cfg)
            widths = {
                read_spec(dict(cfg=side), 'side')[0].head.in_channels
                for side in sides
            }
            adaptor = 'connectors' in cfg.model.distillers.logit
            assert adaptor == (len(widths) == 2), path.name


def test_teachers_of_cifar10_want_the_constants_of_imagenet():
    cfg = load_config(str(CONFIGS / 'cifar/kd_resnet56_resnet8_cifar10.py'))
    teacher, student = (
        read_spec(dict(cfg=side.cfg), 'side')[0].data_preprocessor
        for side in (cfg.model.teacher, cfg.model.student)
    )
    scaled = [[value / 255 for value in teacher[k]] for k in ('mean', 'std')]
    assert scaled[0] == pytest.approx([0.485, 0.456, 0.406])
    assert scaled[1] == pytest.approx([0.229, 0.224, 0.225])
    assert student.mean != teacher.mean


@pytest.mark.parametrize('epochs', [4, 30])
def test_a_short_run_of_any_length_ends_its_cosine(epochs):
    path = CONFIGS / 'cifar/kd_resnet56_resnet8_short_cifar10.py'
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


@pytest.mark.parametrize(
    ('old', 'new', 'message'),
    [
        ('{beta: 6.0, ', '{', "needs weights of 'beta', a number for each"),
        ('sdkd: 60.51', 'sdxd: 60.51', "'sdxd'; did you mean 'sdkd'"),
        ('vgg13_vgg8', 'vgg12_vgg8', 'no name of a config: it needs'),
        ('base: mv2', 'base: mv3', 'has no mv3.py; write it'),
        ('  weights:', '  weight:', "has 'weight'; did you mean 'weights'"),
        ('{beta: 8.0}', '{beat: 8.0}', "has 'beat'; did you mean 'beta'"),
        ('backbone: depth=8', 'bckbone: depth=8', "did you mean 'backbone'"),
        ('mobile:', 'mobil:', "has 'mobil'; did you mean 'mobile'"),
        (
            'sdd: {kd: 56',
            'unpublished: dkd\n  sdd: {kd: 56',
            "'dkd' needs one",
        ),
        ('sdd: {kd: 56', 'notes: {dist: x}\n  sdd: {kd: 56', "'dist' needs"),
    ],
)
def test_wrong_tables(tmp_path, old, new, message):
    for name in ('cub', 'cifar'):
        shutil.copytree(CONFIGS / name, tmp_path / name)
    table = tmp_path / 'cub' / TABLE
    assert old in table.read_text()
    table.write_text(table.read_text().replace(old, new))
    with pytest.raises(UserError, match=message):
        family_files(table.parent)
