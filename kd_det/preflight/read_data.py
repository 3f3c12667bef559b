"""Check detection data sets in other formats than COCO.

These are VOC's XML, Open Images, CrowdHuman, and whatever a user's own class
reads.
"""

import json
import os.path as osp
import traceback
import xml.etree.ElementTree as ET
from collections import Counter
from dataclasses import dataclass

import numpy as np
from mmengine.fileio import load

from kd_det.datasets.types import is_coco, make, reads_as_coco
from kd_det.errors import UserError, few, nearest
from kd_det.pickles import check_array
from kd_det.preflight.box_table import BoxTable
from kd_det.preflight.data_report import DataReport
from kd_det.preflight.image_files import check_images
from kd_det.preflight.image_names import check_names
from kd_det.preflight.used_boxes import check_used

# MMDetection's classes that give boxes in pixels once they have read them
READ = {'CrowdHumanDataset', 'OpenImagesDataset', 'XMLDataset'}


@dataclass(frozen=True)
class ReadTable(BoxTable):
    """The boxes that a data set has read, as corners."""

    wanted = 'MMDetection wants left, top, right, bottom in pixels'
    elsewhere = (
        'copy them there (for VOC as JPEGImages/NAME.jpg), or set data_root '
        'and data_prefix.'
    )

    def where(self, index: int) -> str:
        """Return a description of a box for a message."""
        left, top, width, height = self.boxes[index]
        corners = (left, top, left + width, top + height)
        box = ', '.join(f'{number:.6g}' for number in corners)
        size = 'x'.join(f'{n:g}' for n in self.sizes[self.owners[index]])
        return (
            f'[{box}] in an image of {size} pixels, '
            f'{self.files[self.owners[index]]!r}'
        )


def reads_itself(kind: type) -> bool:
    """Return whether this module can check a data set class.

    Not the others of MMDetection, some of which download.

    Args:
        kind: The class.
    """
    if is_coco(kind):
        return not reads_as_coco(kind)
    names = [base.__name__ for base in kind.mro()]
    own = not kind.__module__.startswith(('mmdet.', 'mmpretrain.', 'kd_det.'))
    return not READ.isdisjoint(names) or ('BaseDetDataset' in names and own)


def unchecked(kind: type, source: str, split: str) -> DataReport | None:
    """Return a report that warns of boxes that nobody checks, if it has any.

    Args:
        kind: A data set class.
        source: Its annotation file.
        split: Which loader reads it.
    """
    if 'BaseDetDataset' not in [base.__name__ for base in kind.mro()]:
        return None
    report = DataReport(split, source)
    report.warnings.append(
        f'the annotations of {kind.__name__} are not checked; look at the '
        'contact sheet of `kd_det doctor CONFIG`, or convert them to COCO '
        'json.'
    )
    return report


def check_read(leaf: dict, classes: tuple[str, ...], split: str) -> DataReport:
    """Let a data set read its files, and check the result.

    Args:
        leaf: The data set's config.
        classes: Its class names.
        split: Which loader reads it, for messages.

    Returns:
        A report of its contents, with warnings.

    Raises:
        FileNotFoundError: A file or an image is missing.
        UserError: A file cannot be read, no object is of the classes, or boxes
            or image sizes are implausible.
    """
    dataset = make(leaf, lazy=True)
    kind, path = type(dataset), dataset.ann_file
    if path and not osp.isfile(path) and '://' not in path:
        raise FileNotFoundError(
            f'There is no {split} annotation file {path!r}; set data_root '
            '(--cfg-options data_root=FOLDER) to a folder that contains it.'
        )
    try:
        if 'OpenImagesChallengeDataset' in [k.__name__ for k in kind.mro()]:
            check_array(dataset.hierarchy_file)  # read by numpy.load
        dataset.full_init()
    except Exception as error:  # noqa: BLE001  of any reader
        raise _unreadable(error, path) from None
    infos = dataset.data_list
    if not infos:
        raise UserError(
            f'The {split} data set of {path!r} has no images '
            f'(filter_cfg={leaf.get("filter_cfg")}); give a file with at '
            'least one that passes the filter.'
        )
    read = tuple(dataset.metainfo.get('classes') or ())
    if classes and read != classes:  # Open Images takes those of a file
        raise UserError(
            f'{kind.__name__} gives the labels 0, 1, … to '
            f'({few(read)}), but the classes are ({few(classes)}); write '
            f'the former as classes.'
        )
    report = DataReport(split, path, {'images': len(infos)})
    if not _have_boxes(infos):  # but segments, texts or tracks
        return report
    table, labels = _table(infos, path)
    root = osp.join(leaf.get('data_root') or '', '')
    below = [
        name.removeprefix(root)
        for name in table.files
        if name.startswith(root)  # others are what its class makes of them
    ]
    check_names(below, root, root, path, report)
    check_images(table, dict(leaf, data_root='', data_prefix={}), report)
    _check_names(infos, labels, read, path, split)
    _check_order(dataset, classes)
    check_used(table, labels, {}, read, dict(leaf, test_mode=True), report)
    return report


