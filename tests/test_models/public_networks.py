"""The networks as public code lays them out, written as plain functions.

Each function runs a network on a :class:`Weights`, which makes every weight
the first time it is asked for. One run with an empty one thus lists the keys
and shapes of that layout, and gives the logits that go with them.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


class Weights:
    """Makes random weights by name, and keeps them in ``state``."""

    def __init__(self) -> None:
        self.state: dict[str, Tensor] = {}
        self.random = torch.Generator().manual_seed(0)

    def draw(self, name: str, *shape: int, low=-1.0, high=1.0) -> Tensor:
        value = torch.rand(shape, generator=self.random, dtype=torch.float64)
        assert name not in self.state
        self.state[name] = low + (high - low) * value
        return self.state[name]

    def conv(self, x, name, channels, k=1, stride=1, groups=1, bias=False):
        fan_in = x.shape[1] // groups * k * k
        shape = (channels, x.shape[1] // groups, k, k)
        limit = (6 / fan_in) ** 0.5  # keeps the size of the activations
        weight = self.draw(f'{name}.weight', *shape, low=-limit, high=limit)
        bias = self.draw(f'{name}.bias', channels) if bias else None
        return F.conv2d(x, weight, bias, stride, k // 2, groups=groups)

    def bn(self, x, name):
        channels = x.shape[1]
        mean = self.draw(f'{name}.running_mean', channels, low=-0.1, high=0.1)
        var = self.draw(f'{name}.running_var', channels, low=0.8, high=1.2)
        weight = self.draw(f'{name}.weight', channels, low=0.8, high=1.2)
        bias = self.draw(f'{name}.bias', channels, low=-0.2, high=0.2)
        self.state[f'{name}.num_batches_tracked'] = torch.tensor(7)
        mean, var, weight, bias = (
            value[None, :, None, None] for value in (mean, var, weight, bias)
        )
        return (x - mean) / (var + 1e-5).sqrt() * weight + bias

    def classify(self, x, name, classes=10):
        x = x.mean((2, 3))
        weight = self.draw(f'{name}.weight', classes, x.shape[1])
        return x @ weight.T + self.draw(f'{name}.bias', classes)


def shuffle(x, groups):
    """Channel i of every group, then channel i + 1 of every group."""
    size = x.shape[1] // groups
    order = [g * size + i for i in range(size) for g in range(groups)]
    return x[:, order]


def stages(depth, offset, widths):
    """Name of stage and block, channels and stride of every block."""
    for stage, channels in enumerate(widths, 1):
        for block in range((depth - offset) // 6):
            stride = 2 if stage > 1 and block == 0 else 1
            yield stage, block, channels, stride


def resnet(w, x, depth, widths=(16, 16, 32, 64), cub=False):
    x = w.conv(x, 'conv1', widths[0], *((7, 2) if cub else (3, 1)))
    x = w.bn(x, 'bn1').relu()
    for stage, block, channels, stride in stages(depth, 2, widths[1:]):
        name = f'layer{stage}.{block}'
        out = w.conv(x, f'{name}.conv1', channels, 3, stride)
        out = w.bn(out, f'{name}.bn1').relu()
        out = w.bn(w.conv(out, f'{name}.conv2', channels, 3), f'{name}.bn2')
        if x.shape != out.shape:
            x = w.conv(x, f'{name}.downsample.0', channels, 1, stride)
            x = w.bn(x, f'{name}.downsample.1')
        x = (out + x).relu()
    return w.classify(x, 'fc')


def akamaster(w, x, depth):
    x = w.bn(w.conv(x, 'module.conv1', 16, 3), 'module.bn1').relu()
    for stage, block, channels, stride in stages(depth, 2, (16, 32, 64)):
        name = f'module.layer{stage}.{block}'
        out = w.conv(x, f'{name}.conv1', channels, 3, stride)
        out = w.bn(out, f'{name}.bn1').relu()
        out = w.bn(w.conv(out, f'{name}.conv2', channels, 3), f'{name}.bn2')
        short = torch.zeros_like(out)
        missing = channels - x.shape[1]
        short[:, missing // 2 : channels - missing // 2] = x[
            :, :, ::stride, ::stride
        ]
        x = (out + short).relu()
    return w.classify(x, 'module.linear')


def resnet50(w, x, cub=False):
    x = w.conv(x, 'conv1', 64, *((7, 2) if cub else (3, 1)))
    x = w.bn(x, 'bn1').relu()
    for stage, blocks in enumerate((3, 4, 6, 3), 1):
        middle = 32 * 2**stage
        for block in range(blocks):
            name = f'layer{stage}.{block}'
            stride = 2 if stage > 1 and block == 0 else 1
            out = w.bn(w.conv(x, f'{name}.conv1', middle), f'{name}.bn1')
            out = w.conv(out.relu(), f'{name}.conv2', middle, 3, stride)
            out = w.bn(out, f'{name}.bn2').relu()
            out = w.conv(out, f'{name}.conv3', 4 * middle)
            out = w.bn(out, f'{name}.bn3')
            if block == 0:
                x = w.conv(x, f'{name}.shortcut.0', 4 * middle, 1, stride)
                x = w.bn(x, f'{name}.shortcut.1')
            x = (out + x).relu()
    return w.classify(x, 'linear')


def wrn(w, x, depth, widen):
    x = w.conv(x, 'conv1', 16, 3)
    widths = (16 * widen, 32 * widen, 64 * widen)
    for stage, block, channels, stride in stages(depth, 4, widths):
        name = f'block{stage}.layer.{block}'
        active = w.bn(x, f'{name}.bn1').relu()
        out = w.conv(active, f'{name}.conv1', channels, 3, stride)
        out = w.bn(out, f'{name}.bn2').relu()
        out = w.conv(out, f'{name}.conv2', channels, 3)
        if x.shape[1] != channels:
            x = w.conv(active, f'{name}.convShortcut', channels, 1, stride)
        x = x + out
    return w.classify(w.bn(x, 'bn1').relu(), 'fc')


def vgg(w, x, convs):
    for stage, channels in enumerate((64, 128, 256, 512, 512)):
        for unit in range(convs[stage]):
            name = f'block{stage}.'
            x = w.conv(x, f'{name}{3 * unit}', channels, 3, bias=True)
            x = w.bn(x, f'{name}{3 * unit + 1}').relu()
        if stage < 3:
            x = F.max_pool2d(x, 2)
    return w.classify(x, 'classifier')


def mobilenet_v2(w, x, cub=False):
    x = w.conv(x, 'conv1.0', 16, 7 if cub else 3, 2)
    x = w.bn(x, 'conv1.1').relu()
    if cub:
        x = F.max_pool2d(x, 2)
    halved = (8, 12, 16, 32, 48, 80, 160)
    for row, channels in enumerate(halved):
        for block in range((1, 2, 3, 4, 3, 3, 1)[row]):
            stride = 2 if row in (2, 3, 5) and block == 0 else 1
            middle = x.shape[1] * (6 if row else 1)
            name = f'blocks.{row}.{block}.conv.'
            out = w.bn(w.conv(x, f'{name}0', middle), f'{name}1').relu()
            out = w.conv(out, f'{name}3', middle, 3, stride, middle)
            out = w.bn(out, f'{name}4').relu()
            out = w.bn(w.conv(out, f'{name}6', channels), f'{name}7')
            x = x + out if x.shape == out.shape else out
    x = w.bn(w.conv(x, 'conv2.0', 1280), 'conv2.1').relu()
    return w.classify(x, 'classifier.0')


def shufflenet_v1(w, x, cub=False):
    x = w.conv(x, 'conv1', 24, *((7, 2) if cub else (1, 1)))
    x = w.bn(x, 'bn1').relu()
    for stage, channels, units in (1, 240, 4), (2, 480, 8), (3, 960, 4):
        for unit in range(units):
            name = f'layer{stage}.{unit}'
            groups = 1 if stage == 1 and unit == 0 else 3
            stride = 1 if unit else 2
            made = channels if unit else channels - x.shape[1]
            middle = made // 4
            out = w.conv(x, f'{name}.conv1', middle, groups=groups)
            out = shuffle(w.bn(out, f'{name}.bn1').relu(), groups)
            out = w.conv(out, f'{name}.conv2', middle, 3, stride, middle)
            out = w.bn(out, f'{name}.bn2').relu()
            out = w.conv(out, f'{name}.conv3', made, groups=3)
            out = w.bn(out, f'{name}.bn3')
            if unit:
                x = (x + out).relu()
            else:
                pooled = F.avg_pool2d(x, 3, 2, 1)
                x = torch.cat([out, pooled], 1).relu()
    return w.classify(x, 'linear')


def shufflenet_v2(w, x, cub=False):
    x = w.conv(x, 'conv1', 24, *((7, 2) if cub else (1, 1)))
    x = w.bn(x, 'bn1').relu()
    for stage, channels, units in (1, 116, 4), (2, 232, 8), (3, 464, 4):
        half, name = channels // 2, f'layer{stage}.0'
        left = w.conv(x, f'{name}.conv1', x.shape[1], 3, 2, x.shape[1])
        left = w.conv(w.bn(left, f'{name}.bn1'), f'{name}.conv2', half)
        left = w.bn(left, f'{name}.bn2').relu()
        right = w.bn(w.conv(x, f'{name}.conv3', half), f'{name}.bn3').relu()
        right = w.conv(right, f'{name}.conv4', half, 3, 2, half)
        right = w.conv(w.bn(right, f'{name}.bn4'), f'{name}.conv5', half)
        right = w.bn(right, f'{name}.bn5').relu()
        x = shuffle(torch.cat([left, right], 1), 2)
        for unit in range(1, units):
            name = f'layer{stage}.{unit}'
            kept, out = x[:, :half], x[:, half:]
            out = w.bn(w.conv(out, f'{name}.conv1', half), f'{name}.bn1')
            out = w.conv(out.relu(), f'{name}.conv2', half, 3, 1, half)
            out = w.conv(w.bn(out, f'{name}.bn2'), f'{name}.conv3', half)
            out = w.bn(out, f'{name}.bn3').relu()
            x = shuffle(torch.cat([kept, out], 1), 2)
    return w.classify(w.bn(w.conv(x, 'conv2', 1024), 'bn2').relu(), 'linear')


def mobilenet_v1(w, x):
    x = w.bn(w.conv(x, 'model.0.0', 32, 3, 2), 'model.0.1').relu()
    widths = (64, 128, 128, 256, 256, *[512] * 6, 1024, 1024)
    for unit, channels in enumerate(widths, 1):
        stride = 2 if unit in (2, 4, 6, 12) else 1
        name = f'model.{unit}.'
        x = w.conv(x, f'{name}0', x.shape[1], 3, stride, x.shape[1])
        x = w.bn(x, f'{name}1').relu()
        x = w.bn(w.conv(x, f'{name}3', channels), f'{name}4').relu()
    return w.classify(x, 'fc')


def micro_effnet(w, x):
    def silu(x):
        return x / (1 + (-x).exp())

    def conv3(x, name, channels, stride, groups=1):
        """With stride 2, about every second row and column of an odd map."""
        out = w.conv(x, name, channels, 3, 1, groups)
        return out if stride == 1 else out[..., 1::2, 1::2]

    rows = [index * x.shape[-1] // 63 for index in range(63)]
    x = x[:, :, rows][..., rows]
    x = silu(w.bn(conv3(x, 'stem', 24, 2), 'bn0'))
    widths = (16, 24, 40, 40, 48, 64, 64, 80, 80, 96)
    for number, channels in enumerate(widths):
        name, before = f'blocks.{number}', x.shape[1]
        stride = 2 if number in (2, 7) else 1
        out = x
        if number:
            out = w.conv(x, f'{name}.expand', 6 * before)
            out = silu(w.bn(out, f'{name}.bn0'))
        middle = out.shape[1]
        out = conv3(out, f'{name}.depthwise', middle, stride, middle)
        out = silu(w.bn(out, f'{name}.bn1'))
        gate = out.mean((2, 3), keepdim=True)
        gate = w.conv(gate, f'{name}.se_reduce', before // 5, bias=True)
        gate = w.conv(silu(gate), f'{name}.se_expand', middle, bias=True)
        out = out / (1 + (-gate).exp())
        out = w.bn(w.conv(out, f'{name}.project', channels), f'{name}.bn2')
        x = x + out if number in (3, 6, 8) else out
    return w.classify(silu(w.bn(w.conv(x, 'head', 136), 'bn1')), 'fc')
