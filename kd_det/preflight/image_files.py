"""Check that the images of a data set exist and have the stated sizes."""

import os
import os.path as osp
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager

import mmcv
import numpy as np
from PIL import Image

from kd_det.errors import UserError
from kd_det.preflight.box_table import BoxTable
from kd_det.preflight.boxes import SLACK, overhang
from kd_det.preflight.data_report import DataReport
from kd_det.preflight.image_names import check_names

LOOKED_AT = 512  # images, evenly spaced; as many again among suspects
ODD = 0.01  # of them; fewer wrong sizes are only a warning
# what Pillow raises for files that OpenCV may still read
UNREAD = (OSError, ValueError, SyntaxError)
MOST = 2**30  # pixels that OpenCV reads
ENDS = dict(JPEG=b'\xff\xd9', MPO=b'\xff\xd9', PNG=b'IEND')  # of a whole file
TAIL = 2**16  # bytes, within which it ends; what cameras append is shorter
ORIENTATION = 0x0112  # EXIF tag
TURNED = (5, 6, 7, 8)  # its values that swap width and height
UPRIGHT = ('turbojpeg', 'tifffile')  # decoders that ignore it
STORED = dict(color_type='color_ignore_orientation')  # loads it unrotated


def check_images(table: BoxTable, leaf: dict, report: DataReport) -> None:
    """Check the local images of a data set.

    Args:
        table: Files, sizes and boxes of the data set.
        leaf: The data set's config.
        report: Receives counts and warnings.

    Raises:
        FileNotFoundError: An image is missing.
        UserError: Some cannot be read, have a different size, or names that
            lead out of the data set.
    """
    prefix = (leaf.get('data_prefix') or {}).get('img', '')
    root = leaf.get('data_root') or ''
    folder = osp.join(root, prefix)
    if '://' in folder or leaf.get('backend_args'):
        return
    check_names(table.files, folder, root, table.path, report)
    check_there(folder, table.files, table.path, table.elsewhere)
    report.images = {osp.join(folder, file) for file in table.files}
    loader = loader_of(leaf.get('pipeline'))
    if loader is None:
        return
    beyond = overhang(table.boxes, table.room()) > SLACK
    suspects = np.unique(table.owners[beyond & (table.owners >= 0)])
    count, warnings = check_sizes(
        folder, table.files, table.sizes, suspects, loader, table.path
    )
    report.facts['images looked at'] = count
    report.warnings += warnings


def check_readable(folder: str, names: list[str]) -> int:
    """Raise if one of the checked, evenly spaced images cannot be read.

    Args:
        folder: Folder of the images.
        names: Image paths in the folder.

    Returns:
        The number of images checked.

    Raises:
        UserError: An image cannot be read.
    """
    chosen = _spread(len(names))
    for index in chosen:
        read_size(osp.join(folder, names[index]), STORED)
    return len(chosen)


def check_there(folder: str, names: list[str], path: str, fix: str) -> None:
    """Raise if images that an annotation file names do not exist.

    Args:
        folder: Folder where they should be.
        names: Image paths in the folder.
        path: The annotation file, for the message.
        fix: What to do if no better advice is known.

    Raises:
        FileNotFoundError: At least one is missing.
    """
    folders = {osp.dirname(name) for name in names}
    # list each folder once, instead of looking for each image
    there = {part: _files(osp.join(folder, part)) for part in folders}
    absent = [
        name
        for name in names
        if osp.basename(name) not in there[osp.dirname(name)]
    ]
    if not absent:
        return
    raise FileNotFoundError(
        f'{len(absent)} of the {len(names)} images of {path!r} are not in '
        f'{folder!r}, the first is {absent[0]!r}; '
        + (_where(folder, absent[0], there) or fix)
    )


def _files(folder: str) -> set[str]:
    return {*os.listdir(folder)} if osp.isdir(folder) else set()


def _where(folder: str, name: str, there: dict[str, set[str]]) -> str:
    """Return a hint at where a missing image may be, or ''."""
    if '\\' in name:
        return 'write its path with /, which all systems accept.'
    file = osp.basename(name)
    if file != name and osp.isfile(osp.join(folder, file)):
        return f'{file!r} exists: remove the folder from its name.'
    for other in there[osp.dirname(name)]:
        if _alike(other) == _alike(file):
            return f'{other!r} exists: write its name like this.'
    return ''


def _alike(name: str) -> str:
    """Return a name without case and Unicode form, which systems change."""
    return unicodedata.normalize('NFC', name).casefold()


