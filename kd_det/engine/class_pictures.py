"""Save each test image of a classifier with its predicted class."""

import os.path as osp

from mmengine.hooks import Hook
from mmengine.runner import Runner

from kd_det.errors import UserError
from kd_det.models.unwrap import unwrap


class ClassPictures(Hook):
    """Save every image of a test run, with its prediction, to a folder.

    MMPretrain's own hook saves one image in 5000, and writes images with the
    same name in different folders to a single file.

    Args:
        folder: Where to write ``<number>_<name>.png``; the number is the index
            of the image in the data set.
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def after_test_iter(
        self, runner, batch_idx, data_batch=None, outputs=None
    ) -> None:
        """Write the images of a batch."""
        model = unwrap(runner.model)
        swapped = getattr(model.data_preprocessor, 'to_rgb', False)
        for image, sample in zip(data_batch['inputs'], outputs, strict=True):
            pixels = image.permute(1, 2, 0).cpu().numpy().astype('uint8')
            name = osp.splitext(osp.basename(sample.get('img_path', '')))[0]
            name = f'{sample.sample_idx:06}_{name}'.rstrip('_')
            runner.visualizer.visualize_cls(
                image=pixels[..., ::-1].copy() if swapped else pixels,
                data_sample=sample,
                out_file=osp.join(self.folder, f'{name}.png'),
            )


def check_visualizer(runner: Runner) -> None:
    """Raise a UserError unless the run's visualizer can draw classes."""
    if not hasattr(runner.visualizer, 'visualize_cls'):
        raise UserError(
            f'--show-dir: {type(runner.visualizer).__name__} cannot draw '
            "classes; write visualizer=dict(type='UniversalVisualizer') in "
            'the config.'
        )