def _have_boxes(infos: list[dict]) -> bool:
    """Return whether entries look like MMDetection's with boxes."""
    return all(
        {'img_path', 'width', 'height', 'instances'} <= info.keys()
        and all(
            'bbox_label' in entry and len(entry.get('bbox', ())) == 4
            for entry in info['instances']
        )
        for info in infos
    )


def _table(infos: list[dict], path: str) -> tuple[ReadTable, np.ndarray]:
    instances = [i for info in infos for i in info['instances']]
    owners = np.repeat(
        np.arange(len(infos)), [len(info['instances']) for info in infos]
    )
    corners = np.array([i['bbox'] for i in instances], float).reshape(-1, 4)
    boxes = np.concatenate(
        [corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1
    )
    table = ReadTable(
        path=path,
        files=[info['img_path'] for info in infos],
        sizes=np.array([(i['width'], i['height']) for i in infos], float),
        ids=[*range(len(instances))],
        owner_ids=owners.tolist(),
        owners=owners,
        category_ids=[i['bbox_label'] for i in instances],
        boxes=boxes,
        areas=boxes[:, 2] * boxes[:, 3],
        crowd=np.array([i.get('ignore_flag', 0) for i in instances]) != 0,
        left_out=np.zeros(len(instances), bool),
        masked=np.array(['mask' in i for i in instances], bool),
    )
    return table, np.array(table.category_ids, int)


def _unreadable(error: Exception, path: str) -> Exception:
    """Convert an error that a data set raised to a helpful one."""
    entry = ''
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if frame.f_code is load.__code__:
            entry = frame.f_locals['file']
        if frame.f_code.co_name == 'parse_data_info':
            info = next(
                (v for v in frame.f_locals.values() if isinstance(v, dict)), {}
            )
            entry = info.get('xml_path') or info.get('img_id') or ''
    if isinstance(error, FileNotFoundError):
        return FileNotFoundError(
            f'{path!r} lists a missing file: {error.filename!r}; one name '
            'without extension per line is needed, and data_root or '
            'data_prefix must be the folder of the files.'
        )
    if isinstance(error, ImportError):
        return UserError(f'The data set of {path!r} cannot be read: {error}')
    if isinstance(error, UserError):
        return UserError(f'{entry!r}: {error}' if entry else str(error))
    reason = ' '.join(str(error).split()) or type(error).__name__
    return UserError(
        f'The data set of {path!r} cannot be read ({reason}'
        + f', in {entry!r}' * bool(entry)
        + '); correct that file, or remove it from the list.'
    )


def _check_order(dataset, classes: tuple[str, ...]) -> None:
    """Raise if a subclass of COCO's data set assigns labels differently."""
    labels = getattr(dataset, 'cat2label', {})
    if not labels or not is_coco(type(dataset)):
        return
    with open(dataset.ann_file) as file:
        categories = json.load(file)['categories']
    names = {category['id']: str(category['name']) for category in categories}
    own = tuple(names.get(i) for i in sorted(labels, key=labels.get))
    if own != classes:
        raise UserError(
            f'{type(dataset).__name__} gives the labels 0, 1, … of '
            f'{dataset.ann_file!r} to ({few(own)}), but the classes are '
            f'({few(classes)}); write classes={own}.'
        )


def _check_names(
    infos: list[dict],
    labels: np.ndarray,
    classes: tuple[str, ...],
    path: str,
    split: str,
) -> None:
    """Raise if a class has no object but XML files have similar names."""
    absent = [n for i, n in enumerate(classes) if i not in {*labels.tolist()}]
    files = [info['xml_path'] for info in infos if 'xml_path' in info]
    if not absent or not files:
        return
    found = Counter(
        str(entry.findtext('name'))
        for file in files
        for entry in ET.parse(file).getroot().findall('object')
    )
    others = [name for name in found if name not in classes]
    listed = few([f'{name} ({found[name]})' for name in sorted(found)])
    for name in absent:
        hint = nearest(name.casefold(), [*map(str.casefold, others)])
        if hint or not len(labels):
            raise UserError(
                f'No object of the {split} data set {path!r} is of class '
                f'{name!r}; its XML files name {listed or "nothing"}: write '
                f'the class as there{hint or "."}'
            )
