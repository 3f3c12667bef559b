"""The guide's ONNX export: ONNX Runtime finds the boxes that PyTorch finds."""

import copy
import os
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.registry import init_default_scope

from kd_det.checkpoint import use_safe_loading
from kd_det.config import load_config
from kd_det.models.spec import read_spec
from kd_det.registry import MODELS
from kd_det.testing import tiny_detector

onnxruntime = pytest.importorskip('onnxruntime')
pytest.importorskip('onnx')
GUIDE = Path(__file__).parents[2] / 'docs/user_guides/onnx.md'


@pytest.fixture(scope='module')
def to_onnx():
    """The function of the guide."""
    text = GUIDE.read_text()
    (module,) = re.findall(r'^```python\n(# mine.*?)^```$', text, re.M | re.S)
    names = {}
    exec(compile(module, str(GUIDE), 'exec'), names)
    return names['to_onnx']


def spread_scores(model):
    """Let random dense heads give scores that differ, many of them kept."""
    convs = r'(retina|gfl)_cls|multi_level_conv_(cls|obj)'
    for name, value in model.named_parameters():
        if re.search(convs, name) and name.endswith('weight'):
            # YOLOX: features so small that two classes could score the same
            std = 0.5 if 'multi_level' in name else 0.05
            torch.nn.init.normal_(value, std=std)
        elif re.search(convs, name):
            torch.nn.init.constant_(value, -1.0)


def compare(to_onnx, model, images, height, width, path):
    """Export a model; return how many boxes were found on the images."""
    plain = copy.deepcopy(model).eval()
    to_onnx(model, height, width, str(path))
    session = onnxruntime.InferenceSession(str(path))
    meta = dict(img_shape=(height, width), batch_input_shape=(height, width))
    counts = []
    for image in images:
        tensor = torch.from_numpy(image).permute(2, 0, 1)
        batch = dict(inputs=[tensor], data_samples=None)
        inputs = plain.data_preprocessor(batch)['inputs']
        with torch.no_grad():
            sample = DetDataSample(metainfo=dict(meta))
            (found,) = plain.predict(inputs, [sample], rescale=False)
        expected = found.pred_instances
        boxes, scores, labels = map(
            torch.from_numpy, session.run(None, dict(image=inputs.numpy()))
        )
        torch.testing.assert_close(scores, expected.scores, rtol=0, atol=1e-5)
        # one to one, since equal scores may come in any order
        same = (boxes[:, None] - expected.bboxes).abs().amax(2) <= 1e-3
        same &= (scores[:, None] - expected.scores).abs() <= 1e-5
        same &= labels[:, None] == expected.labels
        assert (same.sum(0) == 1).all() and (same.sum(1) == 1).all()
        counts.append(len(boxes))
    return counts


@pytest.mark.parametrize('family', ['faster_rcnn', 'retinanet', 'gfl'])
def test_the_boxes_are_those_of_pytorch(family, to_onnx, shapes, tmp_path):
    init_default_scope('mmdet')
    torch.manual_seed(0)
    model = MODELS.build(read_spec(tiny_detector(family, 18, 3), 'net')[0])
    model.init_weights()
    spread_scores(model)
    paths = sorted((shapes / 'val').glob('*.png'))[:4]
    images = [cv2.resize(cv2.imread(str(path)), (96, 64)) for path in paths]
    # places of an even background have the same scores, in any order
    noise = np.random.default_rng(0).integers(0, 128, (64, 96, 3))
    images = [(image // 2 + noise).astype(np.uint8) for image in images]
    counts = compare(to_onnx, model, images, 64, 96, tmp_path / 'x.onnx')
    assert min(counts) > 0 and sum(counts) > 10


@pytest.mark.skipif(
    'KD_DET_DATA' not in os.environ,
    reason='KD_DET_DATA names no folder of COCO-layout data sets',
)
@pytest.mark.parametrize('kind', ['frcnn', 'gfl', 'yolox'])
def test_students_on_photographs(kind, to_onnx, tmp_path):
    """Lite0 with the weights of ImageNet and a head of random ones."""
    folder = Path(os.environ['KD_DET_DATA']) / 'cards'
    cfg = load_config(
        f'kd_det::detection/baseline_{kind}_lite0_slim_folder.py',
        dict(data_root=str(folder)),
    )
    init_default_scope('mmdet')
    use_safe_loading(False)
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    model.init_weights()
    spread_scores(model)
    paths = sorted((folder / 'val').iterdir())[:4]
    images = [cv2.resize(cv2.imread(str(path)), (256, 192)) for path in paths]
    counts = compare(to_onnx, model, images, 192, 256, tmp_path / 'x.onnx')
    assert min(counts) > 10
