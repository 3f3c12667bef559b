"""Coders and the split, against layers by hand and the rules of the spec."""

import copy
import resource

import numpy as np
import pytest
import torch

from kd_det.connectors.autoencoder_file import (
    check_place,
    check_provenance,
    load_auto_encoder,
    save_auto_encoder,
)
from kd_det.connectors.coder import AutoEncoder, Coder, LevelCoders
from kd_det.connectors.split import ChannelSplit, check_split, inheriting
from kd_det.errors import UserError

HALVES = ('inherit', 'explore')


def parameters(module):
    return sum(value.numel() for value in module.parameters())


def leaky(x):
    return np.where(x > 0, x, 0.1 * x)


def conv(x, weight, bias=None):
    """A 3x3 convolution by loops, (C, H, W)."""
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
    out = np.zeros((len(weight), *x.shape[1:]))
    for o, kernel in enumerate(weight):
        for h in range(x.shape[1]):
            for w in range(x.shape[2]):
                window = padded[:, h : h + 3, w : w + 3]
                out[o, h, w] = (kernel * window).sum()
                if bias is not None:
                    out[o, h, w] += bias[o]
    return out


@pytest.mark.parametrize('norm', [True, False])
def test_coder_is_three_convolutions(norm):
    torch.manual_seed(0)
    coder = Coder(3, 2, norm).double().eval()
    for module in coder.norms:
        if norm:
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            module.weight.data.normal_()
            module.bias.data.normal_()
    x = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    expected = []
    for image in x.numpy():
        out = leaky(image) if norm else image
        for layer, after in zip(coder.convs, coder.norms):
            bias = None if norm else layer.bias.detach().numpy()
            out = conv(out, layer.weight.detach().numpy(), bias)
            if norm:
                mean, var, weight, bias = (
                    getattr(after, name).detach().numpy()[:, None, None]
                    for name in (
                        'running_mean',
                        'running_var',
                        'weight',
                        'bias',
                    )
                )
                out = (out - mean) / np.sqrt(var + after.eps) * weight + bias
            out = leaky(out)
        expected.append(out)
    torch.testing.assert_close(coder(x).detach().numpy(), np.stack(expected))


def test_auto_encoder_has_the_parameters_of_the_authors_code():
    assert parameters(AutoEncoder([64], [32])) == 129600


def test_first_weights_are_of_the_fan_out():
    torch.manual_seed(0)
    for layer in Coder(64, 48).convs:
        expected = (2 / (9 * layer.weight.shape[0])) ** 0.5
        assert layer.weight.std().item() == pytest.approx(expected, rel=0.03)


@pytest.mark.parametrize('norm', [True, False])
def test_nothing_comes_out_of_padding(norm):
    """More padding, and other values in it, change no valid cell."""
    torch.manual_seed(0)
    coder = Coder(3, 2, norm).double().eval()
    for layer in coder.convs:
        if layer.bias is not None:
            layer.bias.data.normal_()
    image = torch.randn(1, 3, 4, 5, dtype=torch.float64)
    alone = coder(image)
    for pad in (1, 3):
        wide = torch.full((1, 3, 4 + pad, 5 + pad), torch.nan).double()
        wide[..., :4, :5] = image
        mask = torch.zeros(1, 1, 4 + pad, 5 + pad, dtype=torch.bool)
        mask[..., :4, :5] = True
        out = coder(wide, mask)
        torch.testing.assert_close(out[..., :4, :5], alone)
        assert (out.where(~mask, 0) == 0).all()


def test_shared_coder_serves_all_levels():
    torch.manual_seed(0)
    shared = LevelCoders([4, 4], [2, 2], shared=True).eval()
    apart = LevelCoders([4, 4], [2, 2]).eval()
    assert parameters(apart) == 2 * parameters(shared)
    x = torch.randn(2, 4, 6, 6)
    one, other = shared([x, x])
    assert torch.equal(one, other)
    with pytest.raises(UserError, match='requires equal channels'):
        LevelCoders([4, 8], [2, 2], shared=True)


@pytest.mark.parametrize('order', ['natural', 'random'])
@pytest.mark.parametrize('ratio, first', [(0.5, 3), (0.25, 1), (0, 0), (1, 7)])
def test_split_is_a_partition(order, ratio, first):
    torch.manual_seed(0)
    split = ChannelSplit([7, 4], ratio, order)
    maps = torch.randn(2, 7, 3, 3), torch.randn(2, 4, 1, 1)
    inherit, explore = split(maps)
    assert inherit[0].shape[1] == first
    for level, whole in enumerate(maps):
        places = torch.cat(
            [getattr(split, f'{half}{level}') for half in HALVES]
        )
        assert sorted(places.tolist()) == [*range(whole.shape[1])]
        together = torch.cat([inherit[level], explore[level]], 1)
        assert torch.equal(together, whole[:, places])
        if order == 'natural':
            assert torch.equal(together, whole)


