"""Check that the training pipeline gives what the network trains on."""

import copy

from torch import Tensor
from torch.utils.data import Dataset

from kd_det.errors import UserError, few
from kd_det.models.unwrap import unwrap
from kd_det.preflight.normalisation import check_range
from kd_det.random_state import isolated

PACKERS = dict(mmdet='PackDetInputs', mmpretrain='PackInputs')
MASKS_OF_BOXES = 'BoxInstDataPreprocessor'  # makes its own


def check_first_image(runner) -> None:
    """Raise unless the first training image is packed, with its boxes.

    Its pixels are compared with the means of all networks. The random
    generators are left as they are, and so are transforms that keep images for
    later ones. Networks of other packages, and pipelines that give several
    views of an image, are not checked.

    Args:
        runner: The runner, with its loop built.

    Raises:
        UserError: The pipeline does not pack its images, or loads no boxes,
            or no masks for a network with a mask head; or the means are those
            of images from 0 to 1.
    """
    model = unwrap(runner.model)
    student = getattr(model, 'student', model)
    preprocessor = getattr(student, 'data_preprocessor', None)
    package = type(preprocessor).__module__.partition('.')[0]
    if package not in PACKERS:
        return
    with isolated():
        image = _copied(runner.train_dataloader.dataset)[0]
    if not isinstance(image, dict) or not {'inputs', 'data_samples'} <= {
        *image
    }:
        raise UserError(
            'The pipeline of train_dataloader does not pack its images (it '
            f'gives {_given(image)}); end it with '
            f"dict(type='{PACKERS[package]}')."
        )
    if isinstance(image['inputs'], Tensor):
        check_range(model, image['inputs'])
        if package == 'mmdet':
            _check_boxes(student, image['data_samples'])


def _copied(dataset: Dataset) -> Dataset:
    """Copy a data set with its transforms, but not its table."""
    own = copy.copy(dataset)
    for key, value in vars(dataset).items():
        if key == 'pipeline':
            setattr(own, key, copy.deepcopy(value))
        elif key == 'dataset':
            setattr(own, key, _copied(value))
        elif key == 'datasets':
            setattr(own, key, [_copied(part) for part in value])
    return own


def _given(image: object) -> str:
    if isinstance(image, dict):
        return f'the keys {few([*image])}'
    return f'a {type(image).__name__}'


def _check_boxes(student, sample) -> None:
    wanted = {}
    if getattr(student, 'with_bbox', False):
        wanted |= dict(bboxes='with_bbox=True', labels='with_label=True')
    kind = type(student.data_preprocessor).__name__
    if getattr(student, 'with_mask', False) and kind != MASKS_OF_BOXES:
        wanted |= dict(labels='with_label=True', masks='with_mask=True')
    objects = sample.get('gt_instances')
    there = () if objects is None else objects.keys()
    missing = [name for name in wanted if name not in there]
    if missing:
        raise UserError(
            'The pipeline of train_dataloader loads no '
            f'{" and ".join(missing)}, which the {type(student).__name__} is '
            "trained on; add dict(type='LoadAnnotations', "
            f'{", ".join(wanted.values())}) after the step that loads the '
            'image.'
        )
