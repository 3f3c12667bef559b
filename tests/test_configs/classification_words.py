"""What the words in the names of classification configs stand for.

{method}_{teacher}_{student}[_{setting}]_{data}; a baseline has one network,
peers are two, the one that is shown last.
A new word is entered here with its meaning.
"""

import functools
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

import ie_tables

from kd_det.config import load_config

CONFIGS = Path(__file__).parents[2] / 'configs'

# name of a loss -> its type, with the base of a loss on regions
METHODS = {
    'baseline': {},
    'kd': {'logit.loss_kd': 'KDLoss'},
    'dkd': {'logit.loss_dkd': 'DKDLoss'},
    'nkd': {'logit.loss_nkd': 'NKDLoss'},
    'dist': {'logit.loss_dist': 'DISTLoss'},
    'reviewkd': {'feats.loss_reviewkd': 'ReviewKDLoss'},
    'hardkd': {'token.loss_hardkd': 'HardKDLoss'},
    'srrl': {
        'logit.loss_fm': 'FeatureMatchingLoss',
        'logit.loss_sr': 'SoftmaxRegressionLoss',
    },
    'rkd': {
        'logit.loss_rkd_d': 'RKDDistanceLoss',
        'logit.loss_rkd_a': 'RKDAngleLoss',
    },
    'at': {'feats.loss_at': 'AttentionTransferLoss'},
    'fitnet': {'feats.loss_fitnet': 'FitNetLoss'},
    'sdkd': {'logit.loss_sdd': 'SDDLoss of KDLoss'},
    'sddkd': {'logit.loss_sdd': 'SDDLoss of DKDLoss'},
    'sdnkd': {'logit.loss_sdd': 'SDDLoss of NKDLoss'},
}
RKD = METHODS['rkd']
METHODS |= {
    'rkdd': {'logit.loss_rkd_d': RKD['logit.loss_rkd_d']},
    'rkda': {'logit.loss_rkd_a': RKD['logit.loss_rkd_a']},
}
METHODS |= {
    f'{word}-rkd': {**METHODS[word], **RKD} for word in ('kd', 'fitnet', 'at')
}
METHODS |= {
    f'{word}-srrl': {**METHODS[word], **METHODS['srrl']}
    for word in ('kd', 'at')
}
METHODS |= {
    f'{word}pp': {**METHODS[word], 'logit.loss_nd': 'NDLoss'}
    for word in ('kd', 'dkd', 'dist', 'reviewkd', 'hardkd')
}
METHODS |= ie_tables.METHODS

WIDE = (32, 64, 128, 256)
# facts of the backbone, width of the embedding
SMALL = {
    **{
        f'resnet{depth}': (dict(type='kd_det.CIFARResNet', depth=depth), 64)
        for depth in (8, 20, 32, 44, 56, 110)
    },
    **{
        f'resnet{depth}x4': (
            dict(type='kd_det.CIFARResNet', depth=depth, widths=WIDE),
            256,
        )
        for depth in (8, 32)
    },
    **{
        f'wrn-{depth}-{widen}': (
            dict(type='kd_det.WRN', depth=depth, widen=widen),
            64 * widen,
        )
        for depth, widen in ((40, 2), (40, 1), (16, 2), (40, 4), (16, 4))
    },
    **{
        f'vgg{depth}': (dict(type='kd_det.CIFARVGG', depth=depth), 512)
        for depth in (8, 11, 13)
    },
    'resnet50': (dict(type='kd_det.CIFARResNet50'), 2048),
    'mv2': (dict(type='kd_det.CIFARMobileNetV2', width=0.5), 1280),
    'shufflev1': (dict(type='kd_det.CIFARShuffleNetV1'), 960),
    'shufflev2': (dict(type='kd_det.CIFARShuffleNetV2', width=None), 1024),
    'shufflev2x15': (dict(type='kd_det.CIFARShuffleNetV2', width=1.5), 1024),
}
LARGE = {
    'resnet18': (dict(type='ResNet', depth=18), 512),
    'resnet34': (dict(type='ResNet', depth=34), 512),
    'resnet50': (dict(type='ResNet', depth=50), 2048),
    'resnet101': (dict(type='ResNet', depth=101), 2048),
    'resnet152': (dict(type='ResNet', depth=152), 2048),
    'binaryresnet18': (dict(type='kd_det.BinaryResNet'), 512),
    'mv1': (dict(type='kd_det.MobileNetV1'), 1024),
    'vit-s': (dict(type='VisionTransformer', arch='deit-small'), 384),
    'vit-b': (dict(type='VisionTransformer', arch='deit-base'), 768),
    'deit-b': (dict(type='VisionTransformer', arch='deit-base'), 768),
    'regnety-16gf': (dict(type='kd_det.RegNetY16GF'), 3024),
}
TINY = {
    'resnet18': (dict(type='ResNet_CIFAR', depth=18), 512),
    'resnet101': (dict(type='ResNet_CIFAR', depth=101), 2048),
}
# trained at a fifth of the rate
MOBILE = {'mv2', 'shufflev1', 'shufflev2', 'shufflev2x15'}

