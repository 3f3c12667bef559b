"""The papers' small networks: sizes, parameters, tap points, gradients."""

import re
from math import sqrt
from pathlib import Path

import pytest
import torch
from mmcv.cnn.utils import fuse_conv_bn
from torch import nn

from kd_det.errors import UserError
from kd_det.models import backbones
from kd_det.models.backbones import (
    CIFARVGG,
    WRN,
    BinaryResNet,
    CIFARMobileNetV2,
    CIFARResNet,
    CIFARResNet50,
    CIFARShuffleNetV1,
    CIFARShuffleNetV2,
    MicroEffNet,
    MobileNetV1,
)
from kd_det.models.key_mappings import KEY_MAPPINGS
from kd_det.registry import MODELS
from kd_det.taps import FeatureTap, find_module

PAGE = Path(__file__).parents[2] / 'docs/user_guides/cifar_networks.md'
WIDE = (32, 64, 128, 256)
SMALL = {
    CIFARResNet: dict(depth=14),
    CIFARResNet50: {},
    WRN: dict(depth=16, widen=2),
    CIFARVGG: dict(depth=13),
    CIFARMobileNetV2: {},
    CIFARShuffleNetV1: {},
    CIFARShuffleNetV2: {},
    MicroEffNet: {},
    MobileNetV1: {},
    BinaryResNet: {},
}
SMALL_BY_NAME = {kind.__name__: cfg for kind, cfg in SMALL.items()}
each = pytest.mark.parametrize('kind', SMALL, ids=lambda kind: kind.__name__)


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def on_meta(kind: type, **arguments) -> nn.Module:
    with torch.device('meta'):  # shapes without numbers
        return kind(**arguments)


def shapes(network: nn.Module, side: int) -> list[tuple]:
    maps = network(torch.empty(2, 3, side, side, device='meta'))
    return [tuple(level.shape[1:]) for level in maps]


# Parameters by hand: side x side x in x out / groups of a convolution, two a
# channel of a norm.


def resnet(depth, widths=(16, 16, 32, 64)):
    before, n = widths[0], (depth - 2) // 6
    total = 27 * before + 2 * before
    for width in widths[1:]:
        total += 9 * before * width + (2 * n - 1) * 9 * width**2
        total += 2 * n * 2 * width
        if before != width:
            total += before * width + 2 * width
        before = width
    return total


def resnet50():
    before, total = 64, 27 * 64 + 2 * 64
    for middle, n in (64, 3), (128, 4), (256, 6), (512, 3):
        width = 4 * middle
        total += before * middle + (n - 1) * width * middle
        total += n * (9 * middle**2 + middle * width + 4 * middle + 2 * width)
        total += before * width + 2 * width
        before = width
    return total


def wrn(depth, widen):
    before, n, total = 16, (depth - 4) // 6, 27 * 16
    for width in 16 * widen, 32 * widen, 64 * widen:
        total += 9 * before * width + (2 * n - 1) * 9 * width**2
        total += 2 * before + (2 * n - 1) * 2 * width
        if before != width:
            total += before * width
        before = width
    return total + 2 * before


def vgg(*convs):
    before, total = 3, 0
    for width, count in zip((64, 128, 256, 512, 512), convs):
        total += 9 * before * width + (count - 1) * 9 * width**2
        total += count * 3 * width  # a bias too
        before = width
    return total


def mobilenet_v2():
    before, total = 16, 27 * 16 + 2 * 16
    for width, n in zip((8, 12, 16, 32, 48, 80, 160), (1, 2, 3, 4, 3, 3, 1)):
        for _ in range(n):
            middle = before * (1 if width == 8 else 6)
            total += middle * (before + 2 + 9 + 2 + width) + 2 * width
            before = width
    return total + (160 + 2) * 1280


def shufflenet_v1():
    before, total = 24, 3 * 24 + 2 * 24
    for width, n in (240, 4), (480, 8), (960, 4):
        for unit in range(n):
            made = width if unit else width - before
            middle = made // 4
            total += before * middle // (1 if before == 24 else 3)
            total += middle * (2 + 9 + 2) + middle * made // 3 + 2 * made
            before = width
    return total


def shufflenet_v2(first=116):
    before, total = 24, 3 * 24 + 2 * 24
    for width, n in (first, 4), (2 * first, 8), (4 * first, 4):
        half = width // 2
        total += before * (9 + 2) + 2 * (before + 2) * half
        total += half * (9 + 2 + half + 2)
        total += (n - 1) * half * (half + 2 + 9 + 2 + half + 2)
        before = width
    return total + (before + 2) * 1024


def mobilenet_v1():
    before, total = 32, 27 * 32 + 2 * 32
    for width in 64, 128, 128, 256, 256, *[512] * 6, 1024, 1024:
        total += before * (9 + 2) + (before + 2) * width
        before = width
    return total


