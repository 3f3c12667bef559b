"""CrossKD's class and box loss against loops and plain cases."""

import math

import pytest
import torch
from functional_toy import close, draw, gradient

from kd_det.functional import crosskd_box_loss, crosskd_class_loss


def sigmoid(x):
    return 1 / (1 + math.exp(-float(x)))


@pytest.mark.parametrize('beta', [0, 1, 2.5])
def test_class_oracle(beta):
    z, t = draw(6, 3) * 2, draw(6, 3, seed=1)
    expected = []
    for i in range(6):
        value = 0.0
        for k in range(3):
            p, q = sigmoid(t[i, k]), sigmoid(z[i, k])
            entropy = p * math.log(q) + (1 - p) * math.log(1 - q)
            value -= abs(p - q) ** beta * entropy
        expected.append(value)
    close(crosskd_class_loss(z, t, beta), expected, rtol=1e-11)


def test_equal_logits():
    z = draw(6, 3)
    assert not crosskd_class_loss(z, z).any()
    # without the focal factor, what is left is the teacher's own entropy
    p = z.sigmoid()
    entropy = -(p * p.log() + (1 - p) * (1 - p).log()).sum(1)
    close(crosskd_class_loss(z, z, 0), entropy)
    assert (
        gradient(lambda x: crosskd_class_loss(x, z, 0), z).abs().max() < 1e-15
    )


def test_sure_networks_that_disagree():
    z = torch.tensor([[100.0, -100.0]])
    assert crosskd_class_loss(z, z).item() == 0
    assert crosskd_class_loss(z, -z).item() == pytest.approx(200)


def boxes(count, seed=0):
    corner = draw(count, 2, seed=seed) * 5
    return torch.cat(
        [corner, corner + 1 + draw(count, 2, seed=9).abs() * 4], 1
    )


def area(box):
    return max(box[2] - box[0], 0) * max(box[3] - box[1], 0)


def giou(a, b):
    shared = area(
        [max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])]
    )
    around = area(
        [min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3])]
    )
    union = area(a) + area(b) - shared
    return shared / union - (around - union) / around


def test_box_oracle():
    s, t = boxes(50), boxes(50, 1)
    expected = [1 - giou(a.tolist(), b.tolist()) for a, b in zip(s, t)]
    close(crosskd_box_loss(s, t), expected, rtol=1e-11)


def test_box_against_torchvision():
    from torchvision.ops import generalized_box_iou_loss

    s, t = boxes(50), boxes(50, 1)
    close(crosskd_box_loss(s, t), generalized_box_iou_loss(s, t), rtol=1e-5)


def test_plain_boxes():
    one = torch.tensor([[0.0, 0.0, 1.0, 1.0]])
    assert crosskd_box_loss(one, one).item() == 0
    # side by side: no overlap, no gap; then a gap as wide as a box
    assert crosskd_box_loss(one, one + torch.tensor([1, 0, 1, 0])) == 1
    gap = crosskd_box_loss(one, one + torch.tensor([2, 0, 2, 0]))
    assert gap.item() == pytest.approx(1 + 1 / 3)
    # the scale does not count
    s, t = boxes(9), boxes(9, 1)
    close(crosskd_box_loss(1e3 * s, 1e3 * t), crosskd_box_loss(s, t))


def test_empty_boxes():
    """No area, or edges in the wrong order: finite."""
    s = torch.tensor([[1.0, 1, 1, 1], [3, 3, 1, 1], [0, 0, 2, 2]])
    for t in (s, s.flip(0), s + 5):
        loss = crosskd_box_loss(s, t)
        assert ((loss >= 0) & (loss <= 2)).all()
        grad = gradient(lambda x, t=t: crosskd_box_loss(x, t), s)
        assert grad.isfinite().all()


def test_wrong_arguments():
    with pytest.raises(ValueError, match='beta must be 0 or at least 1, got'):
        crosskd_class_loss(draw(2, 3), draw(2, 3), beta=0.5)
    with pytest.raises(ValueError, match='teacher_logits.*K = 2.*K = 3'):
        crosskd_class_loss(draw(2, 3), draw(2, 2))
    with pytest.raises(ValueError, match=r'four edges .N, 4., got shape'):
        crosskd_box_loss(draw(2, 5), draw(2, 5))
