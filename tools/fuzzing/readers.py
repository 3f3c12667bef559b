"""The readers of foreign files, and what they may do with any bytes.

Each imports what it needs, which the fuzzer traces, when it is first called.
"""

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path

from PIL import Image

from kd_det.errors import UserError

CLASSES = ('circle', 'square')
SIZE = (40, 24)  # of the images, width and height
# what reading must not cause, as Python's audit hooks call it
FORBIDDEN = (
    'os.exec',
    'os.fork',
    'os.mkdir',
    'os.posix_spawn',
    'os.remove',
    'os.rename',
    'os.system',
    'shutil.rmtree',
    'socket.connect',
    'subprocess.Popen',
)


class Harm(BaseException):
    """A reader did something that no file may cause."""


def read_checkpoint(path: Path) -> None:
    """Load a checkpoint, and its tensors to the last value."""
    from kd_det.checkpoint import load_checkpoint

    for value in load_checkpoint(path).values():
        if hasattr(value, 'sum') and hasattr(value, 'is_meta'):
            value.double().sum()


def read_centroids(path: Path) -> None:
    """Load class means; they must fit together."""
    import numpy as np

    from kd_det.centroids import CentroidBank

    bank = CentroidBank.load(path)
    assert np.isfinite(bank.centroids).all() and bank.counts.min() >= 0
    assert len(bank.centroids) == len(bank.counts)


def read_coco_json(path: Path) -> None:
    """Check a COCO json, then let MMDetection read what has passed."""
    from kd_det.datasets.types import make
    from kd_det.preflight.detection_data import check_coco

    leaf = dict(
        type='mmdet.CocoDataset',
        ann_file=str(path),
        data_root=str(path.parent),
        data_prefix=dict(img=''),
        metainfo=dict(classes=CLASSES),
        pipeline=[dict(type='LoadImageFromFile')],
    )
    check_coco(leaf, str(path), CLASSES, 'train')
    assert len(make(leaf, lazy=False)) > 0


def read_voc_xml(path: Path) -> None:
    """Check a data set of one XML file of VOC's."""
    from kd_det.preflight.read_data import check_read

    leaf = dict(
        type='mmdet.XMLDataset',
        ann_file='names.txt',
        data_root=str(path.parent),
        data_prefix=dict(sub_data_root='.'),
        ann_subdir='',
        img_subdir='',
        metainfo=dict(classes=CLASSES),
        pipeline=[dict(type='LoadImageFromFile')],
    )
    check_read(leaf, CLASSES, 'train')


def read_cifar(path: Path) -> None:
    """Read one file of CIFAR-10, which is a pickle."""
    from kd_det.datasets.cifar_files import CIFAR10_LAYOUT, read_split

    layout = CIFAR10_LAYOUT._replace(test=(path.name,))
    images, labels = read_split(path.parents[1], layout, 'test')
    assert len(images) == len(labels)


READERS: dict[str, tuple[str, Callable[[Path], None]]] = {
    'checkpoints': ('weights.pth', read_checkpoint),
    'centroids': ('bank.npz', read_centroids),
    'coco': ('train.json', read_coco_json),
    'voc': ('a.xml', read_voc_xml),
    'cifar': ('cifar-10-batches-py/test_batch', read_cifar),
}


def prepare(folder: Path, reader: str) -> Path:
    """Write what surrounds the file that a reader gets; return its path."""
    tempfile.gettempdir()  # the first call tries out where files can be
    for name in ('a.png', 'b.png', 'a.jpg'):
        Image.new('RGB', SIZE).save(folder / name)
    (folder / 'names.txt').write_text('a\n')
    path = folder / READERS[reader][0]
    path.parent.mkdir(exist_ok=True)
    return path


def outcome(reader: str, path: Path) -> str:
    """Read a file and return 'read' or 'refused'.

    Raises:
        BaseException: Whatever else the reader raises, which is a finding.
    """
    try:
        with _harmless(), redirect_stdout(StringIO()):
            READERS[reader][1](path)
    except (UserError, FileNotFoundError) as error:
        text = str(error)
        plain = '\n' not in text and not text.startswith('[Errno')
        assert plain and len(text) < 2000, 'no plain sentence'
        return 'refused'
    return 'read'


@contextmanager
def _harmless() -> Iterator[None]:
    _watch.on = True
    try:
        yield
    finally:
        _watch.on = False


def _watch(event: str, args: tuple) -> None:
    if _watch.on and event in FORBIDDEN:
        raise Harm(f'{event}{args!r:.200}')


_watch.on = False
sys.addaudithook(_watch)
os.environ.setdefault('OMP_NUM_THREADS', '1')
