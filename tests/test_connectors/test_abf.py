"""ABFConnector against loops over every number; what it refuses."""

import math

import numpy as np
import pytest
import torch

from kd_det.connectors import ABFConnector
from kd_det.errors import UserError
from kd_det.losses import ReviewKDLoss
from kd_det.registry import MODELS

N = 2
# student: channels and size, shallow to deep; teacher the same
CASES = {
    'same sizes': ([(2, 8, 8), (3, 4, 4), (4, 2, 2)], [5, 6, 7], None),
    'classification': (
        [(2, 7, 7), (3, 4, 4), (4, 1, 1)],
        [5, 6, 7],
        [(8, 8), (4, 4), (1, 1)],
    ),
    'not square, up and down': (
        [(2, 6, 9), (3, 5, 4), (4, 3, 2)],
        [2, 3, 4],
        [(4, 5), (7, 9), (2, 3)],
    ),
    'one level': ([(3, 4, 5)], [2], [(3, 3)]),
    'pyramid': (
        [(3, 8, 10), (3, 4, 5), (3, 2, 3), (3, 1, 2), (3, 1, 1)],
        [3] * 5,
        None,
    ),
}


def case(name, mid=2, dtype=torch.float64):
    """Return a connector with random parameters, the maps, the likes."""
    ours, theirs, sizes = CASES[name]
    torch.manual_seed(0)
    connector = ABFConnector([c for c, *_ in ours], theirs, mid).to(dtype)
    for tensor in connector.state_dict().values():
        if tensor.ndim == 1:  # batch norm and the biases of the gates
            tensor.uniform_(0.5, 1.5)
    field = tuple(torch.randn(N, *shape, dtype=dtype) for shape in ours)
    sizes = sizes or [size for _, *size in ours]
    like = tuple(
        torch.zeros(N, channels, *size, dtype=dtype)
        for channels, size in zip(theirs, sizes)
    )
    return connector, field, like


def convolve(x, weight, bias=None):
    """Cross-correlation with zero padding that keeps the size."""
    n, _, height, width = x.shape
    out = np.zeros((n, len(weight), height, width))
    pad = weight.shape[-1] // 2
    for i in range(height):
        for j in range(width):
            for a in range(weight.shape[2]):
                for b in range(weight.shape[3]):
                    row, column = i + a - pad, j + b - pad
                    if 0 <= row < height and 0 <= column < width:
                        part = x[:, :, row, column]
                        out[:, :, i, j] += part @ weight[:, :, a, b].T
    return out if bias is None else out + bias[None, :, None, None]


def normalise(x, state, name, train):
    out = np.zeros_like(x)
    for c in range(x.shape[1]):
        mean, var = x[:, c].mean(), x[:, c].var()
        if not train:
            mean = state[f'{name}.running_mean'][c]
            var = state[f'{name}.running_var'][c]
        out[:, c] = (x[:, c] - mean) / math.sqrt(var + 1e-5)
        out[:, c] *= state[f'{name}.weight'][c]
        out[:, c] += state[f'{name}.bias'][c]
    return out


def resize(x, size):
    out = np.zeros((*x.shape[:2], *size))
    for i in range(size[0]):
        for j in range(size[1]):
            row = i * x.shape[2] // size[0]
            column = j * x.shape[3] // size[1]
            out[:, :, i, j] = x[:, :, row, column]
    return out


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def naive(state, field, like, train):
    """The levels one by one, from the deepest, in NumPy."""
    out, passed = {}, None
    for level in range(len(field) - 1, -1, -1):
        name = f'blocks.{level}'
        x = convolve(field[level].numpy(), state[f'{name}.reduce.weight'])
        x = normalise(x, state, f'{name}.reduce_norm', train)
        if passed is not None:
            passed = resize(passed, x.shape[2:])
            gates = sigmoid(
                convolve(
                    np.concatenate([x, passed], 1),
                    state[f'{name}.attention.weight'],
                    state[f'{name}.attention.bias'],
                )
            )
            for c in range(x.shape[1]):
                x[:, c] = x[:, c] * gates[:, 0] + passed[:, c] * gates[:, 1]
        passed = resize(x, like[level].shape[2:])
        x = convolve(passed, state[f'{name}.expand.weight'])
        out[level] = normalise(x, state, f'{name}.expand_norm', train)
    return [out[level] for level in range(len(field))]


@pytest.mark.parametrize('train', [True, False], ids=['train', 'eval'])
@pytest.mark.parametrize('name', CASES)
def test_oracle(name, train):
    connector, field, like = case(name)
    state = connector.state_dict().items()
    state = {key: value.numpy().copy() for key, value in state}
    expected = naive(state, field, like, train)
    out = connector.train(train)(field, like)
    assert isinstance(out, tuple) and len(out) == len(like)
    for ours, wanted, target in zip(out, expected, like):
        assert ours.shape == target.shape
        np.testing.assert_allclose(ours.detach().numpy(), wanted, atol=1e-10)


def test_a_level_sees_itself_and_the_deeper_ones():
    connector, field, like = case('same sizes')
    field = [level.requires_grad_() for level in field]
    out = connector.eval()(field, like)
    for i, level in enumerate(out):
        grads = torch.autograd.grad(
            level.sum(), field, retain_graph=True, allow_unused=True
        )
        seen = [grad is not None and bool(grad.any()) for grad in grads]
        assert seen == [j >= i for j in range(len(field))]


def test_of_the_teacher_only_the_shapes_count():
    connector, field, like = case('classification')
    nonsense = [torch.full_like(level, torch.nan) for level in like]
    for one, other in zip(connector(field, like), connector(field, nonsense)):
        assert torch.equal(one, other)


