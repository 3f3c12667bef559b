"""Errors of other packages, told as one sentence; bugs keep their trace."""

import re
import shutil
import sys

import pytest
import torch
from mmengine.registry import MODELS as ROOT
from tiny import pair_cfg, run_cfg, tiny_spec

from kd_det.api import launch
from kd_det.cli import run_tool
from kd_det.config import load_config
from kd_det.models.spec import read_spec
from kd_det.registry import MODELS


@pytest.fixture
def train(shapes, tmp_path, capsys):
    """Train by a tool that exits with 2; return what it says."""

    def run(model=None, folder=shapes, **options):
        model = model or read_spec(tiny_spec(), 'student')[0]
        path = tmp_path / 'run.py'
        run_cfg(model, folder, tmp_path / 'run').dump(path)
        options = {k.replace('__', '.'): v for k, v in options.items()}
        cfg = launch.prepare(str(path), options=options)
        capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            run_tool(lambda: launch.train(cfg))
        assert caught.value.code == 2
        said = capsys.readouterr().err
        sentences = re.findall(r'^error: .*', said, re.M)
        assert len(sentences) == 1 and 'Traceback' not in said
        return sentences[0]

    return run


def test_a_value_that_the_optimiser_does_not_take(train):
    said = train(optim_wrapper__optimizer__lr='abc')
    assert "has a SGD that cannot be built with lr='abc', " in said
    assert 'TypeError in torch.optim.sgd, line ' in said
    assert said.endswith('; correct the value.')


def test_a_depth_that_there_is_not(train, teacher):
    model = pair_cfg(teacher)
    said = train(model, model__student__backbone__depth=19)
    assert 'has a ResNet that cannot be built with depth=19, ' in said
    assert 'invalid depth 19 for resnet' in said


def test_an_assertion_without_words(train):
    """The line that asserts says what was wanted."""
    said = train(model__neck__in_channels=3)
    assert 'FPN that cannot be built' in said
    assert 'assert isinstance(in_channels, list)' in said


@pytest.mark.parametrize('workers', [0, 1])
@pytest.mark.parametrize('content', [b'no image', b''])
def test_a_damaged_image(train, shapes, tmp_path, workers, content):
    folder = tmp_path / 'damaged'
    shutil.copytree(shapes, folder)
    # the first is looked at before
    for path in sorted((folder / 'train').iterdir())[1:]:
        path.write_bytes(content)
    # else some images are looked at before, and the first is named
    elsewhere = dict(backend='local')
    said = train(
        folder=folder,
        train_dataloader__num_workers=workers,
        train_dataloader__dataset__backend_args=elsewhere,
        val_dataloader__dataset__backend_args=elsewhere,
    )
    assert 'cannot be read' in said
    if content or not workers:
        assert re.search(r"The image '.*/train/\w+\.png' cannot", said)
    else:  # the worker does not say which
        assert '`find data -type f -size 0`' in said


@pytest.mark.parametrize(
    'color_type, channels, fix',
    [
        ('grayscale', 3, "have 1 channel, but the .* takes 3; .*'color'"),
        ('color', 1, "have 3 channels, but the .* takes 1; .*'grayscale'"),
    ],
)
def test_images_of_another_number_of_channels(
    train, color_type, channels, fix
):
    model = read_spec(tiny_spec(), 'student')[0]
    if channels == 1:
        model['backbone']['in_channels'] = 1
        model['data_preprocessor'].update(
            mean=[127.0], std=[60.0], bgr_to_rgb=False
        )
    said = train(
        model,
        train_dataloader__dataset__pipeline__0__color_type=color_type,
    )
    assert re.search(fix, said)


@ROOT.register_module(name='BrokenOfTests', force=True)
class Broken(torch.nn.Module):
    """Calls a package of others with what it does not take."""

    def __init__(self):
        super().__init__()
        torch.nn.Linear('three', 4)


def test_custom_imports(tmp_path, monkeypatch, capsys):
    """From the working directory, as `python -m` finds them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, 'path', [*sys.path])
    folder = tmp_path / 'of_test_sentences'
    folder.mkdir()
    (folder / 'net.py').write_text('NAME = __name__')
    for name in ('net', 'nut'):
        module = f'of_test_sentences.{name}'
        (tmp_path / f'{name}.py').write_text(
            f'custom_imports = dict(imports=[{module!r}])\nmodel = dict()'
        )
    run_tool(lambda: load_config('net.py'))
    assert sys.modules.pop('of_test_sentences.net').NAME.endswith('.net')
    with pytest.raises(SystemExit):
        run_tool(lambda: load_config('nut.py'))
    assert capsys.readouterr().err == (
        "error: custom_imports of the config names 'of_test_sentences.nut', "
        "which cannot be imported (No module named 'of_test_sentences.nut'); "
        'correct the name, or start the tool in the folder that '
        'contains the package.\n'
    )


def test_code_of_ours_keeps_its_traceback():
    with pytest.raises(TypeError):
        run_tool(lambda: MODELS.build(dict(type='BrokenOfTests')))
    with pytest.raises(ValueError, match='no sentence'):
        run_tool(_fail)


def _fail():
    raise ValueError('no sentence')
