"""What a config or an option sets takes effect in its bases, or stops."""

import textwrap

import pytest
from mmengine.config import Config

from kd_det.config import load_config
from kd_det.errors import UserError

FOLDER = """
_base_ = ['kd_det::_base_/datasets/coco_folder.py',
          'kd_det::_base_/schedules/adamw_8e.py']
model = dict(type='X')
"""
BASE = """
size = 64
steps = [dict(size=size), dict(flip=0.5)]
train_dataloader = dict(batch_size=2, dataset=dict(pipeline=steps))
test_dataloader = dict(dataset=dict(pipeline=[dict(size=2 * size)]))
model = dict(type='X')
"""


@pytest.fixture
def read(tmp_path):
    """Write files, the last one the config, and read it."""

    def run(*texts, options=None, **named):
        (tmp_path / 'base.py').write_text(textwrap.dedent(BASE))
        for name, text in named.items():
            (tmp_path / f'{name}.py').write_text(textwrap.dedent(text))
        path = tmp_path / 'run.py'
        path.write_text(''.join(textwrap.dedent(text) for text in texts))
        return load_config(str(path), options)

    return run


def sizes(cfg):
    return [
        step['size']
        for split in ('train', 'test')
        for step in cfg[f'{split}_dataloader'].dataset.pipeline
        if 'size' in step
    ]


def scales(cfg):
    return {
        step.scale
        for split in ('train', 'val', 'test')
        for step in cfg[f'{split}_dataloader'].dataset.pipeline
        if 'scale' in step
    }


@pytest.mark.parametrize('base', ['coco_folder', 'coco_folder_augmented'])
def test_image_scale(read, base):
    text = FOLDER.replace('coco_folder', base)
    assert scales(read(text)) == {(256, 192)}
    assert scales(read(text, 'image_scale = (320, 240)')) == {(320, 240)}
    options = dict(image_scale=[320, 240])
    assert scales(read(text, options=options)) == {(320, 240)}


def test_image_scale_that_the_child_uses_too(read):
    """Our bases are told in any case: train and test keep one size."""
    own = """
    image_scale = (320, 240)
    train_pipeline = [dict(type='Resize', scale=image_scale)]
    train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
    """
    cfg = read(FOLDER, own)
    assert scales(cfg) == {(320, 240)}
    assert len(cfg.train_dataloader.dataset.pipeline) == 1


def test_image_size_of_classifiers(read):
    text = """
    _base_ = 'kd_det::_base_/datasets/image_folder.py'
    model = dict(type='X')
    image_size = 56
    """
    cfg = read(text)
    found = [
        step[key]
        for split in ('train', 'test')
        for step in cfg[f'{split}_dataloader'].dataset.pipeline
        for key in ('scale', 'crop_size')
        if key in step
    ]
    assert found == [56, 64, 56]


@pytest.mark.parametrize('name', ['max_epochs', 'train_cfg.max_epochs'])
def test_length_of_the_training(read, name):
    """The cosine has no length of its own: it ends with the run."""
    cfg = read(FOLDER, options={name: 3})
    assert cfg.train_cfg.max_epochs == 3
    assert 'T_max' not in cfg.param_scheduler[1]
    assert read(FOLDER, 'max_epochs = 4').train_cfg.val_interval == 4


def test_type_and_pipeline_of_the_data(read):
    own = """
    dataset_type = 'CityscapesDataset'
    train_pipeline = [dict(type='LoadImageFromFile')]
    """
    cfg = read(FOLDER, own)
    for split in ('train', 'val', 'test'):
        dataset = cfg[f'{split}_dataloader'].dataset
        assert dataset.type == 'CityscapesDataset'
        assert (len(dataset.pipeline) == 1) == (split == 'train')


@pytest.mark.parametrize(
    'text',
    [
        'size = 96',
        'size: int = 96',
        '_base_.size = 96',
        'size = _base_.size + 32',
        'steps = [dict(size=96)]\n_base_["size"] = 96',
    ],
)
def test_every_way_to_set_it(read, text):
    assert sizes(read("_base_ = './base.py'\n", text)) == [96, 192]