def loader_of(pipeline: list[dict] | None) -> dict | None:
    """Return the step of a pipeline that reads an image file, or None.

    Args:
        pipeline: The pipeline of a data set.
    """
    for step in pipeline or ():
        if str(step.get('type')).endswith('LoadImageFromFile'):
            return step
    return None


def read_size(path: str, loader: dict) -> tuple[int, int]:
    """Return width and height of an image as a pipeline loads it.

    Only the file's header and its end are read, unless its format is unusual.

    Args:
        path: The file.
        loader: See :func:`loader_of`.

    Raises:
        UserError: It is not an image, it is cut off, or too large.
    """
    try:
        with _of_any_size(), Image.open(path) as image:
            width, height = image.size
            fits = width * height <= MOST
            # both may decode the image
            cut = fits and _is_cut(path, image)
            turned = fits and image.getexif().get(ORIENTATION) in TURNED
    except UNREAD:
        height, width = _decode(path).shape[:2]
        return width, height
    if not fits:
        raise UserError(
            f'The image {path!r} has {width}x{height} pixels, and OpenCV '
            f'reads at most {MOST}; cut it into several.'
        )
    if cut:
        raise UserError(
            f'The image {path!r} is cut off: its end is missing; copy it '
            'again, or remove it from the data set.'
        )
    upright = loader.get(
        'imdecode_backend'
    ) in UPRIGHT or 'ignore_orientation' in str(loader.get('color_type'))
    return (height, width) if turned and not upright else (width, height)


@contextmanager
def _of_any_size() -> Iterator[None]:
    """Let Pillow open an image of which only the header is read."""
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def _is_cut(path: str, image: Image.Image) -> bool:
    """Return whether the end of a file is missing, as after a broken copy."""
    end = ENDS.get(image.format)
    if end is None:
        return False  # OpenCV refuses to load it
    with open(path, 'rb') as file:
        file.seek(max(osp.getsize(path) - TAIL, 0))
        if end in file.read():
            return False
    try:  # something long may follow the image
        image.load()
    except UNREAD:
        return True
    return False


def _decode(path: str) -> np.ndarray:
    try:
        image = mmcv.imread(path, backend='cv2')
    except Exception:  # noqa: BLE001  a damaged file raises anything
        image = None
    if image is None:
        raise UserError(
            f'The image {path!r} cannot be read, since it is not an image or '
            'damaged; copy it again, or remove it from the data set.'
        )
    return image


def check_sizes(
    folder: str,
    files: list[str],
    sizes: np.ndarray,
    suspects: np.ndarray,
    loader: dict,
    path: str,
) -> tuple[int, list[str]]:
    """Compare the size of some images with that in the annotations.

    Args:
        folder: Folder of the images.
        files: Paths of the images in the folder.
        sizes: Width and height in the annotations, (I, 2).
        suspects: Indices of images that are more likely to be wrong.
        loader: See :func:`loader_of`.
        path: The annotation file, for messages.

    Returns:
        The number of images checked, and warnings.

    Raises:
        UserError: An image cannot be read, or more than 1 % have a different
            size.
    """
    chosen = {*_spread(len(files)).tolist()}
    chosen |= {*suspects[_spread(len(suspects))].tolist()}
    wrong = []
    for index in sorted(chosen):
        size = read_size(osp.join(folder, files[index]), loader)
        if size != tuple(sizes[index]):
            wrong.append((index, size))
    if not wrong:
        return len(chosen), []
    index, size = wrong[0]
    stated = tuple(sizes[index].tolist())
    loaded = f'{size[0]}x{size[1]}'
    text = (
        f'{len(wrong)} of the {len(chosen)} images checked differ in size '
        f'from {path!r}, the first {files[index]!r}: {loaded} pixels as '
        f'loaded, {stated[0]:g}x{stated[1]:g} in the file'
    )
    as_stored = read_size(osp.join(folder, files[index]), STORED)
    fix = 'write the width and height of the images, and boxes that fit them'
    if as_stored == stated:
        fix = (
            'its EXIF data rotate it: write the width and height as loaded, '
            'and boxes in the rotated image, or rotate the files'
        )
    if len(wrong) > ODD * len(chosen):
        raise UserError(f'{text}; {fix}.')
    return len(chosen), [f'{text}; {fix}.']


def _spread(count: int) -> np.ndarray:
    """Return up to ``LOOKED_AT`` evenly spaced indices."""
    return np.unique(np.linspace(0, count - 1, LOOKED_AT).astype(int))[
        : max(count, 0)
    ]
