"""Files that are damaged or made to harm: read correctly, or one sentence."""

import io
import json
import os
import pickle
import signal
import struct
import zipfile
import zlib

import mmcv
import numpy as np
import pytest
import torch
from PIL import Image

from kd_det.centroids import CentroidBank
from kd_det.checkpoint import load_checkpoint
from kd_det.config import load_config
from kd_det.connectors.autoencoder_file import load_auto_encoder
from kd_det.errors import UserError
from kd_det.preflight.coco_table import read_coco
from kd_det.preflight.image_files import read_size

SECONDS = 120  # by which a file is read or refused, on a busy machine


class Touch:
    """Unpickled carelessly, it makes a file."""

    def __reduce__(self):
        return os.system, ('touch executed',)


def saved(obj, **kwargs) -> bytes:
    buffer = io.BytesIO()
    torch.save(obj, buffer, **kwargs)
    return buffer.getvalue()


def zipped(entries: dict, method=zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, 'w', method) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def bomb(name: str) -> bytes:
    """A small archive that states 4 GiB for each of its two entries."""
    small = zipped({name: b'\0' * 99, 'b': b'\0' * 99}, zipfile.ZIP_DEFLATED)
    directory = small.index(b'PK\x01\x02')  # the sizes that readers believe
    parts = small[directory:].split(b'PK\x01\x02')
    parts = [p[:20] + b'\xfe\xff\xff\xff' + p[24:] if p else p for p in parts]
    return small[:directory] + b'PK\x01\x02'.join(parts)


def tensors(header: dict | bytes, length: int | None = None) -> bytes:
    """A safetensors file with two numbers."""
    if isinstance(header, dict):
        header = json.dumps(header).encode()
    size = len(header) if length is None else length
    return struct.pack('<Q', size) + header + bytes(8)


def entry(dtype='F32', shape=(2,), offsets=(0, 8)) -> dict:
    return dict(dtype=dtype, shape=shape, data_offsets=offsets)


def npy(header: bytes, content: bytes = b'') -> bytes:
    size = struct.pack('<H', len(header))
    return b'\x93NUMPY\x01\x00' + size + header + content


def bank(means: bytes) -> bytes:
    """Class means whose array is written by hand."""
    entries = {'centroids.npy': means}
    for name, value in dict(
        counts=np.ones(3, int),
        classes=np.array(['a', 'b', 'c']),
        provenance=np.array('{}'),
    ).items():
        buffer = io.BytesIO()
        np.save(buffer, value)
        entries[f'{name}.npy'] = buffer.getvalue()
    return zipped(entries)


def long_name(archive: bytes) -> bytes:
    """An archive whose first entry says that its name is 5,000 bytes."""
    return archive[:26] + struct.pack('<H', 5000) + archive[28:]


def coco(**changes) -> bytes:
    """A COCO json, entries of its image and annotation changed as text."""
    image = dict(id=1, file_name='"a.png"', width=9, height=9)
    box = dict(id=1, image_id=1, category_id=1, bbox='[0,0,1,1]', area=1)
    for part in (image, box):
        part.update({k: v for k, v in changes.items() if k in part})
    texts = [
        '{' + ','.join(f'"{k}":{v}' for k, v in part.items()) + '}'
        for part in (image, box, dict(id=1, name='"a"'))
    ]
    return '{{"images":[{}],"annotations":[{}],"categories":[{}]}}'.format(
        *texts
    ).encode()


def header_of(array: str, shape: str) -> bytes:
    return f"{{'descr': {array}, 'fortran_order': False, 'shape': {shape}}}"


