"""ConvAdaptor and LinearAdaptor against NumPy; what they refuse."""

import math

import numpy as np
import pytest
import torch

from kd_det.connectors import Connector, ConvAdaptor, LinearAdaptor
from kd_det.errors import UserError
from kd_det.registry import MODELS

N, OURS, THEIRS = 4, 3, 5
KINDS = [ConvAdaptor, LinearAdaptor]
each_kind = pytest.mark.parametrize('kind', KINDS)


def shape_of(kind, channels=OURS, count=N):
    size = (2, 3) if kind is ConvAdaptor else ()
    return (count, channels, *size)


def draw(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator) * 2 + 1


def like_of(kind, channels=THEIRS, count=N):
    """Of the teacher only channels count: NaN, and another size."""
    size = (7, 1) if kind is ConvAdaptor else ()
    return torch.full((count, channels, *size), torch.nan)


def make(kind, **kwargs):
    """One whose every parameter and buffer matters."""
    torch.manual_seed(1)
    adaptor = kind(OURS, THEIRS, **kwargs)
    for name, tensor in adaptor.state_dict().items():
        if tensor.is_floating_point() and not name.endswith('0.weight'):
            tensor.uniform_(0.5, 1.5)
    return adaptor


def block_of(adaptor):
    is_conv = isinstance(adaptor, ConvAdaptor)
    return adaptor.blocks[0] if is_conv else adaptor.block


def numpy_of(module):
    state = module.state_dict().items()
    return {name: tensor.double().numpy().copy() for name, tensor in state}


def naive(field, state, train, relu):
    """Layer, batch norm and ReLU, cell by cell."""
    x = field.detach().double().numpy()
    x = np.moveaxis(x, 1, -1)  # channels last: a row a cell
    rows = x.reshape(-1, OURS)
    weight = state['0.weight'].reshape(THEIRS, OURS)
    out = np.zeros((len(rows), THEIRS))
    for k in range(THEIRS):
        for row in range(len(rows)):
            out[row, k] = sum(rows[row, d] * weight[k, d] for d in range(OURS))
        mean = out[:, k].mean() if train else state['1.running_mean'][k]
        var = out[:, k].var() if train else state['1.running_var'][k]
        out[:, k] = (out[:, k] - mean) / np.sqrt(var + 1e-5)
        out[:, k] = out[:, k] * state['1.weight'][k] + state['1.bias'][k]
    if relu:
        out = np.maximum(out, 0)
    return np.moveaxis(out.reshape(*x.shape[:-1], THEIRS), -1, 1)


@each_kind
@pytest.mark.parametrize('train', [True, False])
@pytest.mark.parametrize('relu', [True, False])
def test_oracle(kind, train, relu):
    adaptor = make(kind, relu=relu)
    field = draw(*shape_of(kind))
    expected = naive(field, numpy_of(block_of(adaptor)), train, relu)
    assert (expected.min() < 0) != relu
    out = adaptor.train(train)(field, like_of(kind)).detach().numpy()
    np.testing.assert_allclose(out, expected, rtol=1e-4, atol=1e-5)


def test_levels_are_adapted_one_by_one():
    adaptor = ConvAdaptor([2, 3], [5, 4])
    field = draw(N, 2, 4, 4), draw(N, 3, 1, 1, seed=1)
    like = torch.zeros(N, 5, 2, 2), torch.zeros(N, 4, 1, 1)
    out = adaptor(list(field), like)
    assert [tuple(x.shape) for x in out] == [(N, 5, 4, 4), (N, 4, 1, 1)]
    for index, (level, other) in enumerate(zip(field, like)):
        alone = ConvAdaptor(adaptor.in_channels[index], other.shape[1])
        alone.blocks[0].load_state_dict(adaptor.blocks[index].state_dict())
        torch.testing.assert_close(alone(level, other), out[index])


@each_kind
def test_q7_parameters_and_begin(kind):
    torch.manual_seed(0)
    adaptor = kind(300, 200)
    weight, norm = block_of(adaptor)[0].weight, block_of(adaptor)[1]
    count = sum(p.numel() for p in adaptor.parameters())
    assert count == 300 * 200 + 2 * 200
    assert weight.std().item() == pytest.approx(math.sqrt(2 / 200), rel=0.02)
    assert (norm.weight == 1).all() and (norm.bias == 0).all()
    out = adaptor(torch.randn(4, 300, *shape_of(kind)[2:]), like_of(kind, 200))
    assert out.min() == 0


def test_s4_before_and_after_the_pooling_are_two_networks():
    conv, linear = make(ConvAdaptor), make(LinearAdaptor)
    conv.blocks[0][0].weight.data.copy_(
        linear.block[0].weight[..., None, None]
    )
    field = draw(*shape_of(ConvAdaptor))
    before = conv(field, like_of(ConvAdaptor)).mean((2, 3))
    after = linear(field.mean((2, 3)), like_of(LinearAdaptor))
    assert (before - after).abs().max() > 0.1


