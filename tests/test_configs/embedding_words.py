"""What the words in the names of embedding configs stand for.

configs/metric: {method}_{network-dims}[_{network-dims}]_{data}, and
configs/fewshot: {method}_{network}[_{network}]_{5w1s}_{data}; the teacher is
first. A new word is entered here with its meaning.
"""

import re
from pathlib import Path
from typing import NamedTuple

CONFIGS = Path(__file__).parents[2] / 'configs'
METRIC = sorted((CONFIGS / 'metric').glob('*.py'))
FEWSHOT = sorted((CONFIGS / 'fewshot').glob('*.py'))

ALONE = dict(triplet='kd_det.TripletLoss', protonet='kd_det.PrototypeLoss')
DISTANCE, ANGLE = 'RKDDistanceLoss', 'RKDAngleLoss'
ATTENTION = 'AttentionTransferLoss'
# losses with their weights in configs/metric and in configs/fewshot
METHODS = dict(
    rkdd=({DISTANCE: 1.0}, {DISTANCE: 50.0}),
    rkda=({ANGLE: 2.0}, {ANGLE: 100.0}),
    rkdda=({DISTANCE: 1.0, ANGLE: 2.0}, {DISTANCE: 25.0, ANGLE: 50.0}),
    fitnet=({'FitNetLoss': 1.0}, {}),
    at=({ATTENTION: 10.0}, {ATTENTION: 10.0}),
    darkrank=({'DarkRankLoss': 1.0}, {}),
)
# beside the triplets; RKD is on its own in metric learning
WITH_LABELS = ('fitnet', 'at', 'darkrank')
ON_MAPS = ('fitnet', 'at')
# facts of the backbone, channels of its last map
NETWORKS = dict(
    resnet18=(dict(type='ResNet', depth=18), 512),
    resnet50=(dict(type='ResNet', depth=50), 2048),
    googlenet=(dict(type='kd_det.GoogLeNet'), 1024),
    resnet18s=(
        dict(type='ResNet_CIFAR', depth=18, base_channels=16, in_channels=1),
        128,
    ),
    conv4=(dict(type='kd_det.Conv4', width=64), 64),
    conv4s=(dict(type='kd_det.Conv4', width=16), 16),
)


class Data(NamedTuple):
    """What a data set's word stands for."""

    dataset: str
    root: str
    teacher: str = ''


METRIC_DATA = dict(
    cub200=Data('kd_det.CUBRetrieval', 'data/CUB_200_2011/', 'resnet50-512'),
    cars196=Data('kd_det.CarsRetrieval', 'data/cars196/', 'resnet50-512'),
    sop=Data(
        'kd_det.SOPRetrieval', 'data/Stanford_Online_Products/', 'resnet50-512'
    ),
    omniglot=Data('kd_det.Omniglot', 'data/omniglot/', 'resnet18s-64'),
)
FEWSHOT_DATA = dict(
    omniglot=Data('kd_det.Omniglot', 'data/omniglot/', 'conv4'),
    miniimagenet=Data('kd_det.MiniImageNet', 'data/miniimagenet/', 'conv4'),
)


class Name(NamedTuple):
    """The words of a name: networks with their widths, None in few-shot."""

    method: str
    networks: tuple[tuple[str, int | None], ...]
    shots: int | None
    data: str

    @property
    def is_pair(self) -> bool:
        return self.method not in ALONE

    @property
    def teacher(self) -> str:
        """The name of the teacher's own config."""
        word, dims = self.networks[0]
        if self.shots:
            return f'protonet_{word}_5w{self.shots}s_{self.data}'
        return f'triplet_{word}-{dims}_{self.data}'


def parse(path: Path) -> Name:
    method, *rest = path.stem.split('_')
    data = rest.pop()
    few = path.parent.name == 'fewshot'
    shots = None
    if few:
        match = re.fullmatch(r'5w([15])s', rest.pop())
        assert match, f'{path.stem}: 5w1s or 5w5s is missing'
        shots = int(match[1])
        pattern = r'(\w+)()'
    else:
        pattern = r'(\w+)-(\d+)'
    alone = 'protonet' if few else 'triplet'
    methods = {method for method, weights in METHODS.items() if weights[few]}
    assert method in {alone, *methods}, f'enter {method!r}'
    assert data in (FEWSHOT_DATA if few else METRIC_DATA), f'enter {data!r}'
    networks = []
    for word in rest:
        match = re.fullmatch(pattern, word)
        assert match and match[1] in NETWORKS, f'enter {word!r}'
        networks.append((match[1], int(match[2]) if match[2] else None))
    assert len(networks) == (1 if method == alone else 2), path.stem
    return Name(method, tuple(networks), shots, data)