WEIGHTS = dict(state_dict=dict(a=torch.ones(3)))
OBJECT = header_of("'|O'", '(3,)').encode()
HUGE = header_of("'<f4'", '(1000000, 1000000)').encode()
CHECKPOINTS = {
    'empty': b'',
    'one byte': b'P',
    'a page': b'<html>Not found</html>',
    'zeros': bytes(999),
    'cut': saved(WEIGHTS)[:-99],
    'without data': zipped({'archive/version': b'3'}),
    'leaves the folder': zipped({'../../archive/data.pkl': b'}.'}),
    'bomb': bomb('archive/data.pkl'),
    'code': saved(Touch()),
    'code in weights': saved(dict(state_dict=dict(a=Touch()))),
    'code, old': saved(Touch(), _use_new_zipfile_serialization=False),
    'plain code': pickle.dumps(Touch(), 2),
    'plain code, new': pickle.dumps(Touch(), 5),
    'arrays': pickle.dumps(dict(a=np.ones(3)), 2),
    'arrays, new': pickle.dumps(dict(a=np.ones(3)), 5),
    'nested': b'\x80\x02' + b'(' * 9999 + b'.',
    'tuples': b'\x80\x02)' + b'\x85' * 9999 + b'.',
    'long text': b'\x80\x04\x8d' + struct.pack('<Q', 2**62) + b'a.',
    'long number': b'\x80\x02\x8b' + struct.pack('<i', 2**31 - 1) + b'a.',
    'a tensor': saved(torch.ones(2)),
    'header cut': tensors(b'{"a":', 99),
    'header long': tensors(b'{}', 2**31),
    'header absurd': tensors(b'{}', 2**63),
    'header no json': tensors(b'{abc}'),
    'header nested': tensors(b'{"a":' * 999),
    'beyond the end': tensors(dict(a=entry(offsets=(0, 800)))),
    'negative shape': tensors(dict(a=entry(shape=(-2,)))),
    'unknown type': tensors(dict(a=entry('F99'))),
    'overlap': tensors(dict(a=entry(), b=entry())),
}
BANKS = {
    'empty': b'',
    'pickle': pickle.dumps(Touch()),
    'bomb': bomb('centroids.npy'),
    'objects': bank(npy(OBJECT, pickle.dumps([Touch()] * 3))),
    'code in header': bank(npy(b"__import__('os').system('touch executed')")),
    'nested header': bank(npy(b'(' * 5000)),
    'absurd shape': bank(npy(HUGE)),
    'no array': bank(b'hello'),
    'long name': long_name(bank(b'a' * 9999)),
    'nested json': b'{"0":' * 99999,
    'huge number': b'{"0":[1' + b'0' * 6000 + b']}',
    'utf-16': '{"0":[1]}'.encode('utf-16'),
}
TABLES = {
    'empty': b'',
    'zeros': bytes(99),
    'packed': b'\x1f\x8b\x08',
    'utf-16': coco().decode().encode('utf-16'),
    'latin-1': b'{"images":["' + b'\xe9' * 9999 + b'"]}',
    'nested': b'{"x":' * 99999,
    'nested, closed': b'{"x":' * 99999 + b'1' + b'}' * 99999,
    'huge id': coco(id='1' + '0' * 6000),
    'huge width': coco(width='1' + '0' * 400),
    'text': coco(bbox='"abcd"'),
    'nested box': coco(bbox='[[0],[0],[1],[1]]'),
    'list as id': coco(id='[1]'),
}
CONFIGS = {
    'itself': "_base_ = 'a.py'",
    'nested': 'model = ' + '[' * 300 + ']' * 300,
    'contains itself': 'model = dict()\nmodel["a"] = model',
    'zero byte': 'model = \0',
    'archive': 'PK\x03\x04',
    'ends Python': 'import sys; sys.exit(0)',
    'base is a number': '_base_ = 5',
    'no model': 'model = None',
    'empty': '',
}
BOMB = '\n'.join(
    f'a{n}: &a{n} [{", ".join([f"*a{n - 1}" if n else "x"] * 9)}]'
    for n in range(9)
)
YAML = {
    'code': 'model: !!python/object/apply:os.mkdir [executed]',
    'object': 'model: !!python/object:os.stat {}',
    'aliases': BOMB + '\nmodel: *a8',
    'contains itself': 'model: &a {b: *a}',
    'no model': 'a: b',
    'nested': 'model: ' + '[' * 5000,
    'no YAML': 'model: "',
}
AUTO_ENCODERS = {
    'checkpoint': saved(WEIGHTS),
    'no dict': saved(dict(state_dict=5, provenance={})),
    'code': saved(dict(state_dict={}, provenance=Touch())),
}
CASES = [
    (reader, suffix, name, content)
    for reader, suffix, table in (
        (load_checkpoint, 'pth', CHECKPOINTS),
        (CentroidBank.load, 'npz', BANKS),
        (lambda path: read_coco(path, 'train'), 'json', TABLES),
        (load_config, 'py', CONFIGS),
        (load_config, 'yaml', YAML),
        (load_auto_encoder, 'pth', AUTO_ENCODERS),
    )
    for name, content in table.items()
]


