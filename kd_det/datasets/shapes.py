"""The procedural detection data set "shapes", in COCO format.

Coloured geometric shapes on gradients, with lines, blobs and arcs as
distractors, and noise. The class depends only on the geometry. Each image has
its own integer random generator, so image 7 is the same whether 10 or 10000
images are generated.
"""

import json
import math
import tempfile
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from kd_det.errors import UserError

SHAPES_CLASSES = (
    'circle',
    'square',
    'triangle',
    'pentagon',
    'star',
    'cross',
    'ring',
)

_VERSION = 1  # increase it whenever pixels or boxes change
_MARKER = 'shapes.json'
_SPLITS = ('train', 'val')
_MIN_SIZE = 12  # pixels; smaller shapes cannot be distinguished
_MAX_SIZE = 60 / 128  # of the image
_MIN_VISIBLE = 0.4  # visible fraction below which there is no box
_CONTRAST = 60  # grey levels to the background in at least one channel

_FINE = 64  # vertex units per pixel
_SUB = 4  # sub-pixels per pixel, along each axis
_CELL = _FINE // _SUB

Contour = list[tuple[float, float]]
FineContour = list[tuple[int, int]]


def make_shapes(
    out_dir: str | Path,
    num_train: int = 1000,
    num_val: int = 500,
    image_size: int = 128,
    seed: int = 0,
) -> Path:
    """Generate the shapes data set, or keep an identical existing one.

    Writes ``train/000001.png`` etc., ``val/``,
    ``annotations/instances_{train,val}.json`` and, to mark a complete folder,
    ``shapes.json`` with the parameters. The folder is created atomically.

    Boxes are tight around the mask of the whole shape to a quarter of a pixel,
    including parts hidden by other shapes but not parts outside the image. A
    shape of which less than 40 % is visible has no box. ``area`` is the area
    of the mask.

    The same arguments give the same pixels and annotations everywhere, and
    the same bytes with the same OpenCV build (which compresses the PNG).

    Args:
        out_dir: Folder that is absent, empty, or was generated with the same
            arguments.
        num_train: Number of training images, 1 to 999999.
        num_val: Number of validation images, 1 to 999999.
        image_size: Size of the square images in pixels, 32 to 2048.
        seed: Random seed, 0 to 2**32 - 1.

    Returns:
        ``out_dir`` as a path.

    Raises:
        TypeError: An argument is not an integer.
        UserError: An argument is out of range, or ``out_dir`` has other
            contents, which are not changed.
    """
    _check_integer('num_train', num_train, 1, 999999)
    _check_integer('num_val', num_val, 1, 999999)
    _check_integer('image_size', image_size, 32, 2048)
    # A larger seed would overlap with split and index.
    _check_integer('seed', seed, 0, 2**32 - 1)
    parameters = {
        'version': _VERSION,
        'num_train': num_train,
        'num_val': num_val,
        'image_size': image_size,
        'seed': seed,
    }
    out_dir = Path(out_dir)
    target = out_dir.resolve()
    if _is_complete(target, parameters):
        return out_dir
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
        prefix=f'.{target.name}.', suffix='.partial', dir=target.parent
    ) as partial:
        # The inner folder has normal permissions, unlike the outer one.
        made = Path(partial) / target.name
        _make_folder(made, parameters)
        try:
            if target.exists():
                target.rmdir()  # Windows cannot rename onto a folder
            made.rename(target)
        except OSError:
            # Another process, such as another rank, may have been faster.
            if not _is_complete(target, parameters):
                raise
    return out_dir