def test_middle_width():
    def middle(in_channels, **kwargs):
        connector = ABFConnector(in_channels, in_channels, **kwargs)
        widths = {block.reduce.out_channels for block in connector.blocks}
        (width,) = widths
        return width

    assert middle([4, 8, 16]) == 16  # of the deepest level
    assert middle([8, 1024]) == 512
    assert middle([256] * 5) == 256  # a feature pyramid
    assert middle([8, 1024], mid_channels=256) == 256


def test_initial_weights():
    connector = ABFConnector([64, 64], [64, 64])
    for block in connector.blocks:
        for conv in (block.reduce, block.expand):
            assert conv.bias is None
            # uniform in +-sqrt(3 / fan_in), Kaiming's with slope 1
            bound = math.sqrt(3 / conv.weight[0].numel())
            assert 0.9 * bound < conv.weight.abs().max() <= bound
    assert connector.blocks[0].attention.bias is not None
    assert connector.blocks[1].attention is None


def test_is_registered():
    cfg = dict(type='ABFConnector', in_channels=[2, 3], out_channels=[4, 5])
    assert isinstance(MODELS.build(dict(cfg, _scope_='kd_det')), ABFConnector)


def test_every_parameter_is_trained():
    """None is idle, which would stop several processes."""
    connector, field, like = case('classification')
    teacher = [torch.randn_like(level) for level in like]
    ReviewKDLoss()(connector(field, like), teacher).backward()
    assert all(p.grad is not None for p in connector.parameters())
    moved = [bool(p.grad.any()) for p in connector.parameters()]
    assert all(moved)


def test_gradcheck():
    connector, field, like = case('not square, up and down')
    names, parameters = zip(*connector.named_parameters())
    field = [level.requires_grad_() for level in field]

    def value(*tensors):
        maps, values = tensors[: len(field)], tensors[len(field) :]
        return torch.func.functional_call(
            connector, dict(zip(names, values)), (maps, like)
        )

    # in a random direction: the full Jacobian takes seconds
    assert torch.autograd.gradcheck(
        value, (*field, *parameters), fast_mode=True
    )


def test_empty_batch():
    connector, field, like = case('classification')
    before = connector.blocks[0].reduce_norm.running_var.clone()
    field = [level[:0].requires_grad_() for level in field]
    out = connector(field, [level[:0] for level in like])
    sum(level.sum() for level in out).backward()
    assert [len(level) for level in out] == [0, 0, 0]
    assert all(p.grad.abs().max() == 0 for p in connector.parameters())
    assert torch.equal(connector.blocks[0].reduce_norm.running_var, before)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_autocast(dtype):
    connector, field, like = case('classification', dtype=torch.float32)
    full = connector(field, like)
    with torch.autocast('cpu', dtype):
        out = connector([level.to(dtype) for level in field], like)
    for one, other in zip(out, full):
        torch.testing.assert_close(one.float(), other, rtol=0.1, atol=0.1)
    ReviewKDLoss()(out, like).backward()
    assert all(p.grad.isfinite().all() for p in connector.parameters())


def test_one_pixel_to_train_on():
    connector, field, like = case('classification')
    field, like = [x[:1] for x in field], [x[:1] for x in like]
    with pytest.raises(UserError) as caught:
        connector(field, like)
    message = str(caught.value)
    assert 'ABFConnector got a batch of one sample, shape (1, 4, 1, 1)' in (
        message
    )
    assert 'drop_last=True' in message and message.count('. ') == 0
    assert len(connector.eval()(field, like)) == 3
    connector, field, like = case('same sizes')  # more pixels are enough
    connector([x[:1] for x in field], [x[:1] for x in like])


def test_other_levels_than_it_was_built_for():
    connector, field, like = case('same sizes')
    for ours, theirs in ((field[1:], like), (field, like[1:])):
        with pytest.raises(UserError) as caught:
            connector(ours, theirs)
        assert (
            f'built for 3 levels, but got {len(ours)} of the student and '
            f'{len(theirs)} of the teacher'
        ) in str(caught.value)


def test_other_channels_than_it_was_built_for():
    connector, field, like = case('same sizes')
    wrong = [*field[:1], torch.zeros(N, 9, 4, 4), *field[2:]]
    with pytest.raises(UserError) as caught:
        connector(wrong, like)
    assert (
        'ABFConnector was built for 3 channels of the student and 6 of the '
        'teacher, but got the shapes (2, 9, 4, 4) and (2, 6, 4, 4); correct'
    ) in str(caught.value)
    with pytest.raises(UserError, match='and 6 of the teacher'):
        connector(field, [like[0], torch.zeros(N, 5, 4, 4), like[2]])


@pytest.mark.parametrize(
    ('args', 'message'),
    [
        (dict(in_channels=3), 'in_channels=3; a list of integers above 0'),
        (dict(out_channels=None), 'out_channels=None; a list of integers'),
        (dict(in_channels=[]), 'in_channels=[]; a list of integers'),
        (dict(in_channels=[2, 0]), 'in_channels[1]=0; an integer, 1 or above'),
        (dict(out_channels=[2.0, 3]), 'out_channels[0]=2.0; an integer'),
        (
            dict(out_channels=[4, 5, 6]),
            'in_channels=[2, 3] has 2 levels, out_channels=[4, 5, 6] has 3',
        ),
        (dict(mid_channels=0), 'mid_channels=0; an integer, 1 or above'),
        (dict(mid_channels='8'), "mid_channels='8'; an integer, 1 or above"),
    ],
)
def test_arguments_are_checked_at_the_build(args, message):
    defaults = dict(in_channels=[2, 3], out_channels=[4, 5])
    with pytest.raises(UserError) as caught:
        ABFConnector(**{**defaults, **args})
    assert f'ABFConnector: {message}' in str(caught.value)