# what an ablation of SRRL keeps or changes: a term, a mode of the second
SRRL_TERMS = {'fm', 'sr'}
SRRL_MODES = {'ce', 'kl'}
SRRL_ABLATIONS = SRRL_TERMS | SRRL_MODES

# the recipe of the ++ methods without ND, that of RKD's authors, few
# images, zero-padded shortcuts
SETTINGS = {'ndrecipe', 'rkdrecipe', 'short', 'pad'}
SETTINGS |= ie_tables.SETTINGS | SRRL_ABLATIONS


class Data(NamedTuple):
    """What a data set's word stands for."""

    folder: str
    dataset: str
    data_root: str
    num_classes: int
    networks: dict


DATA = {
    'cifar100': Data('cifar', 'kd_det.CIFAR100', 'data/cifar100/', 100, SMALL),
    'cifar10': Data('cifar', 'kd_det.CIFAR10', 'data/cifar10/', 10, SMALL),
    'cub200': Data('cub', 'CUB', 'data/CUB_200_2011/', 200, SMALL),
    'tinyimagenet': Data(
        'tiny_imagenet',
        'kd_det.TinyImageNet',
        'data/tiny-imagenet-200/',
        200,
        TINY,
    ),
    'imagenet': Data('imagenet', 'ImageNet', 'data/imagenet/', 1000, LARGE),
}
FILES = sorted(
    path
    for folder in {data.folder for data in DATA.values()}
    for path in (CONFIGS / folder).glob('*.py')
)


class Name(NamedTuple):
    """The words of a config's name."""

    method: str
    networks: tuple[str, ...]
    setting: str
    data: str

    @property
    def losses(self) -> dict[str, str]:
        """What ``METHODS`` has, or the one term of an ablation."""
        losses = METHODS[self.method]
        if self.setting in SRRL_TERMS:
            key = f'logit.loss_{self.setting}'
            return {key: losses[key]}
        return losses

    @property
    def is_pair(self) -> bool:
        return self.method != 'baseline' and not self.is_mutual

    @property
    def is_mutual(self) -> bool:
        """Whether the networks are peers."""
        return self.method in ie_tables.AMONG_PEERS

    @property
    def by_ie(self) -> bool:
        """Whether the recipe is that of the code of IE-KD."""
        ours = self.method in ie_tables.METHODS or self.setting == 'ierecipe'
        return ours and self.setting != 'short' and self.data != 'imagenet'

    @property
    def by_nd(self) -> bool:
        """Whether the recipe is that of the ND scripts."""
        nd = self.method.endswith('pp') or self.setting == 'ndrecipe'
        return nd and self.setting != 'short' and 'deit-b' not in self.networks

    @property
    def by_rkd(self) -> bool:
        """Whether the recipe is that of RKD's authors."""
        return self.setting == 'rkdrecipe' or self.data == 'tinyimagenet'

    @property
    def control(self) -> str:
        """The name of the student trained alone."""
        return self.alone(self.networks[-1])

    def alone(self, network: str) -> str:
        """The name of a network trained alone by the same recipe."""
        setting = 'ndrecipe' if self.by_nd else self.setting
        setting = 'ierecipe' if self.by_ie else setting
        setting = '' if setting in SRRL_ABLATIONS else setting
        return baseline(network, setting, self.data)

    @property
    def teacher(self) -> str:
        """The name of the teacher trained alone."""
        setting = 'rkdrecipe' if self.setting == 'rkdrecipe' else ''
        setting = 'pad' if self.data == 'cifar10' else setting
        return baseline(self.networks[0], setting, self.data)


def baseline(network: str, setting: str, data: str) -> str:
    return '_'.join(filter(None, ('baseline', network, setting, data)))


def parse(name: str) -> Name:
    method, *rest = name.split('_')
    assert method in METHODS, f'{name}: enter {method!r} in METHODS'
    data = rest.pop()
    assert data in DATA, f'{name}: enter {data!r} in DATA'
    known = DATA[data].networks
    networks = tuple(takewhile(lambda word: word in known, rest))
    rest = rest[len(networks) :]
    assert len(networks) == (1 if method == 'baseline' else 2), (
        f'{name}: networks are {networks}'
    )
    assert len(rest) <= 1, f'{name}: {rest} is no setting'
    assert {*rest} <= SETTINGS, f'{name}: enter {rest} in SETTINGS'
    return Name(method, networks, ''.join(rest), data)


PAIRS = [path for path in FILES if parse(path.stem).is_pair]
PEERS = [path for path in FILES if parse(path.stem).is_mutual]

read = functools.cache(load_config)  # for tests that change nothing in it
