"""Files to begin with: some that are right, of each layout."""

import io
import json
import pickle
import struct
from pathlib import Path

import numpy as np
import torch

from fuzzing.readers import CLASSES, SIZE
from kd_det.centroids import CentroidBank

# Words of the formats, for the fuzzer to put in.
WORDS = {
    'checkpoints': (
        'archive/data.pkl',
        'state_dict',
        'meta',
        'cbuiltins\neval\n',
        'ctorch._utils\n_rebuild_tensor_v2\n',
        'ccollections\nOrderedDict\n',
        '{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
    ),
    'centroids': (
        'centroids.npy',
        'provenance.npy',
        "{'descr': '|O', 'fortran_order': False, 'shape': (1,), }",
        "'<f4'",
        '"0"',
        'NaN',
    ),
    'coco': (
        '"images"',
        '"annotations"',
        '"categories"',
        '"bbox"',
        '"segmentation"',
        '"counts"',
        '1e999',
        'NaN',
        'null',
        '\\ud800',
        '\\u0000',
    ),
    'voc': (
        '<!DOCTYPE a [<!ENTITY b "c">]>',
        '&b;',
        '<object>',
        '<bndbox>',
        '<xmin>',
        '<difficult>',
        'encoding="utf-16"',
        'nan',
        'inf',
    ),
    'cifar': ('labels', 'cnumpy.core.multiarray\n_reconstruct\n', 'data'),
}


def seeds(reader: str) -> list[bytes]:
    """Return files that a reader accepts, and some words it refuses."""
    return globals()[f'_{reader}']()


def _saved(value: object, **kwargs) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, **kwargs)
    return buffer.getvalue()


def _checkpoints() -> list[bytes]:
    weights = {'a.weight': torch.ones(2, 3), 'a.bias': torch.zeros(2)}
    whole = dict(
        meta=dict(epoch=1, config='model = 1', dataset_meta=dict(classes='a')),
        state_dict=weights,
        message_hub=dict(log=np.float64(1)),
    )
    header = json.dumps(
        dict(a=dict(dtype='F32', shape=[2], data_offsets=[0, 8]))
    ).encode()
    return [
        _saved(whole),
        _saved(weights),
        _saved(weights, _use_new_zipfile_serialization=False),
        struct.pack('<Q', len(header)) + header + bytes(8),
        pickle.dumps(dict(a=[1.0, 'b'])),
    ]


def _centroids() -> list[bytes]:
    path = Path('seed.npz')
    means = np.arange(6, dtype=np.float32).reshape(3, 2)
    names = (*CLASSES, 'background')
    CentroidBank(means, np.ones(3, int), names, dict(a='b')).save(path)
    rows = {str(key): row for key, row in enumerate(means.tolist())}
    return [path.read_bytes(), json.dumps(rows).encode()]


def _coco() -> list[bytes]:
    width, height = SIZE
    images = [
        dict(id=n, file_name=f'{name}.png', width=width, height=height)
        for n, name in enumerate('ab', start=1)
    ]
    boxes = [
        dict(
            id=n,
            image_id=1 + n % 2,
            category_id=1 + n % 2,
            bbox=[n, 2, 9, 8],
            area=72,
            iscrowd=int(n == 4),
            segmentation=[[n, 2, n + 9, 2, n, 10]],
        )
        for n in range(1, 5)
    ]
    kinds = [dict(id=n, name=k) for n, k in enumerate(CLASSES, start=1)]
    table = dict(images=images, annotations=boxes, categories=kinds)
    return [json.dumps(table).encode()]


def _voc() -> list[bytes]:
    box = '<xmin>{}</xmin><ymin>2</ymin><xmax>20</xmax><ymax>19</ymax>'
    objects = ''.join(
        f'<object><name>{name}</name><difficult>0</difficult>'
        f'<bndbox>{box.format(n + 1)}</bndbox></object>'
        for n, name in enumerate(CLASSES)
    )
    size = '<size><width>{}</width><height>{}</height></size>'.format(*SIZE)
    text = f'<annotation>{size}{objects}</annotation>'
    return [text.encode(), f'<?xml version="1.0"?>{text}'.encode()]


def _cifar() -> list[bytes]:
    table = {b'data': np.zeros((2, 3072), np.uint8), b'labels': [0, 9]}
    return [pickle.dumps(table, protocol) for protocol in (0, 2, 4)]