def binary_resnet():
    before, total = 64, 147 * 64 + 2 * 64
    for width in 64, 128, 256, 512:
        total += 9 * before * width + 27 * width**2
        total += 2 * before + 3 * 2 * width
        if before != width:
            total += before * width + 2 * width
        before = width
    return total + 2 * 512


def micro_effnet() -> int:
    widths = (24, 16, 24, 40, 40, 48, 64, 64, 80, 80, 96)
    total = 9 * 3 * 24 + 2 * 24 + 96 * 136 + 2 * 136
    for number, (before, width) in enumerate(zip(widths, widths[1:])):
        middle = 6 * before if number else before
        if number:
            total += before * middle + 2 * middle
        total += 9 * middle + 2 * middle
        squeezed = before // 5
        total += 2 * middle * squeezed + squeezed + middle
        total += middle * width + 2 * width
    return total


PARAMETERS = {  # with a classifier of 100 classes, millions as published
    'ResNet-20': (resnet(20) + 65 * 100, 0.28),
    'ResNet-32': (resnet(32) + 65 * 100, 0.47),
    'ResNet-56': (resnet(56) + 65 * 100, 0.86),
    'ResNet-110': (resnet(110) + 65 * 100, 1.74),
    'ResNet-8x4': (resnet(8, WIDE) + 257 * 100, 1.23),
    'ResNet-32x4': (resnet(32, WIDE) + 257 * 100, 7.43),
    'ResNet-50': (resnet50() + 2049 * 100, 23.71),
    'WRN-40-2': (wrn(40, 2) + 129 * 100, 2.26),
    'WRN-40-1': (wrn(40, 1) + 65 * 100, 0.57),
    'WRN-16-2': (wrn(16, 2) + 129 * 100, 0.70),
    'VGG-8': (vgg(1, 1, 1, 1, 1) + 513 * 100, 3.97),
    'VGG-11': (vgg(1, 1, 2, 2, 2) + 513 * 100, 9.28),
    'VGG-13': (vgg(2, 2, 2, 2, 2) + 513 * 100, 9.46),
    'MobileNetV2': (mobilenet_v2() + 1281 * 100, 0.81),
    'MicroEffNet': (micro_effnet() + 137 * 100, 0.48),
    'ShuffleNetV1': (shufflenet_v1() + 961 * 100, 0.95),
    'ShuffleNetV2': (shufflenet_v2() + 1025 * 100, 1.36),
    'ShuffleNetV2 x1.5': (shufflenet_v2(176) + 1025 * 100, 2.58),
    'MobileNetV1': (mobilenet_v1() + 1025 * 1000, 4.23),  # of ImageNet
    'binary ResNet-18': (binary_resnet() + 513 * 1000, 11.69),
}


def rows(title: str) -> dict[str, list[str]]:
    """The cells behind each network's name, in the table of a section."""
    section = re.split(r'^## ', PAGE.read_text(), flags=re.M)
    (text,) = [part for part in section if part.startswith(title)]
    lines = re.findall(r'^\| (.+) \|$', text, re.M)[2:]
    return {name: cells for name, *cells in (x.split(' | ') for x in lines)}


def build(cell: str) -> nn.Module:
    """Build what a cell such as `dict(type=…)` says."""
    with torch.device('meta'):
        cfg = eval(cell.strip('`'), dict(dict=dict))
        return MODELS.build(dict(cfg, _scope_='mmpretrain'))


CIFAR_ROWS = rows('CIFAR')
CUB_ROWS = rows('CUB-200')
IMAGENET_ROWS = rows('ImageNet')
TAP_ROWS = rows('Tap points')


@pytest.mark.parametrize('name', PARAMETERS)
def test_parameters(name):
    by_hand, millions = PARAMETERS[name]
    imagenet = name in IMAGENET_ROWS
    table, side = (IMAGENET_ROWS, 224) if imagenet else (CIFAR_ROWS, 32)
    cfg, parameters, embedding, final = table[name]
    network = build(cfg)
    assert round(by_hand / 1e6, 2) == millions
    width = int(embedding)
    total = count(network) + (width + 1) * (1000 if imagenet else 100)
    assert total == by_hand == int(parameters.replace(',', ''))
    (last,) = shapes(network, side)
    assert last == (width, *map(int, final.split('x')))


def test_the_page_has_no_other_network():
    assert {*CIFAR_ROWS, *IMAGENET_ROWS} == set(PARAMETERS)


@pytest.mark.parametrize('name', CUB_ROWS)
def test_maps_of_cub(name):
    cfg, final = CUB_ROWS[name]
    network = build(cfg)
    (last,) = shapes(network, 224)
    width = int(CIFAR_ROWS[name][2])
    assert last == (width, *map(int, final.split('x')))


