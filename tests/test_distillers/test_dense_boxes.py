"""The boxes that heads predict, in training and in eval mode."""

import pytest
import torch
from mmdet.models.dense_heads import FCOSHead

from kd_det.distillers.dense_boxes import check_coder, decoded
from kd_det.errors import UserError


@pytest.mark.parametrize('normed', [True, False])
def test_training_does_not_change_the_boxes(normed):
    """An FCOS head predicts strides in training, and pixels otherwise."""
    torch.manual_seed(0)
    head = FCOSHead(
        num_classes=2,
        in_channels=8,
        feat_channels=8,
        stacked_convs=1,
        strides=[8, 16],
        regress_ranges=((-1, 64), (64, 1e8)),
        norm_on_bbox=normed,
        norm_cfg=dict(type='GN', num_groups=2),
    )
    maps = [torch.randn(2, 8, size, size) for size in (4, 2)]
    found = [
        decoded(head.train(mode), head(maps)[1], [0, 1])
        for mode in (True, False)
    ]
    assert found[0].shape == (2 * (16 + 4), 4)
    assert (found[0][:, 2:] > found[0][:, :2]).any()
    torch.testing.assert_close(*found)


def test_a_head_without_a_coder():
    with pytest.raises(UserError, match="student's Linear has no bbox_coder"):
        check_coder(torch.nn.Linear(1, 1), 'student')
