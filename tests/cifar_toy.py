"""Small CIFAR files, written as others write them."""

import pickle
import struct
from pathlib import Path

import numpy as np

import kd_det.registry  # noqa: F401  MMCV finds its operators
from kd_det.datasets.cifar_files import Layout


def python2_pickle(labels: list[int], data: np.ndarray, key: str) -> bytes:
    """What Python 2's cPickle.dump(batch, file, 2) makes of a batch.

    Opcode by opcode, as in the official files: text is BINSTRING.
    """

    def text(content: bytes) -> bytes:
        return b'T' + struct.pack('<I', len(content)) + content

    def number(value: int) -> bytes:
        return b'J' + struct.pack('<i', value)

    shape = number(data.shape[0]) + number(data.shape[1]) + b'\x86'
    dtype = b'cnumpy\ndtype\n' + text(b'u1') + number(0) + number(1) + b'\x87R'
    dtype += b'(' + number(3) + text(b'|') + b'NNN' + number(-1) * 2
    dtype += number(0) + b'tb'
    array = b'cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n'
    array += number(0) + b'\x85' + text(b'b') + b'\x87R'
    array += b'(' + number(1) + shape + dtype + b'\x89'
    array += text(data.tobytes()) + b'tb'
    items = {
        b'batch_label': text(b'training batch 1 of 5'),
        key.encode(): b'](' + b''.join(map(number, labels)) + b'e',
        b'data': array,
        b'filenames': b'](' + text(b'a.png') * len(labels) + b'e',
    }
    pairs = b''.join(text(name) + value for name, value in items.items())
    return b'\x80\x02}(' + pairs + b'u.'


def make_batch(seed: int, count: int, num_classes: int):
    """Rows (count, 3072), uint8, and labels."""
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, 256, (count, 3072), dtype=np.uint8)
    return rows, rng.integers(0, num_classes, count).tolist()


def write_set(root: Path, layout: Layout, names: list[str], count: int = 4):
    """Write all files of a set; returns file name -> (rows, labels)."""
    folder = root / layout.folder
    folder.mkdir(parents=True)
    batches = {}
    for seed, name in enumerate([*layout.train, *layout.test]):
        rows, labels = make_batch(seed, count, layout.num_classes)
        table = {'data': rows, layout.label_key: labels}
        (folder / name).write_bytes(pickle.dumps(table))
        batches[name] = rows, labels
    meta = pickle.dumps({layout.names_key: list(names)})
    (folder / layout.meta).write_bytes(meta)
    return batches