def test_through_several_files(read):
    middle = "_base_ = './base.py'\nsize = 128\nsteps = [dict(size=size)]"
    cfg = read("_base_ = './middle.py'", middle=middle)
    assert sizes(cfg) == [128, 128]  # `middle` reads the size, not the steps
    cfg = read("_base_ = './middle.py'\nsize = 32", middle=middle)
    assert sizes(cfg) == [32, 64]


def test_what_a_base_derives(read):
    text = """
    _base_ = './base.py'
    val_dataloader = dict(
        dataset=dict(pipeline=[dict(size=_base_.size)]))
    train_dataloader = dict(dataset=dict(pipeline={{_base_.steps}}))
    """
    cfg = read("_base_ = './middle.py'\nsize = 32", middle=text)
    assert sizes(cfg) == [32, 64]
    assert cfg.val_dataloader.dataset.pipeline[0]['size'] == 32


def test_options_on_a_variable_of_the_file_itself(read):
    cfg = read(BASE, options={'size': 16})
    assert sizes(cfg) == [16, 32]
    cfg = read(BASE, options={'steps.0.size': 16})
    assert sizes(cfg) == [16, 128]
    cfg = read(
        BASE, options={'size': 16, 'train_dataloader.dataset.pipeline': []}
    )
    assert sizes(cfg) == [32]


def test_nothing_else_is_changed(read, tmp_path):
    cfg = read("_base_ = './base.py'\nsize = 96\nwork_dir = 'x'")
    stock = Config.fromfile(str(tmp_path / 'run.py'))
    assert sizes(stock) == [64, 128]
    assert {k: v for k, v in cfg.items() if 'dataloader' not in k} == {
        k: v for k, v in stock.items() if 'dataloader' not in k
    } | dict(steps=[dict(size=96), dict(flip=0.5)])


def test_a_config_of_mmdetection_stays(read):
    """Its files read their variables themselves."""
    name = 'mmdet::yolox/yolox_tiny_8xb8-300e_coco.py'
    cfg = read(f'_base_ = {name!r}')
    stock = Config.fromfile(cfg.filename)
    assert cfg.to_dict() == stock.to_dict()


def refused(read, message, *texts, **kwargs):
    with pytest.raises(UserError, match=message) as caught:
        read(*texts, **kwargs)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('train_dataloder = dict()', "'train_dataloder', .*'train_dataloader"),
        ('siz = 96', "it sets 'siz', which nothing reads; .* mean 'size'"),
        ('num_classes = 3', "'num_classes', .*; write classes"),
        ('batch_size = 3', 'write train_dataloader.batch_size in its place'),
        ('optimizer = dict(lr=1)', 'write optim_wrapper.optimizer in its'),
        ('qqqq = 3', "'qqqq', which nothing reads; .* call it _qqqq"),
        ('_base_.qqqq = 3', "'qqqq', which nothing reads"),
    ],
)
def test_a_name_that_nothing_reads(read, text, message):
    refused(read, message, "_base_ = './base.py'\n", text)
    refused(
        read,
        f'its base .*middle.py.*{message.removeprefix("it sets ")}',
        "_base_ = './middle.py'",
        middle=f"_base_ = './base.py'\n{text}",
    )


@pytest.mark.parametrize(
    'text',
    [
        '_note = 3',
        'gone = 3\ndel gone',
        'import os',
        'def f():\n    inner = 3',
        'for i in range(3):\n    model = dict(type="X")',
        'many = [many for many in (1, 2)]\nwork_dir = f"{many}"',
        'compile = True',
        'tta_model = dict(type="DetTTAModel")',
        'custom_imports = dict(imports=[])\nfor_my_hook = 3',
    ],
)
def test_names_that_are_no_matter(read, text):
    read("_base_ = './base.py'\n", text)


