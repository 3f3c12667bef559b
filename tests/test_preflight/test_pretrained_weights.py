"""Pretrained weights that do not fit stop the run; lacking ones are named."""

from types import SimpleNamespace

import pytest
import torch
from mmengine.runner.checkpoint import get_state_dict
from tiny import build, pair_cfg

from kd_det.checkpoint import use_safe_loading
from kd_det.errors import UserError
from kd_det.preflight.pretrained_weights import check_pretrained


@pytest.fixture
def pair(teacher, tmp_path):
    """A pair whose student's backbone names weights, and the two files."""
    use_safe_loading()
    path = tmp_path / 'backbone.pth'
    model = build(pair_cfg(teacher))
    init_cfg = dict(type='Pretrained', checkpoint=str(path))
    model.student.backbone.init_cfg = init_cfg
    return model, path


def warnings(model, **cfg) -> list[str]:
    lines = []
    check_pretrained(
        SimpleNamespace(
            cfg=cfg,
            model=model,
            logger=SimpleNamespace(warning=lines.append),
        )
    )
    return lines


def weights(model, change=lambda state: None) -> dict:
    state = dict(get_state_dict(model.student.backbone))
    change(state)
    return state


def test_what_fits_says_nothing(pair):
    model, path = pair
    torch.save(weights(model, lambda s: s.update(fc=torch.ones(1))), path)
    assert warnings(model) == []


def test_a_weight_of_another_shape(pair):
    model, path = pair
    wrong = {'conv1.weight': torch.ones(3, 3)}
    torch.save(weights(model, lambda s: s.update(wrong)), path)
    with pytest.raises(UserError, match="'conv1.weight' is .3, 3. in the f"):
        check_pretrained(SimpleNamespace(cfg={}, model=model, logger=None))


def test_no_weight_at_all(pair):
    model, path = pair
    state = {f'net.{key}': value for key, value in weights(model).items()}
    torch.save(state, path)
    with pytest.raises(UserError, match="none of the .* 'conv1.weight'"):
        warnings(model)
    model.student.backbone.init_cfg['prefix'] = 'net'
    assert warnings(model) == []


def test_lacking_weights_are_named(pair):
    model, path = pair
    torch.save(weights(model, lambda s: s.pop('conv1.weight')), path)
    (line,) = warnings(model)
    assert 'lack 1 weight of ResNet (conv1.weight), which are init' in line


@pytest.mark.parametrize('key', ['resume', 'load_from'])
def test_a_checkpoint_comes_after_it(pair, key):
    model, path = pair
    torch.save({'x': torch.ones(1)}, path)
    assert warnings(model, **{key: 'epoch_1.pth'}) == []
