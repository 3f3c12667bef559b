"""EmbeddingAdaptor against NumPy; what it refuses."""

import copy

import numpy as np
import pytest
import torch

from kd_det.connectors import Connector, EmbeddingAdaptor
from kd_det.errors import UserError
from kd_det.registry import MODELS

N, OURS, THEIRS = 6, 3, 5
LIKE = torch.zeros(N, THEIRS)


@pytest.fixture
def field():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(N, OURS, generator=generator) * 2 + 1


@pytest.fixture
def adaptor():
    """One whose every parameter and buffer matters."""
    torch.manual_seed(1)
    adaptor = EmbeddingAdaptor(OURS, THEIRS, dropout=0.0)
    for tensor in adaptor.state_dict().values():
        if tensor.is_floating_point():
            tensor.uniform_(0.5, 1.5)
    return adaptor


def numpy_of(module):
    state = module.state_dict().items()
    return {name: tensor.double().numpy().copy() for name, tensor in state}


def naive(field, state, train):
    """Batch norm and linear layer, number by number."""
    x = field.detach().double().numpy()
    out = np.zeros((len(x), THEIRS))
    for d in range(OURS):
        mean = x[:, d].mean() if train else state['norm.running_mean'][d]
        var = x[:, d].var() if train else state['norm.running_var'][d]
        normed = (x[:, d] - mean) / np.sqrt(var + 1e-5)
        normed = normed * state['norm.weight'][d] + state['norm.bias'][d]
        for k in range(THEIRS):
            out[:, k] += normed * state['linear.weight'][k, d]
    return out + state['linear.bias']


@pytest.mark.parametrize('train', [True, False])
def test_oracle(field, adaptor, train):
    expected = naive(field, numpy_of(adaptor), train)
    out = adaptor.train(train)(field, LIKE)
    np.testing.assert_allclose(out.detach().numpy(), expected, rtol=1e-4)
    assert out.shape == LIKE.shape


def test_order_of_its_layers(field):
    """Dropout lies between: it zeroes what is normalised, not the output."""
    adaptor = EmbeddingAdaptor(OURS, THEIRS, dropout=0.999999)
    torch.nn.init.ones_(adaptor.norm.bias)  # what would be left before it
    out = adaptor.train()(field, LIKE)
    bias = adaptor.linear.bias.expand(N, -1)
    torch.testing.assert_close(out, bias, rtol=0, atol=0)


def test_default_is_a_half_in_training_alone(field):
    torch.manual_seed(0)
    adaptor = EmbeddingAdaptor(OURS, THEIRS)
    assert adaptor.dropout.p == 0.5
    assert not torch.equal(adaptor(field, LIKE), adaptor(field, LIKE))
    adaptor.eval()
    assert torch.equal(adaptor(field, LIKE), adaptor(field, LIKE))


def test_its_dropout_draws_numbers_of_its_own(field):
    """The process's stay; a checkpoint keeps where its own stand."""
    adaptor = EmbeddingAdaptor(OURS, THEIRS)
    adaptor(field, LIKE)
    state = copy.deepcopy(adaptor.state_dict())
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    first, second = adaptor(field, LIKE), adaptor(field, LIKE)
    assert torch.equal(torch.rand(3), expected)
    assert not torch.equal(first, second)
    resumed = EmbeddingAdaptor(OURS, THEIRS)
    resumed.load_state_dict(state)
    assert torch.equal(resumed(field, LIKE), first)
    assert torch.equal(resumed(field, LIKE), second)


def test_is_registered_and_a_connector():
    cfg = dict(type='EmbeddingAdaptor', in_channels=2, out_channels=4)
    adaptor = MODELS.build(dict(cfg, _scope_='kd_det'))
    assert isinstance(adaptor, Connector)
    assert (adaptor.in_channels, adaptor.out_channels) == (2, 4)


def test_of_the_teacher_only_the_shape_counts(field, adaptor):
    nonsense = torch.full((N, THEIRS), torch.nan)
    assert torch.equal(adaptor(field, nonsense), adaptor(field, LIKE))


def test_gradcheck(field, adaptor):
    adaptor.double()
    leaf = field.double().requires_grad_()
    names, parameters = zip(*adaptor.named_parameters())

    def value(leaf, *values):
        return torch.func.functional_call(
            adaptor, dict(zip(names, values)), (leaf, LIKE)
        )

    assert torch.autograd.gradcheck(value, (leaf, *parameters))


def test_empty_batch(adaptor):
    before = numpy_of(adaptor)
    leaf = torch.zeros(0, OURS, requires_grad=True)
    out = adaptor.train()(leaf, LIKE[:0])
    out.sum().backward()
    assert out.shape == (0, THEIRS)
    assert all(p.grad.abs().max() == 0 for p in adaptor.parameters())
    for name in ('norm.running_mean', 'norm.running_var'):
        assert (numpy_of(adaptor)[name] == before[name]).all()


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_autocast(field, adaptor, dtype):
    full = adaptor(field, LIKE)
    with torch.autocast('cpu', dtype):
        out = adaptor(field.to(dtype), LIKE.to(dtype))
    torch.testing.assert_close(out.float(), full, rtol=0.05, atol=0.05)
    out.float().sum().backward()
    assert all(p.grad.isfinite().all() for p in adaptor.parameters())


def test_one_sample(field, adaptor):
    with pytest.raises(UserError) as caught:
        adaptor.train()(field[:1], LIKE[:1])
    message = str(caught.value)
    assert (
        'EmbeddingAdaptor got a batch of one sample, shape (1, 3)' in message
    )
    assert 'drop_last=True' in message and message.count('. ') == 0
    assert adaptor.eval()(field[:1], LIKE[:1]).shape == (1, THEIRS)


@pytest.mark.parametrize(
    ('ours', 'theirs'),
    [((N, 4), (N, 5)), ((N, 3), (N, 6)), ((N, 3), (N, 5, 1, 1))],
)
def test_other_shapes_than_it_was_built_for(adaptor, ours, theirs):
    with pytest.raises(UserError) as caught:
        adaptor(torch.zeros(ours), torch.zeros(theirs))
    assert (
        'EmbeddingAdaptor was built for 3 channels of the student and 5 of '
        f'the teacher, but got the shapes {ours} and {theirs}; correct'
    ) in str(caught.value)


@pytest.mark.parametrize(
    ('args', 'message'),
    [
        (dict(in_channels=0), 'in_channels=0; an integer, 1 or above'),
        (dict(in_channels=[3]), 'in_channels=[3]; an integer, 1 or above'),
        (dict(out_channels=2.0), 'out_channels=2.0; an integer, 1 or above'),
        (dict(dropout=1.0), 'dropout=1.0; a number in [0, 1)'),
        (dict(dropout=-0.1), 'dropout=-0.1; a number in [0, 1)'),
        (dict(dropout='0.5'), "dropout='0.5'; a number in [0, 1)"),
        (dict(dropout=float('nan')), 'dropout=nan; a number in'),
    ],
)
def test_arguments_are_checked_at_the_build(args, message):
    with pytest.raises(UserError) as caught:
        EmbeddingAdaptor(**{'in_channels': 3, 'out_channels': 5, **args})
    assert f'EmbeddingAdaptor: {message}' in str(caught.value)


def test_the_base_has_no_map():
    with pytest.raises(NotImplementedError):
        Connector(3, 5)(torch.zeros(2, 3), LIKE)