def test_misspelt_beside_custom_imports(read):
    text = 'custom_imports = dict(imports=[])\nparam_schedulers = []'
    refused(read, "'param_schedulers', .* mean 'param_scheduler'", BASE, text)


@pytest.mark.parametrize(
    'text',
    [
        'steps = _base_.steps\nsteps.append(dict(blur=1))',
        '_base_.steps[0].size = 96',
        '_base_.steps.insert(0, dict(blur=1))',
        'size, other = 3, 4\nwork_dir = other',
        'if True:\n    size = 3',
    ],
)
def test_a_change_that_comes_too_late(read, text):
    message = r"it changes '\w+' after a base has used it.*write `\w+ = …`"
    refused(read, message, "_base_ = './base.py'\n", text)


def test_the_way_of_mmengine_to_change_a_pipeline(read):
    text = """
    _base_ = './base.py'
    steps = _base_.steps
    steps.append(dict(blur=1))
    train_dataloader = dict(dataset=dict(pipeline=steps))
    """
    pipeline = read(text).train_dataloader.dataset.pipeline
    assert pipeline == [dict(size=64), dict(flip=0.5), dict(blur=1)]


def test_a_config_that_was_written_by_a_run(read, tmp_path):
    """It holds variables, and nothing reads them any more."""
    read(BASE, 'size = 32').dump(tmp_path / 'dump.py')
    path = str(tmp_path / 'dump.py')
    assert sizes(load_config(path)) == [64, 128]
    with pytest.raises(UserError, match="no 'size' that anything reads"):
        load_config(path, dict(size=96))
    child = "_base_ = './dump.py'\nsize = 16"
    refused(read, "sets 'size', which nothing reads", child)


def test_a_config_that_imports_its_bases(read):
    """Python has made the base by then: what is set again is refused."""
    head = """
    from mmengine.config import read_base
    with read_base():
        from .base import *
    """
    assert sizes(read(head)) == [64, 128]
    refused(read, "'size', which nothing reads", head, 'size = 96')
    own = 'size = 96\ntest_dataloader.dataset.pipeline = [dict(size=size)]'
    assert sizes(read(head, own)) == [64, 96]
    refused(read, "no 'size' that", head, options=dict(size=96))


def test_other_formats(tmp_path):
    (tmp_path / 'run.yaml').write_text('model: {type: X}\nsize: 3')
    assert load_config(str(tmp_path / 'run.yaml')).size == 3
    with pytest.raises(UserError, match="no 'size' that anything reads"):
        load_config(str(tmp_path / 'run.yaml'), dict(size=96))


def test_the_config_of_a_student(tmp_path):
    """It is read in the same way."""
    from kd_det.models.spec import read_spec

    (tmp_path / 'net.py').write_text(
        'width = 8\nmodel = dict(type="X", neck=dict(out_channels=width))'
    )
    path = tmp_path / 'student.py'
    path.write_text("_base_ = './net.py'\nwidth = 16")
    model, _ = read_spec(dict(cfg=str(path)), 'student')
    assert model.neck.out_channels == 16
    path.write_text("_base_ = './net.py'\nwdth = 16")
    message = "The student config '.*': it sets 'wdth', .* mean 'width'"
    with pytest.raises(UserError, match=message):
        read_spec(dict(cfg=str(path)), 'student')


def test_a_pipeline_changed_in_place_and_handed_on(tmp_path):
    """MMEngine's way of changing a step; its value is read by the file."""
    (tmp_path / 'child.py').write_text(
        "_base_ = 'kd_det::detection/baseline_frcnn_lite0_slim_folder.py'\n"
        'train_pipeline = _base_.train_pipeline\n'
        "train_pipeline[2]['scale'] = (64, 48)\n"
        'train_dataloader = dict(dataset=dict(pipeline=train_pipeline))\n'
    )
    cfg = load_config(str(tmp_path / 'child.py'))
    assert cfg.train_dataloader.dataset.pipeline[2].scale == (64, 48)
    assert cfg.val_dataloader.dataset.pipeline[1].scale != (64, 48)
