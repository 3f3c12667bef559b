"""CentroidBank: class means of a teacher's embeddings with provenance."""

import json
import os.path as osp
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from kd_det.errors import UserError
from kd_det.files import atomic_write, check_unpacked

# arrays of a file -> the accepted kinds of NumPy's types
KINDS = dict(centroids='f', counts='iuf', classes='U', provenance='U')
NORMS = 'norms'  # an array that older files lack
MAX_ROWS = 100_000  # of a JSON file; larger indices are mistakes


@dataclass(frozen=True)
class CentroidBank:
    """Class means with their provenance.

    Attributes:
        centroids: Class means (K, D), float32; zero for classes without
            samples.
        counts: Number of embeddings of each class (K,), int64.
        classes: Names of the K rows; for detectors the last is ``background``.
        provenance: Origin of the class means: ``teacher_sha256``,
            ``annotation_sha256``, ``source``, ``versions`` and more; empty for
            the authors' files.
        norms: Mean norm of the embeddings of each class (K,), float32; None
            in files that lack them.
    """

    centroids: np.ndarray
    counts: np.ndarray
    classes: tuple[str, ...]
    provenance: dict = field(default_factory=dict)
    norms: np.ndarray | None = None

    def save(self, path: str | Path) -> None:
        """Write the class means to an ``.npz`` file atomically."""
        own: dict[str, Any] = {}
        if self.norms is not None:
            own[NORMS] = self.norms
        with atomic_write(path) as file:
            np.savez(
                file,
                **own,
                centroids=self.centroids.astype(np.float32),
                counts=self.counts.astype(np.int64),
                classes=np.array(self.classes, dtype=np.str_),
                provenance=np.array(json.dumps(self.provenance)),
            )

    @classmethod
    def load(cls, path: str | Path) -> 'CentroidBank':
        """Read a file written by :meth:`save`, or the authors' JSON.

        The authors' layout maps class indices to lists of D floats. It has
        neither counts nor provenance, so the count of each class is 1.

        Raises:
            FileNotFoundError: The file does not exist.
            UserError: The file has neither layout, or a mean is not finite.
        """
        if not osp.isfile(path):
            raise FileNotFoundError(
                f'There is no centroid file {str(path)!r}; create it with '
                f'`kd_det centroids CONFIG --out {path}`.'
            )
        try:
            with open(path, 'rb') as file:
                is_zip = file.read(2) == b'PK'
            bank = cls._from_npz(path) if is_zip else cls._from_json(path)
            bank._check()
        except Exception as error:  # damaged files raise anything
            # in one line, of which a damaged file's header may be a part
            text = ' '.join(str(error).split())[:300]
            reason = f'{type(error).__name__}: {text}'
            raise UserError(
                f'Centroid file {str(path)!r} cannot be read ({reason}); '
                'accepted are the .npz of `kd_det centroids` and the '
                'JSON layout of the ND authors.'
            ) from None
        return bank

    @classmethod
    def _from_npz(cls, path: str | Path) -> 'CentroidBank':
        check_unpacked(path)
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in KINDS}
            norms = file[NORMS] if NORMS in file else None
        for name, kinds in KINDS.items():
            if getattr(arrays[name], 'dtype', np.dtype('V')).kind not in kinds:
                raise ValueError(f'{name} has another type of values')
        provenance = json.loads(str(arrays['provenance']))
        if not isinstance(provenance, dict):
            raise ValueError('provenance is not a JSON object')
        with np.errstate(over='ignore'):  # what becomes infinite is refused
            means = arrays['centroids'].astype(np.float32)
            if norms is not None:
                norms = norms.astype(np.float32)
        names = tuple(arrays['classes'].tolist())
        counts = arrays['counts'].astype(np.int64)
        return cls(means, counts, names, provenance, norms)

    @classmethod
    def _from_json(cls, path: str | Path) -> 'CentroidBank':
        pairs = json.loads(Path(path).read_text(), object_pairs_hook=list)
        rows = {int(key): np.asarray(row) for key, row in pairs}
        if [*map(str, rows)] != [key for key, _ in pairs]:
            raise ValueError('a class index occurs twice, or is no number')
        if not rows or min(rows) < 0 or max(rows) > MAX_ROWS:
            raise ValueError(f'class indices are {sorted(rows)[:3]}, …')
        if any(row.dtype.kind not in 'fi' for row in rows.values()):
            raise ValueError('a row has something else than numbers')
        shapes = {row.shape for row in rows.values()}
        if [len(shape) for shape in shapes] != [1]:
            raise ValueError('the rows are not lists of equal length')
        centroids = np.zeros((max(rows) + 1, *shapes.pop()), np.float32)
        counts = np.zeros(len(centroids), np.int64)
        for key, row in rows.items():
            centroids[key], counts[key] = row, 1
        return cls(centroids, counts, ())

    def _check(self) -> None:
        """Raise a ValueError unless rows, counts and names match."""
        rows = len(self.centroids)
        if self.centroids.ndim != 2 or self.counts.shape != (rows,):
            raise ValueError('its arrays do not match')
        if not self.centroids.size or self.counts.min() < 0:
            raise ValueError('it is empty, or a count is negative')
        if len({*self.classes}) < len(self.classes):
            raise ValueError('a class occurs twice')
        if self.classes and len(self.classes) != rows:
            raise ValueError(f'{rows} rows have {len(self.classes)} names')
        with np.errstate(over='ignore'):
            norms = np.linalg.norm(self.centroids, axis=1)
        if not np.isfinite(norms).all():
            raise ValueError(
                'a mean is not finite, or too large to be squared'
            )
        if self.norms is None:
            return
        if self.norms.shape != (rows,):
            raise ValueError('its arrays do not match')
        if not np.isfinite(self.norms).all() or self.norms.min() < 0:
            raise ValueError('a norm is not finite, or negative')

    def verify(
        self,
        name: str,
        width: int,
        classes: tuple[str, ...] | None = None,
        num_rows: int | None = None,
        teacher_sha256: str | None = None,
        annotation_sha256: str | None = None,
    ) -> None:
        """Raise unless the class means belong to this teacher and classes.

        Values unknown to the file or the caller are not compared.

        Args:
            name: Name of the file for messages, e.g. its path.
            width: Width of the embeddings.
            classes: Class names of the rows.
            num_rows: Expected number of rows: classes, plus background if any.
            teacher_sha256: SHA-256 of the teacher's checkpoint.
            annotation_sha256: SHA-256 of the training annotations.

        Raises:
            UserError: Something differs; the message names the first
                difference.
        """
        rows, have = self.centroids.shape
        again = 'compute it again with `kd_det centroids`'
        if have != width:
            raise UserError(
                f'Centroid bank {name!r} is {have} wide, the embeddings are '
                f'{width}; it belongs to another head, so {again}.'
            )
        if num_rows is not None and rows != num_rows:
            raise UserError(
                f'Centroid bank {name!r} has {rows} rows, the logits have '
                f'{num_rows} classes; {again}.'
            )
        if classes and self.classes and tuple(classes) != self.classes:
            odd = [
                f'row {row} is {theirs!r}, not {ours!r}'
                for row, (theirs, ours) in enumerate(
                    zip(self.classes, classes, strict=False)
                )
                if theirs != ours
            ] or [f'{len(self.classes)} names, not {len(classes)}']
            raise UserError(
                f'Centroid bank {name!r} has other classes ({odd[0]}); '
                f'{again}.'
            )
        for key, value, what in (
            ('teacher_sha256', teacher_sha256, 'another teacher checkpoint'),
            (
                'annotation_sha256',
                annotation_sha256,
                'another annotation file',
            ),
        ):
            stored = str(self.provenance.get(key) or '')
            if value and stored and value != stored:
                raise UserError(
                    f'Centroid bank {name!r} was made from {what} (sha256 '
                    f'{stored[:12]}, this run has {value[:12]}); {again}.'
                )
