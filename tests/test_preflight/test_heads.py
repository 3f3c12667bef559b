"""A head has the classes of the data, or the run does not begin."""

import pytest
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from tiny import pair_cfg, run_cfg, tiny_spec

from kd_det.errors import UserError
from kd_det.models.spec import read_spec
from kd_det.preflight.heads import check_heads
from kd_det.testing import tiny_detector


@pytest.fixture
def check(shapes, tmp_path):
    init_default_scope('mmdet')

    def run(model, **dataset):
        cfg = run_cfg(model, shapes, tmp_path)
        cfg.train_dataloader.dataset.update(dataset)
        check_heads(Runner.from_cfg(cfg))

    return run


def plain(spec):
    return read_spec(spec, 'student')[0]


def test_heads_that_fit(check):
    check(plain(tiny_spec()))


@pytest.mark.parametrize('family', ['gfl', 'retinanet', 'fcos'])
@pytest.mark.parametrize('count', [3, 80])
def test_a_dense_head_of_another_number(check, family, count):
    message = rf'bbox_head \(\w+Head\) has num_classes={count}, and .* have 7'
    with pytest.raises(UserError, match=message):
        check(plain(tiny_detector(family, 18, count)))


def test_a_box_head_of_another_number(check):
    message = r'roi_head.bbox_head .* 7 classes \(circle, .* write classes='
    with pytest.raises(UserError, match=message):
        check(plain(tiny_spec(num_classes=8)))


def test_only_the_student_of_a_pair(check, teacher):
    check(pair_cfg(teacher))
    classes = ('circle', 'square')
    with pytest.raises(UserError, match='have 2 classes'):
        check(pair_cfg(teacher), metainfo=dict(classes=classes))


def test_data_that_say_no_classes(check):
    check(
        plain(tiny_spec(num_classes=3)), type='BaseDetDataset', metainfo=None
    )