@pytest.fixture(autouse=True)
def no_harm(tmp_path, monkeypatch):
    """Fail if something takes too long, or pickled code was executed."""
    monkeypatch.chdir(tmp_path)

    def ring(*_):
        raise KeyboardInterrupt('it hangs')

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)
    assert not (tmp_path / 'executed').exists()


def refused(read, path) -> str:
    with pytest.raises((UserError, FileNotFoundError)) as caught:
        read(str(path))
    text = str(caught.value)
    assert '\n' not in text and path.name in text and len(text) < 2000
    return text


@pytest.mark.parametrize(
    ('read', 'suffix', 'content'),
    [(case[0], case[1], case[3]) for case in CASES],
    ids=[f'{case[1]}: {case[2]}' for case in CASES],
)
def test_refused(tmp_path, read, suffix, content):
    path = tmp_path / f'a.{suffix}'
    content = content.encode() if isinstance(content, str) else content
    path.write_bytes(content)
    refused(read, path)


def test_many_bases(tmp_path):
    for number in range(60):
        base = f"_base_ = '{number + 1}.py'\n"
        (tmp_path / f'{number}.py').write_text(base)
    (tmp_path / '60.py').write_text("model = dict(type='X')")
    assert 'more than 50 times' in refused(load_config, tmp_path / '0.py')


def picture(mode: str, color, format: str, **kwargs) -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, (40, 24), color).save(buffer, format, **kwargs)
    return buffer.getvalue()


def png(width: int, height: int) -> bytes:
    """A PNG that states its size, without pixels."""
    whole = picture('L', 9, 'PNG')
    size = struct.pack('>II', width, height)
    chunk = b'IHDR' + size + whole[24:29]
    code = struct.pack('>I', zlib.crc32(chunk))
    return whole[:12] + chunk + code + whole[33:]


@pytest.mark.parametrize(
    ('content', 'blue_green_red'),
    [
        (picture('L', 77, 'PNG'), (77, 77, 77)),
        (picture('LA', (77, 9), 'PNG'), (77, 77, 77)),
        (picture('RGBA', (10, 20, 30, 40), 'PNG'), (30, 20, 10)),
        (picture('I;16', 0x4D01, 'PNG'), (77, 77, 77)),
        (picture('1', 1, 'PNG'), (255, 255, 255)),
        (picture('P', 0, 'GIF'), None),
        (picture('CMYK', (0, 0, 0, 0), 'JPEG'), (255, 255, 255)),
        (picture('RGB', (10, 20, 30), 'BMP'), (30, 20, 10)),
        (picture('L', 77, 'PNG') + bytes(99999), (77, 77, 77)),
        (picture('L', 77, 'JPEG') + bytes(99999), (77, 77, 77)),
    ],
)
def test_images_of_other_kinds_are_read(tmp_path, content, blue_green_red):
    """Their size is that of what is loaded, and so is their color."""
    path = tmp_path / 'a.png'
    path.write_bytes(content)
    assert read_size(str(path), {}) == (40, 24)
    loaded = mmcv.imread(str(path))
    assert loaded.shape == (24, 40, 3)
    if blue_green_red:
        np.testing.assert_allclose(loaded[5, 5], blue_green_red, atol=1)


@pytest.mark.parametrize(
    ('content', 'reason'),
    [
        (b'', 'cannot be read'),
        (b'GIF89a', 'cannot be read'),
        (b'\xff\xd8\xff\xe0', 'cannot be read'),
        (picture('RGB', 0, 'JPEG')[:-20], 'its end is missing'),
        (picture('RGB', 0, 'PNG')[:-30], 'cannot be read'),
        (png(60000, 60000), 'at most 1073741824'),
        (png(2**31 - 1, 2**31 - 1), 'at most 1073741824'),
    ],
)
def test_images_that_are_refused(tmp_path, content, reason):
    path = tmp_path / 'a.jpg'
    path.write_bytes(content)
    assert reason in refused(lambda p: read_size(p, {}), path)
