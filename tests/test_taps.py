"""A tap records during one forward and leaves nothing behind."""

import re

import pytest
import torch
from tiny import open_hooks
from torch import nn

from kd_det.errors import UserError
from kd_det.taps import FeatureTap, find_module


@pytest.fixture
def net():
    return nn.Sequential(
        nn.Linear(3, 4), nn.Sequential(nn.ReLU(), nn.Linear(4, 2))
    )


def test_records_inputs_and_outputs(net):
    points = {'hidden': '0', 'raw': '0:input', 'last': '1.1:output'}
    x = torch.randn(5, 3)
    with FeatureTap(net, points) as records:
        out = net(x)
    assert set(records) == set(points)
    (args,) = records['raw']
    assert args[0] is x
    assert torch.equal(records['hidden'][0], net[0](x))
    assert records['last'][0] is out  # the very tensor, with its graph
    assert out.requires_grad


def test_one_entry_a_call_in_order(net):
    inputs = [torch.full((1, 3), float(i)) for i in range(3)]
    with FeatureTap(net, {'raw': '0:input'}) as records:
        for x in inputs:
            net(x)
    assert [args[0] for args in records['raw']] == inputs


def test_two_points_on_one_module(net):
    with FeatureTap(net, {'a': '0', 'b': '0', 'c': '0:input'}) as records:
        net(torch.randn(1, 3))
    assert [len(entries) for entries in records.values()] == [1, 1, 1]


def test_no_hook_is_left(net):
    tap = FeatureTap(net, {'a': '0', 'b': '1.0:input'})
    assert open_hooks(net) == 0
    with tap as records:
        assert open_hooks(net) == 2
        net(torch.randn(1, 3))
    assert open_hooks(net) == 0
    net(torch.randn(1, 3))
    assert len(records['a']) == 1


def test_no_hook_is_left_after_an_exception(net):
    tap = FeatureTap(net, {'a': '0', 'b': '1.0:input'})
    with pytest.raises(RuntimeError), tap:
        net(torch.randn(1, 7))
    assert open_hooks(net) == 0
    with tap as records:  # and it can be opened again
        net(torch.randn(1, 3))
    assert len(records['a']) == 1


def test_other_hooks_stay(net):
    net[0].register_forward_hook(lambda *_: None)
    with FeatureTap(net, {'a': '0'}):
        pass
    assert open_hooks(net) == 1


def test_wrong_path_names_the_nearest(net):
    with pytest.raises(UserError, match=r"no submodule '1\.2'; did you mean"):
        FeatureTap(net, {'a': '1.2'})
    with pytest.raises(UserError, match="no submodule 'backbone'"):
        find_module(net, 'backbone')


def test_wrong_path_says_what_is_there():
    """Not 'did you mean backbone?': that is where the path begins."""
    stages = nn.ModuleDict(dict(stem=nn.ReLU(), blocks=nn.Sequential()))
    net = nn.ModuleDict(dict(backbone=stages, head=nn.ReLU()))
    with pytest.raises(UserError) as caught:
        find_module(net, 'backbone.layer3')
    text = str(caught.value)
    assert "backbone, a ModuleDict, has 'stem', 'blocks'." in text
    assert "did you mean 'backbone'" not in text
    with pytest.raises(UserError, match="it, a ModuleDict, has 'backbone', "):
        find_module(net, 'zzz')
    many = nn.Sequential(*[nn.ReLU() for _ in range(30)])
    with pytest.raises(UserError, match="'11', …"):
        find_module(many, '30')
    with pytest.raises(UserError, match='head, a ReLU, has none'):
        find_module(net, 'head.fc')


def test_wrong_side(net):
    with pytest.raises(UserError, match="ends in 'inputs'; use"):
        FeatureTap(net, {'a': '0:inputs'})


class Shared(nn.Module):
    """One in-place ReLU called twice, as in the blocks of mmdet's ResNet."""

    def __init__(self):
        super().__init__()
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        return self.relu(self.relu(x + 0.0) - 1.0)


def test_input_of_an_in_place_module_is_what_went_in():
    net = Shared()
    x = torch.tensor([-1.0, 0.5, 3.0])
    points = {'last': 'relu:input[-1]', 'first': 'relu[0]', 'all': 'relu'}
    with FeatureTap(net, points) as records:
        out = net(x)
    assert out.tolist() == [0, 0, 2]
    ((before,),) = records['last']
    assert before.tolist() == [-1, -0.5, 2]
    assert len(records['first']) == 1 and len(records['all']) == 2


def test_a_call_that_did_not_happen():
    net = Shared()
    with pytest.raises(UserError, match=r'call \[2\] of a ReLU .* 2 times'):
        with FeatureTap(net, {'third': 'relu[2]'}):
            net(torch.zeros(1))


@pytest.mark.parametrize('point', ['relu[x]', 'relu[1', 'relu[]'])
def test_bad_call(point):
    with pytest.raises(UserError, match=r'use \[-1\] for the last'):
        FeatureTap(Shared(), {'a': point})


class Residual(nn.Module):
    """A norm before an in-place ReLU and a sum in place, as mmdet's blocks."""

    def __init__(self):
        super().__init__()
        self.bn1, self.bn2 = nn.BatchNorm1d(2), nn.BatchNorm1d(2)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        out = self.bn2(self.relu(self.bn1(x)))
        out += x
        return {'out': [out]}


@pytest.mark.parametrize('point', ['bn1', 'bn2', 'bn2[-1]', 'bn1:output'])
@pytest.mark.parametrize('grad', [True, False])
def test_what_is_changed_in_place_afterwards(point, grad):
    net = Residual().eval()
    sentence = rf'{re.escape(repr(point))} was changed in place'
    with torch.set_grad_enabled(grad):
        with pytest.raises(UserError, match=sentence) as caught:
            with FeatureTap(net, {'a': point}):
                net(torch.randn(4, 2))
    assert '\n' not in str(caught.value)
    assert open_hooks(net) == 0


def test_a_change_within_a_record():
    net = Residual()
    tap = FeatureTap(net, {'all': ''})
    with pytest.raises(UserError, match='changed in place'), tap as records:
        net(torch.randn(4, 2))['out'][0].zero_()
    points = {
        'before': 'relu:input',
        'after': 'relu',
        'all': '',
        'x': ':input',
    }
    with FeatureTap(net, points) as records:  # the same, without the change
        out = net(torch.randn(4, 2))
    assert records['all'][0] is out
    ((before,),) = records['before']
    assert before.min() < 0 <= records['after'][0].min()
    with torch.inference_mode(), FeatureTap(net, points) as records:
        net(torch.randn(4, 2))
    assert len(records['after']) == 1