@pytest.mark.parametrize('name', TAP_ROWS)
def test_tap_points_of_the_page(name):
    network = on_meta(getattr(backbones, name), **SMALL_BY_NAME[name])
    stages, before = (re.findall(r'`(.+?)`', c) for c in TAP_ROWS[name])
    points = {
        point: point.removeprefix('backbone.') for point in stages + before
    }
    with FeatureTap(network, points) as records:
        shapes(network, 64)
    found = [records[point][0].shape for point in stages]
    assert found == sorted(found, key=lambda shape: -shape[2])
    if before:
        assert found == [records[point][0][0].shape for point in before]


def test_the_page_lists_every_network_and_mapping():
    # torchvision's, that of user_guides/few_shot.md, and the wrapper of
    # user_guides/train_and_test.md
    other = {'RegNetY16GF', 'GoogLeNet', 'Conv4', 'FrozenBackbone'}
    small = set(backbones.__all__) - other
    assert set(TAP_ROWS) == small == set(SMALL_BY_NAME)
    listed = re.findall(r"^\| `'(\w+)'` \|", PAGE.read_text(), re.M)
    elsewhere = {'mmrazor', 'mmrazor_teacher'}  # user_guides/mmrazor.md
    assert set(listed) == set(KEY_MAPPINGS) - elsewhere


@pytest.mark.parametrize(
    ('kind', 'arguments', 'expected'),
    [
        (CIFARResNet, dict(depth=8), [(16, 32), (32, 16), (64, 8)]),
        (
            CIFARResNet,
            dict(depth=8, widths=WIDE, shortcut='pad'),
            [(64, 32), (128, 16), (256, 8)],
        ),
        (
            CIFARResNet50,
            {},
            [(256, 32), (512, 16), (1024, 8), (2048, 4)],
        ),
        (WRN, dict(depth=10, widen=3), [(48, 32), (96, 16), (192, 8)]),
        (
            CIFARVGG,
            dict(depth=8),
            [(64, 32), (128, 16), (256, 8), (512, 4), (512, 4)],
        ),
        (
            CIFARMobileNetV2,
            {},
            [(12, 16), (16, 8), (48, 4), (160, 2), (1280, 2)],
        ),
        (
            CIFARMobileNetV2,
            dict(width=2.0),
            [(48, 16), (64, 8), (192, 4), (640, 2), (2560, 2)],
        ),
        (MicroEffNet, {}, [(24, 31), (64, 15), (96, 7), (136, 7)]),
        (CIFARShuffleNetV1, {}, [(240, 16), (480, 8), (960, 4)]),
        (
            CIFARShuffleNetV2,
            {},
            [(116, 16), (232, 8), (464, 4), (1024, 4)],
        ),
        (
            CIFARShuffleNetV2,
            dict(width=1.5),
            [(176, 16), (352, 8), (704, 4), (1024, 4)],
        ),
        (BinaryResNet, {}, [(64, 8), (128, 4), (256, 2), (512, 1)]),
        (MobileNetV1, {}, [(128, 8), (256, 4), (512, 2), (1024, 1)]),
    ],
)
def test_maps_of_all_stages(kind, arguments, expected):
    stages = tuple(range(len(expected)))
    network = on_meta(kind, **arguments, out_indices=stages)
    expected = [(width, side, side) for width, side in expected]
    assert shapes(network, 32) == expected
    some = on_meta(kind, **arguments, out_indices=[2, 0])
    assert shapes(some, 32) == [expected[0], expected[2]]


def documented_points(kind: type) -> list[str]:
    text = re.search(r'Tap points: (.+?)\n\n', kind.__doc__, re.S)[1]
    points = []
    for first, last in re.findall(
        r'``([\w.:]+)``(?:\s+to\s+``([\w.:]+)``)?', text
    ):
        points.append(first)
        if last:  # layer1 to layer3
            digit = re.search(r'\d', first)
            ends = int(digit[0]), int(last[digit.start()])
            points += [
                first[: digit.start()] + str(n) + first[digit.end() :]
                for n in range(ends[0] + 1, ends[1] + 1)
            ]
    return points


@each
def test_what_goes_into_an_activation_is_not_yet_activated(kind):
    torch.manual_seed(0)
    network = kind(**SMALL[kind]).eval()
    network.init_weights()
    points = documented_points(kind)
    for point in points:
        find_module(network, point.partition(':')[0])
    inputs = [point for point in points if point.endswith(':input')]
    assert inputs
    taps = {point: point for point in inputs}
    taps |= {f'{p} out': p.removesuffix(':input') for p in inputs}
    with torch.no_grad(), FeatureTap(network, taps) as records:
        network(torch.randn(2, 3, 32, 32))
    for point in inputs:
        ((before,),) = records[point]
        (after,) = records[f'{point} out']
        assert before.min() < 0  # also: not overwritten in place
        activation = find_module(network, point.removesuffix(':input'))
        assert torch.equal(activation(before), after)