def _check_integer(name: str, value: int, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(
            f'{name} is {value!r}; an integer from {low} to {high} is needed.'
        )
    if not low <= value <= high:
        raise UserError(f'{name} is {value}; {low} to {high} is accepted.')


def _is_complete(folder: Path, parameters: dict[str, int]) -> bool:
    """Return True if generated with these parameters, False if absent."""
    if not folder.exists():
        return False
    if not folder.is_dir():
        raise UserError(
            f"out_dir '{folder}' is a file, but a folder is needed; choose "
            'another out_dir.'
        )
    marker = folder / _MARKER
    if not marker.is_file():
        found = sorted(path.name for path in folder.iterdir())
        if not found:
            return False
        raise UserError(
            f"out_dir '{folder}' has no {_MARKER} but contains '{found[0]}'; "
            'an absent, empty or complete folder is accepted; choose '
            'another out_dir.'
        )
    try:
        found = json.loads(marker.read_bytes())
    except ValueError:
        found = 'something that is not JSON'
    if found != parameters:
        raise UserError(
            f"'{marker}' says {found}, but {parameters} is requested; choose "
            'another out_dir or delete this one.'
        )
    wanted = [f'annotations/instances_{split}.json' for split in _SPLITS]
    for split in _SPLITS:
        count = parameters[f'num_{split}']
        wanted += [f'{split}/{_file_name(i + 1)}' for i in range(count)]
    lost = [name for name in wanted if not (folder / name).is_file()]
    if lost:
        raise UserError(
            f"'{marker}' exists, but '{lost[0]}' is missing; delete the "
            'folder to generate it again.'
        )
    return True


def _file_name(index: int) -> str:
    return f'{index:06d}.png'


def _make_folder(folder: Path, parameters: dict[str, int]) -> None:
    # Imported here, since the module must only need NumPy and OpenCV.
    from rich.progress import track

    (folder / 'annotations').mkdir(parents=True)
    for number, split in enumerate(_SPLITS):
        (folder / split).mkdir()
        coco = {
            'info': {'description': f'kd_det shapes, version {_VERSION}'},
            'licenses': [],
            'images': [],
            'annotations': [],
            'categories': [
                {'id': i, 'name': name, 'supercategory': 'shape'}
                for i, name in enumerate(SHAPES_CLASSES, 1)
            ],
        }
        size = parameters['image_size']
        indices = range(1, parameters[f'num_{split}'] + 1)
        for index in track(indices, f'Shapes ({split})'):
            rng = np.random.Generator(
                np.random.PCG64([parameters['seed'], number, index])
            )
            image, objects = _draw_image(rng, size)
            _write_png(folder / split / _file_name(index), image)
            coco['images'].append(
                {
                    'id': index,
                    'file_name': _file_name(index),
                    'width': size,
                    'height': size,
                }
            )
            for item in objects:
                annotation_id = len(coco['annotations']) + 1
                coco['annotations'].append(
                    {'id': annotation_id, 'image_id': index, **item}
                )
        _write_json(folder / 'annotations' / f'instances_{split}.json', coco)
    _write_json(folder / _MARKER, parameters)


def _write_png(path: Path, image: np.ndarray) -> None:
    # Encoded in memory, since OpenCV cannot open all paths on Windows.
    options = [cv2.IMWRITE_PNG_COMPRESSION, 1]
    path.write_bytes(cv2.imencode('.png', image, options)[1].tobytes())


def _write_json(path: Path, content: dict) -> None:
    path.write_bytes(json.dumps(content).encode() + b'\n')


def _draw_image(
    rng: np.random.Generator, size: int
) -> tuple[np.ndarray, list[dict]]:
    """Draw one image, (size, size, 3) uint8 in BGR, with annotations."""
    canvas = _Canvas(_gradients(rng, size))
    for _ in range(rng.integers(2, 7)):
        canvas.paint(rng, _random_clutter(rng, size), owner=0)
    count = 0 if rng.random() < 0.05 else int(rng.integers(1, 7))
    painted = []
    for owner in range(1, count + 1):
        category = int(rng.integers(len(SHAPES_CLASSES)))
        contours = _random_shape(rng, size, SHAPES_CLASSES[category])
        painted.append((category + 1, canvas.paint(rng, contours, owner)))
    for _ in range(rng.integers(0, 3)):
        canvas.paint(rng, _random_clutter(rng, size), owner=0)
    visible = np.bincount(canvas.owners.ravel(), minlength=count + 1)
    objects = [
        {
            'category_id': category,
            'bbox': _tight_box(shape),
            'area': int(shape.mask.sum()) / _SUB**2,
            'iscrowd': 0,
        }
        for owner, (category, shape) in enumerate(painted, 1)
        if visible[owner] >= _MIN_VISIBLE * shape.whole
    ]
    return _add_noise(rng, canvas.image), objects


def _gradients(rng: np.random.Generator, size: int) -> np.ndarray:
    """3 x 3 random colours, interpolated bilinearly: (size, size, 3)."""
    image = rng.integers(0, 256, (3, 3, 3))
    span = size - 1
    position = 2 * np.arange(size)  # 0 to 2 cells, in 1 / span
    cell = np.minimum(position // span, 1)
    weight = position - cell * span
    for _ in range(2):  # along the rows, then along the columns
        blend = weight[:, None, None]
        image = image[cell] * (span - blend) + image[cell + 1] * blend
        image = image.swapaxes(0, 1)
    return image // span**2


def _add_noise(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """Add noise with a standard deviation of 4 to 14, clipped to uint8.

    The sum of four random bytes approximates a Gaussian up to 3.4 standard
    deviations of 148, and is exact on every platform.
    """
    level = rng.integers(4, 15)
    random_bytes = np.frombuffer(rng.bytes(4 * image.size), np.uint8)
    noise = random_bytes.reshape(*image.shape, 4).sum(-1, np.int64) - 510
    return (image + (noise * level + 74) // 148).clip(0, 255).astype(np.uint8)


class _Painted(NamedTuple):
    mask: np.ndarray  # bool, the part inside the image, in sub-pixels
    left: int  # position of the mask in the image, in sub-pixels
    top: int
    whole: int  # sub-pixels inside and outside the image


class _Canvas:
    """An image (S, S, 3) and the owner of each sub-pixel (S * 4, S * 4)."""

    def __init__(self, background: np.ndarray) -> None:
        self.image = background
        side = len(background) * _SUB
        self.owners = np.zeros((side, side), np.uint8)

    def paint(
        self, rng: np.random.Generator, contours: list[FineContour], owner: int
    ) -> _Painted:
        """Paint over the image in a random, contrasting colour."""
        window, left, top = _rasterise(contours)
        side = len(self.owners)
        x0, x1 = np.clip((left, left + window.shape[1]), 0, side).tolist()
        y0, y1 = np.clip((top, top + window.shape[0]), 0, side).tolist()
        mask = window[y0 - top : y1 - top, x0 - left : x1 - left]
        if mask.any():
            self.owners[y0:y1, x0:x1][mask] = owner
            patch = self.image[
                y0 // _SUB : y1 // _SUB, x0 // _SUB : x1 // _SUB
            ]
            cover = mask.reshape(
                patch.shape[0], _SUB, patch.shape[1], _SUB, 1
            ).sum((1, 3), np.int64)
            behind = (patch * cover).sum((0, 1)) // cover.sum()
            color = rng.integers(0, 256, 3)
            while abs(color - behind).max() < _CONTRAST:
                color = rng.integers(0, 256, 3)
            patch += (color - patch) * cover // _SUB**2
        return _Painted(mask, x0, y0, int(window.sum()))


def _tight_box(painted: _Painted) -> list[float]:
    """Return [x, y, width, height] in pixels."""
    cols = np.flatnonzero(painted.mask.any(0)).tolist()
    rows = np.flatnonzero(painted.mask.any(1)).tolist()
    return [
        (painted.left + cols[0]) / _SUB,
        (painted.top + rows[0]) / _SUB,
        (cols[-1] + 1 - cols[0]) / _SUB,
        (rows[-1] + 1 - rows[0]) / _SUB,
    ]


def _rasterise(contours: list[FineContour]) -> tuple[np.ndarray, int, int]:
    """Even-odd fill of closed contours, sampled at sub-pixel centres.

    Args:
        contours: Vertices (x, y) in 1 / 64 pixel.

    Returns:
        The mask of a window of whole pixels around the contours, bool, and
        the window's left and top, in sub-pixels.
    """
    xs, ys = zip(*(vertex for contour in contours for vertex in contour))
    left, top = min(xs) // _FINE * _SUB, min(ys) // _FINE * _SUB
    right = (max(xs) // _FINE + 1) * _SUB
    bottom = (max(ys) // _FINE + 1) * _SUB
    # True where a row enters or leaves the contour; one more column than the
    # window, for edges to the right of all centres.
    flips = np.zeros((bottom - top, right - left + 1), np.uint8)
    half = _CELL // 2
    for contour in contours:
        for start, end in zip(contour, contour[1:] + contour[:1]):
            (x0, y0), (x1, y1) = sorted((start, end), key=lambda p: p[1])
            # Rows with centre y in [y0, y1); -(-a // b) is the ceiling.
            rows = np.arange(
                -(-(y0 - half) // _CELL), -(-(y1 - half) // _CELL)
            )
            centre = rows * _CELL + half
            height = y1 - y0
            if not height:
                continue
            crossing = (x0 - half) * height + (centre - y0) * (x1 - x0)
            cols = -(-crossing // (_CELL * height))
            flips[rows - top, cols - left] ^= 1
    inside = np.bitwise_xor.accumulate(flips, axis=1)[:, :-1]
    return inside.astype(bool), left, top


def _random_shape(
    rng: np.random.Generator, size: int, name: str
) -> list[FineContour]:
    """Return a class outline with random size, position and rotation."""
    ratio = _MAX_SIZE * size / _MIN_SIZE
    length = _MIN_SIZE * ratio ** rng.random()
    margin = 0.2 * length  # so that at most 30 % of the box is cut off
    x, y = rng.uniform(margin, size - margin, 2)
    return _place(rng, _OUTLINES[name], length, x, y)


def _random_clutter(rng: np.random.Generator, size: int) -> list[FineContour]:
    """Return a line, a small blob or an arc as a distractor."""
    kind = rng.integers(3)
    if kind == 0:
        length = size * rng.uniform(0.15, 0.7)
        thin = rng.uniform(1, 2.5) / length
        contour = [(-1, -thin), (1, -thin), (1, thin), (-1, thin)]
    elif kind == 1:
        length = rng.uniform(3, 8)
        contour = _radial(rng.uniform(0.5, 1, 9).tolist())
    else:
        length = rng.uniform(14, 14 + 0.3 * size)
        thin = rng.uniform(1, 2.5) / length
        angles = np.linspace(0, rng.uniform(1, 3.5), 24).tolist()
        outer = [(math.cos(a), math.sin(a)) for a in angles]
        contour = outer + [
            ((1 - 2 * thin) * x, (1 - 2 * thin) * y) for x, y in outer[::-1]
        ]
    x, y = rng.uniform(0, size, 2)
    return _place(rng, [contour], length, x, y)


def _place(
    rng: np.random.Generator,
    contours: list[Contour],
    length: float,
    x: float,
    y: float,
) -> list[FineContour]:
    """Stretch and rotate randomly, then scale and place the box.

    Args:
        length: Longer side of the box in pixels.
        x: Horizontal centre of the box in pixels.
        y: Vertical centre of the box in pixels.
    """
    stretch = 1.25 ** rng.uniform(-1, 1)
    angle = rng.uniform(0, math.tau)
    cos, sin = math.cos(angle), math.sin(angle)
    turned = [
        [
            (cos * stretch * px - sin * py, sin * stretch * px + cos * py)
            for px, py in contour
        ]
        for contour in contours
    ]
    xs, ys = zip(*(vertex for contour in turned for vertex in contour))
    scale = length / max(max(xs) - min(xs), max(ys) - min(ys))
    x -= scale * (max(xs) + min(xs)) / 2
    y -= scale * (max(ys) + min(ys)) / 2
    # Rounding here makes all following steps exact.
    return [
        [
            (round(_FINE * (scale * px + x)), round(_FINE * (scale * py + y)))
            for px, py in contour
        ]
        for contour in turned
    ]


def _radial(radii: list[float], start: float = 0.0) -> Contour:
    """Return one vertex per radius, at equal angles."""
    angles = [start + math.tau * k / len(radii) for k in range(len(radii))]
    return [
        (r * math.cos(a), r * math.sin(a))
        for r, a in zip(radii, angles, strict=True)
    ]


_ROUND = 64  # vertices of a circle: 0.04 pixels off at radius 30
_ARM = 0.3  # half the width of a cross's arm
_OUTLINES: dict[str, list[Contour]] = {
    'circle': [_radial([1] * _ROUND)],
    'square': [_radial([1] * 4, math.tau / 8)],
    'triangle': [_radial([1] * 3)],
    'pentagon': [_radial([1] * 5)],
    'star': [_radial([1, 0.4] * 5)],
    'cross': [
        [
            *[(1, -_ARM), (1, _ARM), (_ARM, _ARM)],
            *[(_ARM, 1), (-_ARM, 1), (-_ARM, _ARM)],
            *[(-1, _ARM), (-1, -_ARM), (-_ARM, -_ARM)],
            *[(-_ARM, -1), (_ARM, -1), (_ARM, -_ARM)],
        ]
    ],
    'ring': [_radial([1] * _ROUND), _radial([0.55] * _ROUND)],
}
