"""Equal digests mean equal weights, of the student alone."""

import json

import torch
from torch import nn

from kd_det.engine.hooks import InitialWeightsHook
from kd_det.engine.hooks.initial_weights_hook import FILE, weights_digests


class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(2, 3)
        self.register_buffer('mean', torch.ones(3))
        self.distill = nn.ModuleDict(dict(roi=nn.Linear(2, 2)))


def test_digests_see_every_value_but_those_of_distillation():
    model = Pair()
    first = weights_digests(model)
    assert first.keys() == {'head', 'mean'}
    with torch.no_grad():
        model.distill.roi.weight += 1
    assert weights_digests(model) == first
    with torch.no_grad():
        model.head.bias[1] = torch.nextafter(
            model.head.bias[1], torch.tensor(9.0)
        )
    second = weights_digests(model)
    assert second['head'] != first['head']
    assert second['mean'] == first['mean']
    digests = {first['mean']}
    model.mean[0] = 2
    digests.add(weights_digests(model)['mean'])
    model.mean = model.mean.reshape(3, 1)
    digests.add(weights_digests(model)['mean'])
    model.mean = model.mean.double()
    digests.add(weights_digests(model)['mean'])
    assert len(digests) == 4


def test_file_is_of_before_the_first_step(make_runner, tmp_path):
    saver = dict(type='CheckpointHook', interval=1)
    hooks = [InitialWeightsHook()]
    runner = make_runner(
        checkpoint=saver, hooks=hooks, train=dict(by_epoch=True, max_epochs=2)
    )
    expected = weights_digests(runner.model)
    runner.train()
    file = tmp_path / 'run' / FILE
    assert json.loads(file.read_text()) == expected
    assert expected != weights_digests(runner.model)

    make_runner(checkpoint=saver, hooks=hooks, resume=True).train()
    assert json.loads(file.read_text()) == expected

    other = make_runner('other', hooks=hooks)  # the same seed
    other.train()
    assert json.loads((tmp_path / 'other' / FILE).read_text()) == expected