@pytest.mark.parametrize(
    'kind',
    [CIFARResNet, CIFARResNet50, CIFARVGG, CIFARShuffleNetV1, MobileNetV1],
)
def test_what_a_relu_returns_is_the_map_of_the_stage(kind):
    network = kind(**SMALL[kind]).eval()
    stages = [p for p in documented_points(kind) if p.endswith('.relu:input')]
    assert len(stages) >= 3
    network.out_indices = tuple(range(len(stages)))
    taps = {p: p.removesuffix(':input') for p in stages}
    with torch.no_grad(), FeatureTap(network, taps) as records:
        maps = network(torch.randn(2, 3, 32, 32))
    for (activated,), returned in zip(records.values(), maps):
        assert activated is returned


@each
def test_every_parameter_gets_a_gradient(kind):
    torch.manual_seed(0)
    network = kind(**SMALL[kind])
    network.init_weights()
    images = torch.randn(4, 3, 32, 32)
    untouched = images.clone()
    (last,) = network(images)
    (last * torch.randn_like(last)).sum().backward()
    assert torch.equal(images, untouched)
    # a bias ahead of a norm does nothing
    idle = r'conv\.bias' if kind is CIFARVGG else '(?!)'
    for name, parameter in network.named_parameters():
        gradient = parameter.grad
        assert gradient.isfinite().all(), name
        assert re.search(idle, name) or gradient.abs().max() > 0, name


@each
def test_a_seed_fixes_weights_and_maps(kind):
    images = torch.randn(2, 3, 32, 32)
    maps = []
    for _ in range(2):
        torch.manual_seed(3)
        network = kind(**SMALL[kind])
        network.init_weights()
        with torch.no_grad():
            maps.append(network(images)[-1])
    assert torch.equal(*maps)


@each
def test_norms_fold_into_the_convolutions_before_them(kind):
    torch.manual_seed(0)
    network = kind(**SMALL[kind]).double()
    network(torch.randn(8, 3, 32, 32).double())  # statistics of their own
    images = torch.randn(2, 3, 32, 32).double()
    with torch.no_grad():
        (expected,) = network.eval()(images)
        (folded,) = fuse_conv_bn(network)(images)
    torch.testing.assert_close(folded, expected, rtol=1e-9, atol=1e-9)


@each
def test_first_weights(kind):
    torch.manual_seed(0)
    network = kind(**SMALL[kind])
    network.init_weights()
    largest = max(
        (m for m in network.modules() if isinstance(m, nn.Conv2d)),
        key=lambda m: m.weight.numel(),
    )
    weight = largest.weight
    side, out = weight.shape[-1], weight.shape[0]
    expected = sqrt(2 / (side * side * out))
    if kind in (CIFARShuffleNetV1, CIFARShuffleNetV2, MobileNetV1):
        # uniform up to 1 / sqrt(fan in): torch's own
        expected = 1 / sqrt(3 * side * side * weight.shape[1])
    assert abs(weight.std() / expected - 1) < 0.03
    assert weight.mean().abs() < 0.03 * expected
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert (module.weight == 1).all() and (module.bias == 0).all()
        elif isinstance(module, nn.Conv2d) and module.bias is not None:
            assert (module.bias == 0).all()


@pytest.mark.parametrize(
    ('make', 'message'),
    [
        (lambda: CIFARResNet(18), r'CIFARResNet has depth=18; 6n \+ 2.*8, 14'),
        (lambda: CIFARResNet(2), 'depth=2'),
        (lambda: WRN(40 + 1, 2), r'WRN has depth=41; 6n \+ 4 .*10, 16, 22'),
        (lambda: CIFARVGG(16), 'depth=16; accepted are 8, 11 and 13'),
        (
            lambda: CIFARResNet(8, shortcut='A'),
            "shortcut='A'; accepted are 'conv' and 'pad'",
        ),
        (
            lambda: CIFARResNet50(stem='imagenet'),
            "stem='imagenet'; accepted are 'cifar' and 'cub'",
        ),
        (
            lambda: CIFARVGG(8, out_indices=(5,)),
            r'CIFARVGG has out_indices=\(5,\); .* stages from 0 to 4',
        ),
        (
            lambda: CIFARShuffleNetV2(width=2.0),
            'CIFARShuffleNetV2: width=2.0; accepted are 1.0 and 1.5',
        ),
        (lambda: WRN(10, 1, out_indices=2), 'out_indices=2;'),
        (lambda: MobileNetV1(out_indices=()), r'out_indices=\(\);'),
        (lambda: MobileNetV1(out_indices=(-1,)), r'out_indices=\(-1,\);'),
    ],
)
def test_wrong_arguments_are_named(make, message):
    with pytest.raises(UserError, match=message):
        make()
