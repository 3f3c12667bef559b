"""The training pipeline packs its images, with what the network learns."""

from types import SimpleNamespace

import pytest
import torch
from mmdet.models import BoxInstDataPreprocessor
from mmengine.dataset import ConcatDataset
from mmengine.registry import DATASETS, init_default_scope
from tiny import CLASSES, build_student, tiny_run

from kd_det.errors import UserError
from kd_det.preflight.first_image import check_first_image

LOAD = dict(type='LoadImageFromFile')
BOXES = dict(type='LoadAnnotations', with_bbox=True)
PACK = dict(type='PackDetInputs')


@pytest.fixture(scope='module')
def student():
    return build_student()


@pytest.fixture
def run(shapes, student):
    """Return what the check reads of a runner with this pipeline."""

    def make(*pipeline, **dataset):
        init_default_scope('mmdet')
        cfg = tiny_run({}, shapes, '', CLASSES).train_dataloader.dataset
        cfg.update(pipeline=list(pipeline), **dataset)
        loader = SimpleNamespace(dataset=DATASETS.build(cfg))
        return SimpleNamespace(model=student, train_dataloader=loader)

    return make


def test_images_of_boxes_and_without(run, shapes):
    state = torch.get_rng_state()
    flip = dict(type='RandomFlip', prob=0.5)
    check_first_image(run(LOAD, BOXES, flip, PACK))
    crop = dict(type='RandomCrop', crop_size=(2, 2), allow_negative_crop=True)
    check_first_image(run(LOAD, BOXES, crop, PACK))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ('pipeline', 'said'),
    [
        ([LOAD, BOXES], r'gives the keys .*; end it with .*PackDetInputs'),
        ([LOAD, PACK], r'loads no bboxes and labels, which .* with_bbox=True'),
    ],
)
def test_a_step_that_is_missing(run, pipeline, said):
    with pytest.raises(UserError, match=said):
        check_first_image(run(*pipeline))


def test_masks(run, student, monkeypatch):
    head = torch.nn.Identity()
    monkeypatch.setattr(student.roi_head, 'mask_head', head, raising=False)
    with pytest.raises(UserError, match='loads no masks, .* with_mask=True'):
        check_first_image(run(LOAD, BOXES, PACK))
    of_boxes = BoxInstDataPreprocessor()
    monkeypatch.setattr(student, 'data_preprocessor', of_boxes)
    check_first_image(run(LOAD, BOXES, PACK))


def test_a_transform_that_keeps_images(run):
    kept = dict(type='CachedMosaic', img_scale=(64, 64), max_cached_images=4)
    one = run(LOAD, BOXES, kept, PACK)
    dataset = one.train_dataloader.dataset
    one.train_dataloader.dataset = ConcatDataset([dataset, dataset])
    check_first_image(one)
    assert not dataset.pipeline.transforms[2].results_cache
