"""A made-up batch is what a loader would give."""

import numpy as np
import torch

from kd_det.testing import tiny_batch


def same(one, two):
    assert all(map(torch.equal, one['inputs'], two['inputs']))
    for a, b in zip(one['data_samples'], two['data_samples'], strict=True):
        a, b = a.gt_instances, b.gt_instances
        assert torch.equal(a.bboxes.tensor, b.bboxes.tensor)
        assert torch.equal(a.labels, b.labels)
    return True


def test_images_and_objects(detector):
    batch = tiny_batch(detector('fcos'), 3, size=(40, 72), num_classes=2)
    assert [*batch] == ['inputs', 'data_samples']
    assert len(batch['inputs']) == len(batch['data_samples']) == 3
    for image, sample in zip(batch['inputs'], batch['data_samples']):
        assert image.shape == (3, 40, 72) and image.dtype == torch.uint8
        assert sample.img_shape == sample.ori_shape == (40, 72)
        objects = sample.gt_instances
        boxes = objects.bboxes.tensor
        assert boxes.shape == (3, 4) and boxes.dtype == torch.float32
        assert boxes.min() >= 0
        assert boxes[:, 2].max() <= 72 and boxes[:, 3].max() <= 40
        extent = (boxes[:, 2:] - boxes[:, :2]) / torch.tensor([72, 40])
        assert extent.min() > 0.24 and extent.max() < 0.76
        assert objects.labels.dtype == torch.int64
        assert set(objects.labels.tolist()) <= {0, 1}
        assert 'masks' not in objects


def test_seed(detector):
    model = detector('fcos')
    state = torch.get_rng_state(), np.random.get_state()[1].copy()
    first = tiny_batch(model, seed=3)
    assert same(first, tiny_batch(model, seed=3))
    other = tiny_batch(model, seed=4)
    assert not torch.equal(first['inputs'][0], other['inputs'][0])
    assert torch.equal(torch.get_rng_state(), state[0])
    assert (np.random.get_state()[1] == state[1]).all()


def test_images_without_objects(detector):
    batch = tiny_batch(detector('mask_rcnn'), 3, without_objects=(1,))
    counts = [len(s.gt_instances) for s in batch['data_samples']]
    assert counts == [3, 0, 3]
    objects = batch['data_samples'][1].gt_instances
    assert objects.bboxes.shape == (0, 4) and objects.labels.shape == (0,)
    assert objects.masks.masks.shape == (0, 64, 96)


def test_masks_fill_their_boxes(detector):
    batch = tiny_batch(detector('mask_rcnn'))
    for sample in batch['data_samples']:
        objects = sample.gt_instances
        for box, mask in zip(objects.bboxes.tensor, objects.masks.masks):
            rows, columns = np.nonzero(mask)
            around = [columns.min(), rows.min(), columns.max(), rows.max()]
            np.testing.assert_allclose(around, box.numpy() - 0.5, atol=1.5)
            left, top, right, bottom = box.tolist()
            area = np.pi / 4 * (right - left) * (bottom - top)
            np.testing.assert_allclose(mask.sum(), area, rtol=0.1)
