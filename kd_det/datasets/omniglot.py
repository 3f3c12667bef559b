"""Omniglot: characters from many alphabets, each drawn by 20 people."""

import os.path as osp
from collections.abc import Iterable, Sequence

import numpy as np
from mmengine.fileio import list_dir_or_file
from PIL import Image

from kd_det.checks import check_count
from kd_det.datasets.retrieval import ClassSplit, images_in
from kd_det.errors import UserError, nearest
from kd_det.registry import DATASETS

# number of characters in each archive
CHARACTERS = dict(
    images_background=964,
    images_evaluation=659,
    images_background_small1=136,
    images_background_small2=156,
)


@DATASETS.register_module()
class Omniglot(ClassSplit):
    """Characters as classes; a split is a set of alphabets.

    Reads ``<folder>/<alphabet>/<character>/*.png`` once and keeps the resized
    drawings in memory, with ink as 255: images (S, S, 1) that need no loading.
    Greek and Latin are in both small archives; exclude them from one with
    ``without``.

    Args:
        data_root: Folder with the unpacked archives.
        folder: Folder of one archive.
        alphabets: One or several alphabets to use; default: all.
        without: One or several alphabets to exclude.
        image_size: Width and height of the images in pixels.
        rotations: Whether to add each character rotated by 90, 180 and 270
            degrees as three more classes.
        pipeline: Transforms.
        metainfo: As in MMEngine.
        indices: See :class:`ClassSplit`.
        test_mode: As in MMEngine.
        lazy_init: As in MMEngine.
        serialize_data: As in MMEngine.

    Raises:
        FileNotFoundError: The folder is missing.
        UserError: An archive has the wrong number of characters, an alphabet
            is missing, a character has no drawing, or an image cannot be read.

    Paper: https://www.science.org/doi/10.1126/science.aab3050
    """

    name = 'Omniglot'
    page = 'https://github.com/brendenlake/omniglot'

    def __init__(
        self,
        data_root: str,
        folder: str = 'images_background',
        alphabets: str | Sequence[str] = (),
        without: str | Sequence[str] = (),
        image_size: int = 28,
        rotations: bool = False,
        pipeline: Sequence = (),
        metainfo: dict | None = None,
        indices: int | Sequence[int] | None = None,
        test_mode: bool = False,
        lazy_init: bool = False,
        serialize_data: bool = True,
    ) -> None:
        self.folder = folder
        # a string would be a sequence of letters
        self.alphabets, self.without = (
            (names,) if isinstance(names, str) else tuple(names)
            for names in (alphabets, without)
        )
        self.image_size = check_count(self, 'image_size', image_size, 1)
        self.turns = range(4 if rotations else 1)
        super().__init__(
            data_root,
            pipeline=pipeline,
            metainfo=metainfo,
            indices=indices,
            test_mode=test_mode,
            lazy_init=lazy_init,
            serialize_data=serialize_data,
        )

    def entries(self) -> Iterable[tuple[dict, str]]:
        """See :meth:`ClassSplit.entries`."""
        for character, files in self._characters():
            drawings = [read_drawing(file, self.image_size) for file in files]
            for turn in self.turns:
                name = f'{character} turned {90 * turn}' if turn else character
                for drawing in drawings:
                    turned = np.ascontiguousarray(np.rot90(drawing, turn))
                    yield dict(img=turned), name

    def _characters(self) -> Iterable[tuple[str, list[str]]]:
        root = self.find(self.folder)
        found = {
            alphabet: subfolders(osp.join(root, alphabet))
            for alphabet in subfolders(root)
        }
        count = sum(map(len, found.values()))
        wanted = CHARACTERS.get(osp.basename(osp.normpath(root)))
        if wanted not in (None, count):
            raise UserError(
                f'{root!r} has {count} characters instead of {wanted}; unpack '
                f'the archive of {self.page} again.'
            )
        for alphabet in (*self.alphabets, *self.without):
            if alphabet not in found:
                raise UserError(
                    f'{root!r} has no alphabet {alphabet!r}; it has '
                    f'{", ".join(found)}{nearest(alphabet, found) or "."}'
                )
        used = {*(self.alphabets or found)} - {*self.without}
        if not any(found[alphabet] for alphabet in used):
            raise UserError(
                f'Omniglot has no character of {root!r}, with '
                f'alphabets={self.alphabets} and without={self.without}; an '
                'archive contains alphabet folders with character folders.'
            )
        # each once, since duplicates would retrieve each other
        for alphabet in dict.fromkeys(self.alphabets or found):
            if alphabet not in used:
                continue
            for character in found[alphabet]:
                folder = osp.join(root, alphabet, character)
                files = images_in(folder)
                if not files:
                    raise UserError(
                        f'Character {folder!r} has no drawing; unpack the '
                        f'archive of {self.page} again, or remove the folder.'
                    )
                yield f'{alphabet}/{character}', files


def subfolders(folder: str) -> list[str]:
    """Return the names of the folders in a folder, sorted."""
    return sorted(list_dir_or_file(folder, list_file=False))


def read_drawing(path: str, side: int) -> np.ndarray:
    """Return a drawing (side, side, 1), uint8, ink as 255.

    Args:
        path: Image file with dark ink on light background.
        side: Size in pixels.

    Raises:
        UserError: The file is not an image.
    """
    try:
        with Image.open(path) as picture:
            small = picture.convert('L').resize(
                (side, side), Image.Resampling.BILINEAR
            )
    except (OSError, ValueError, SyntaxError) as error:
        raise UserError(
            f'Drawing {path!r} cannot be read ({error}); unpack the archive '
            'again.'
        ) from None
    return 255 - np.asarray(small)[..., None]
