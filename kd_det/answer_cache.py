"""AnswerCache: what a teacher answers to fixed views of images, on disk."""

import hashlib
import json
import os
import os.path as osp
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from kd_det.checks import check_count
from kd_det.errors import UserError
from kd_det.files import atomic_write

ROWS = 8192  # of a shard
END = 64  # bytes after the numbers: the SHA-256 of key and numbers
KEYS = ('folder', 'views', 'seed')
# entries of an identity, in words
WORDS = dict(
    teacher='another teacher checkpoint',
    preprocessing='another preprocessing of the teacher',
    data='other training data',
    pipeline='another training pipeline',
    images='another number of images',
    views='another number of views',
    seed='another seed',
    fields='other fields',
)


class AnswerCache:
    """A teacher's logits and embeddings of a few seeded views per image.

    They are stored in shards, files of ``ROWS`` rows in float32, view by view.
    Each ends in the SHA-256 of what it belongs to and of its content; nothing
    in it is executed or parsed.

    Args:
        folder: Folder of the shards.
        views: Views per image.
        seed: Seed of the augmentation of all views.

    Attributes:
        fields: Name -> width of what a row holds, in this order; set by the
            distiller.
        rows: Number of rows; known once it is open.
    """

    def __init__(self, folder: str, views: int = 4, seed: int = 0) -> None:
        self.folder = folder
        self.views = check_count('cache', 'views', views, 1)
        self.seed = check_count('cache', 'seed', seed, 0)
        self.fields: dict[str, int] = {}
        self.rows = 0
        self._key = b''
        self._shards: list[np.ndarray | None] = []

    @classmethod
    def of(cls, cfg: dict) -> 'AnswerCache':
        """Return the cache of a distiller's config.

        Raises:
            UserError: It is no dict with a folder, or has other keys.
        """
        right = isinstance(cfg, dict) and not {*cfg} - {*KEYS}
        if not right or not isinstance(cfg.get('folder'), str):
            raise UserError(
                f"cache={cfg!r}; dict(folder='data/cache/NAME', views=4) is "
                f'accepted, with the keys {", ".join(KEYS)}.'
            )
        return cls(**cfg)

    def __deepcopy__(self, memo: dict) -> 'AnswerCache':
        return self  # copies of a pair share the files

    @property
    def width(self) -> int:
        """Numbers per row."""
        return sum(self.fields.values())

    def size(self, images: int) -> int:
        """Return the bytes of all shards.

        Args:
            images: Images of the training set.
        """
        rows = self.views * images
        return 4 * rows * self.width + END * -(-rows // ROWS)

    def open(self, identity: dict) -> list[int]:
        """Look at the files and return the numbers of missing shards.

        Args:
            identity: What the rows belong to; has the keys of ``WORDS``.

        Raises:
            UserError: They belong to something else, or are damaged.
        """
        text = json.dumps(identity, sort_keys=True)
        self._check_identity(json.loads(text))
        self._key = hashlib.sha256(text.encode()).digest()
        self.rows = self.views * identity['images']
        count = -(-self.rows // ROWS)
        self._shards = [self._load(number) for number in range(count)]
        return [n for n, shard in enumerate(self._shards) if shard is None]

    def describe(self, identity: dict) -> None:
        """Write what the shards belong to, before the first of them."""
        with atomic_write(self._about) as file:
            file.write(json.dumps(identity, indent=1).encode())

    def write(self, number: int, values: np.ndarray) -> None:
        """Write a shard atomically.

        Args:
            number: Number of the shard.
            values: Its rows.
        """
        content = np.ascontiguousarray(values, '<f4').tobytes()
        with atomic_write(self._path(number)) as file:
            file.write(content)
            file.write(self._key + hashlib.sha256(content).digest())

    def rows_of(self, number: int) -> range:
        """Return the numbers of a shard's rows."""
        begin = number * ROWS
        return range(begin, min(begin + ROWS, self.rows))

    def read(self, views: list[tuple[int, int]]) -> dict[str, Tensor]:
        """Return the fields of some views, each (N, width).

        Args:
            views: Index of the image and number of the view, for each row.
        """
        images = self.rows // self.views
        places = [divmod(view * images + i, ROWS) for i, view in views]
        rows = np.stack([self._shards[s][row] for s, row in places])
        parts = torch.from_numpy(rows).split([*self.fields.values()], dim=1)
        return dict(zip(self.fields, parts))

    @property
    def _about(self) -> str:
        return osp.join(self.folder, 'cache.json')

    def _path(self, number: int) -> str:
        return osp.join(self.folder, f'{number:06d}.rows')

    def _check_identity(self, identity: dict) -> None:
        if not osp.isfile(self._about):
            return  # its shards tell by themselves
        try:
            stored = json.loads(Path(self._about).read_bytes())
            stored = {key: stored[key] for key in WORDS}
        except (ValueError, KeyError, TypeError, RecursionError):
            raise UserError(
                f'The file {self._about!r} is damaged; delete the folder to '
                'compute the cache again.'
            ) from None
        for key, words in WORDS.items():
            if stored[key] != identity[key]:
                raise UserError(
                    f'The cache {self.folder!r} was made with {words} '
                    f'({str(stored[key])[:40]}, this run has '
                    f'{str(identity[key])[:40]}); delete it, or set another '
                    'folder.'
                )

    def _load(self, number: int) -> np.ndarray | None:
        """Return the rows of a shard, mapped; None without the file."""
        path = self._path(number)
        count = 4 * len(self.rows_of(number)) * self.width
        if not osp.isfile(path):
            return None
        size = os.path.getsize(path)
        again = 'delete it to compute it again'
        if size != count + END:
            raise UserError(
                f'The shard {path!r} has {size} bytes instead of '
                f'{count + END}; it is damaged or of another cache, so '
                f'{again}.'
            )
        content = np.memmap(path, np.uint8, 'r')
        if content[count : count + END // 2].tobytes() != self._key:
            raise UserError(
                f'The shard {path!r} is of another teacher, other data or '
                f'other views; {again}.'
            )
        digest = hashlib.sha256(content[:count]).digest()
        if content[count + END // 2 :].tobytes() != digest:
            raise UserError(f'The shard {path!r} is damaged; {again}.')
        return content[:count].view('<f4').reshape(-1, self.width)