def test_random_split_is_remembered():
    torch.manual_seed(0)
    one, other = (ChannelSplit([16], order='random') for _ in range(2))
    assert not torch.equal(one.inherit0, other.inherit0)
    other.load_state_dict(one.state_dict())
    x = torch.randn(1, 16, 2, 2)
    assert torch.equal(one([x])[0][0], other([x])[0][0])
    # another ratio is another model
    with pytest.raises(RuntimeError, match='inherit0'):
        ChannelSplit([16], 0.25).load_state_dict(one.state_dict())


@pytest.mark.parametrize(
    'wrong', [dict(ratio=1.5), dict(ratio='half'), dict(order='first')]
)
def test_split_refuses(wrong):
    with pytest.raises(UserError, match='accepted'):
        ChannelSplit([4], **wrong)


def test_file_keeps_weights_and_provenance(tmp_path):
    auto_encoder = AutoEncoder([4], [2])
    path = tmp_path / 'sub/ae.pth'
    save_auto_encoder(path, auto_encoder, dict(points=['a'], channels=[2]))
    state, provenance = load_auto_encoder(path)
    for key, value in auto_encoder.state_dict().items():
        assert torch.equal(state[key], value)
    check_provenance(path, provenance, dict(points=['a']))
    with pytest.raises(UserError, match="other tap points.*'a'.*'b'"):
        check_provenance(path, provenance, dict(points=['b']))
    with pytest.raises(UserError, match="teacher_sha256 is 'None'"):
        check_provenance(path, provenance, dict(teacher_sha256='0'))
    torch.save(dict(state_dict=state), path)
    with pytest.raises(UserError, match='no auto-encoder'):
        load_auto_encoder(path)


def test_gradient_reaches_every_layer():
    coder = Coder(3, 2)
    coder(torch.randn(2, 3, 4, 4)).square().sum().backward()
    for name, value in coder.named_parameters():
        assert value.grad is not None and value.grad.abs().sum() > 0, name


def test_padding_does_not_count_in_training():
    """Statistics of the cells that count, whatever and how much is around."""
    torch.manual_seed(0)
    coder = Coder(3, 2).double().train()
    x = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    alone = copy.deepcopy(coder)
    expected = alone(x)
    for pad, fill in ((2, 0.0), (9, float('nan'))):
        wide = torch.full((2, 3, 4 + pad, 5 + pad), fill, dtype=x.dtype)
        wide[..., :4, :5] = x
        mask = torch.zeros(2, 1, 4 + pad, 5 + pad, dtype=torch.bool)
        mask[..., :4, :5] = True
        own = copy.deepcopy(coder)
        found = own(wide, mask)
        torch.testing.assert_close(found[..., :4, :5], expected)
        assert (found[~mask.expand_as(found)] == 0).all()
        for key, value in alone.state_dict().items():
            torch.testing.assert_close(own.state_dict()[key], value, msg=key)
        found.square().sum().backward()
        assert all(p.grad.isfinite().all() for p in own.parameters())


def test_one_cell_is_no_statistic():
    with pytest.raises(UserError, match='drop_last=True'):
        Coder(3, 2).train()(torch.randn(1, 3, 1, 1))
    assert Coder(3, 2, norm=False).train()(torch.randn(1, 3, 1, 1)).numel()
    assert Coder(3, 2).eval()(torch.randn(1, 3, 1, 1)).numel() == 2


@pytest.mark.parametrize(
    'channels, ratio, count',
    [(100, 0.29, 29), (10, 0.7, 7), (7, 0.5, 3), (1, 0.99, 0), (3, 1, 3)],
)
def test_share_of_the_channels(channels, ratio, count):
    """Rounded down, and not because of floating point."""
    assert inheriting(channels, ratio) == count


@pytest.mark.parametrize(
    'wrong', [0.5, [1], dict(ration=0.5), dict(ratio='1'), dict(order='x')]
)
def test_split_refusals(wrong):
    with pytest.raises(UserError, match='accepted'):
        check_split(wrong)


def test_disk_that_takes_no_more(tmp_path):
    """The old file stays, nothing half-written is beside it."""
    file = tmp_path / 'ae.pth'
    save_auto_encoder(file, AutoEncoder([2], [1]), {})
    old = file.read_bytes()
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, limit[1]))
    try:
        with pytest.raises(UserError, match='nothing was overwritten'):
            save_auto_encoder(file, AutoEncoder([8], [4]), {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert file.read_bytes() == old
    assert [*tmp_path.iterdir()] == [file]


def test_places_that_cannot_be_written(tmp_path):
    (tmp_path / 'file').write_text('')
    for place in (tmp_path, tmp_path / 'file/ae.pth'):
        with pytest.raises(UserError, match='cannot be written'):
            check_place(place)
    check_place(tmp_path / 'new/ae.pth')
    assert not [*(tmp_path / 'new').iterdir()]
