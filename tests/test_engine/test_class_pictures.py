"""The pictures of a classifier's test: their names and colours."""

from types import SimpleNamespace

import cv2
import pytest
import torch
from mmengine.visualization import Visualizer
from mmpretrain.structures import DataSample
from mmpretrain.visualization import UniversalVisualizer

from kd_det.engine.class_pictures import ClassPictures, check_visualizer
from kd_det.errors import UserError


@pytest.mark.parametrize('to_rgb', [True, False])
def test_names_and_colours(tmp_path, to_rgb):
    preprocessor = SimpleNamespace(to_rgb=to_rgb)
    visualizer = UniversalVisualizer()
    visualizer.dataset_meta = dict(classes=('hat', 'shoe'))
    runner = SimpleNamespace(
        model=SimpleNamespace(data_preprocessor=preprocessor),
        visualizer=visualizer,
    )
    red = torch.zeros(3, 64, 64, dtype=torch.uint8)
    red[2 if to_rgb else 0] = 255  # files are read as BGR
    samples = []
    for number, path in ((3, dict(img_path='a/x.jpg')), (12, {})):
        sample = DataSample(metainfo=dict(sample_idx=number, **path))
        sample.set_pred_label(1).set_gt_label(0)
        samples.append(sample.set_pred_score(torch.tensor([0.1, 0.9])))
    hook = ClassPictures(str(tmp_path / 'shown'))
    hook.after_test_iter(runner, 0, dict(inputs=[red, red]), samples)
    files = sorted((tmp_path / 'shown').iterdir())
    assert [path.name for path in files] == ['000003_x.png', '000012.png']
    blue, green, red = cv2.imread(str(files[0]))[-1, -1]
    assert red > 250 and green < 5 and blue < 5


def test_a_visualizer_that_draws_no_classes():
    runner = SimpleNamespace(visualizer=Visualizer())
    with pytest.raises(
        UserError, match='Visualizer cannot draw classes; write'
    ):
        check_visualizer(runner)
