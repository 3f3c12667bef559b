"""A student in channels-last layout computes what it did before."""

from types import SimpleNamespace

import torch
from tiny import batch_of, build, losses_of, pair_cfg

from kd_det.engine.hooks import ChannelsLastHook

LAYOUT = dict(memory_format=torch.channels_last)


def test_only_the_layout_of_the_student_changes(teacher):
    model = build(pair_cfg(dict(teacher, exact=True)))
    before = {k: v.clone() for k, v in model.state_dict().items()}
    ChannelsLastHook().before_train(SimpleNamespace(model=model))
    for weight in model.student.parameters():
        assert weight.dim() != 4 or weight.is_contiguous(**LAYOUT)
    for weight in model.teacher.parameters():
        assert weight.is_contiguous()
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key])


def test_same_losses(teacher, shapes):
    batch = batch_of(shapes, 0, 1)
    model = build(pair_cfg(teacher))
    before = model.parse_losses(losses_of(model, batch))[1]
    model = build(pair_cfg(teacher))
    ChannelsLastHook().before_train(SimpleNamespace(model=model))
    after = model.parse_losses(losses_of(model, batch))[1]
    for key, value in before.items():
        torch.testing.assert_close(value, after[key], rtol=1e-3, atol=1e-4)