@each_kind
def test_is_registered_and_a_connector(kind):
    cfg = dict(type=kind.__name__, in_channels=2, out_channels=4)
    adaptor = MODELS.build(dict(cfg, _scope_='kd_det'))
    assert isinstance(adaptor, Connector)
    assert (adaptor.in_channels, adaptor.out_channels) == (2, 4)


@each_kind
def test_gradcheck(kind):
    adaptor = make(kind).double()
    leaf = draw(*shape_of(kind)).double().requires_grad_()
    names, parameters = zip(*adaptor.named_parameters())

    def value(leaf, *values):
        return torch.func.functional_call(
            adaptor, dict(zip(names, values)), (leaf, like_of(kind))
        )

    assert torch.autograd.gradcheck(value, (leaf, *parameters))


@each_kind
def test_empty_batch(kind):
    adaptor = make(kind).train()
    before = numpy_of(block_of(adaptor))
    leaf = torch.zeros(shape_of(kind, count=0), requires_grad=True)
    out = adaptor(leaf, like_of(kind, count=0))
    out.sum().backward()
    assert out.shape == shape_of(kind, THEIRS, 0)
    assert all(p.grad.abs().max() == 0 for p in adaptor.parameters())
    for name in ('1.running_mean', '1.running_var'):
        assert (numpy_of(block_of(adaptor))[name] == before[name]).all()


@each_kind
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_autocast(kind, dtype):
    adaptor, field = make(kind), draw(*shape_of(kind))
    full = adaptor(field, like_of(kind))
    with torch.autocast('cpu', dtype):
        out = adaptor(field.to(dtype), like_of(kind).to(dtype))
    torch.testing.assert_close(out.float(), full, rtol=0.05, atol=0.05)
    out.float().sum().backward()
    assert all(p.grad.isfinite().all() for p in adaptor.parameters())


@each_kind
def test_one_sample_of_one_cell(kind):
    field = draw(1, OURS, 1, 1) if kind is ConvAdaptor else draw(1, OURS)
    like = field.new_zeros(1, THEIRS, *field.shape[2:])
    with pytest.raises(UserError) as caught:
        make(kind).train()(field, like)
    message = str(caught.value)
    assert f'{kind.__name__} got a batch of one sample' in message
    assert 'drop_last=True' in message and message.count('. ') == 0
    assert make(kind).eval()(field, like).shape == like.shape
    if kind is ConvAdaptor:  # several cells are several samples
        make(kind).train()(draw(1, OURS, 2, 1), like)


@each_kind
@pytest.mark.parametrize(('ours', 'theirs'), [(4, THEIRS), (OURS, 6)])
def test_other_channels_than_it_was_built_for(kind, ours, theirs):
    with pytest.raises(UserError) as caught:
        make(kind)(draw(*shape_of(kind, ours)), like_of(kind, theirs))
    assert (
        f'{kind.__name__} was built for 3 channels of the student and 5 of '
        f'the teacher, but got the shapes {shape_of(kind, ours)} and '
    ) in str(caught.value)


@pytest.mark.parametrize(('ours', 'theirs'), [(1, 2), (3, 3), (2, 1)])
def test_other_levels_than_it_was_built_for(ours, theirs):
    field, like = draw(N, 2, 4, 4), torch.zeros(N, 5, 4, 4)
    with pytest.raises(UserError) as caught:
        ConvAdaptor([2, 2], [5, 5])([field] * ours, [like] * theirs)
    assert (
        f'built for 2 levels, but got {ours} of the student and {theirs} of '
        'the teacher; set the same number of tap points for both.'
    ) in str(caught.value)


@pytest.mark.parametrize(
    ('args', 'message'),
    [
        (dict(in_channels=0), 'in_channels=0; an integer, 1 or above'),
        (dict(out_channels=-1), 'out_channels=-1; an integer, 1 or above'),
        (dict(in_channels=[3]), 'out_channels=5; a list of integers above 0'),
        (dict(out_channels=2.0), 'in_channels=3; a list of integers above'),
        (
            dict(in_channels=[3, 0], out_channels=[5, 5]),
            'in_channels[1]=0; an integer, 1 or above',
        ),
        (
            dict(in_channels=[3], out_channels=[5, 5]),
            'in_channels=[3] has 1 levels, out_channels=[5, 5] has 2; they',
        ),
        (dict(in_channels=[], out_channels=[]), 'in_channels=[]; a list of'),
    ],
)
def test_arguments_of_the_convolution(args, message):
    with pytest.raises(UserError) as caught:
        ConvAdaptor(**{'in_channels': 3, 'out_channels': 5, **args})
    assert f'ConvAdaptor: {message}' in str(caught.value)


@pytest.mark.parametrize('name', ['in_channels', 'out_channels'])
@pytest.mark.parametrize('value', [0, [3], 2.0, None])
def test_arguments_of_the_linear_layer(name, value):
    with pytest.raises(UserError) as caught:
        LinearAdaptor(**{'in_channels': 3, 'out_channels': 5, name: value})
    assert f'LinearAdaptor: {name}={value!r}; an integer, 1 or above' in str(
        caught.value
    )
