"""A file is written whole or not at all."""

import hashlib
import os
import signal
import subprocess
import sys

import pytest

from kd_det.files import atomic_write, sha256_of

HANG = """
import sys, time
from kd_det.files import atomic_write
with atomic_write(sys.argv[1]) as file:
    file.write(b'new' * 100000)
    file.flush()
    print('half', flush=True)
    time.sleep(60)
"""


def test_writes_and_replaces(tmp_path):
    path = tmp_path / 'a' / 'b' / 'file.bin'
    for content in (b'one', b'two'):
        with atomic_write(path) as file:
            file.write(content)
        assert path.read_bytes() == content
    assert os.listdir(path.parent) == ['file.bin']


def test_an_exception_leaves_the_old_file(tmp_path):
    path = tmp_path / 'file.bin'
    path.write_bytes(b'old')
    with pytest.raises(ZeroDivisionError), atomic_write(path) as file:
        file.write(b'new')
        file.flush()
        raise ZeroDivisionError
    assert path.read_bytes() == b'old'
    assert os.listdir(tmp_path) == ['file.bin']


def test_nothing_is_visible_before_the_end(tmp_path):
    path = tmp_path / 'file.bin'
    with atomic_write(str(path)) as file:
        file.write(b'new')
        assert not path.exists()
    assert path.exists()


def test_a_kill_leaves_the_old_file(tmp_path):
    path = tmp_path / 'file.bin'
    path.write_bytes(b'old')
    with subprocess.Popen(
        [sys.executable, '-c', HANG, str(path)], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout.readline() == b'half\n'
        process.send_signal(signal.SIGKILL)
    assert path.read_bytes() == b'old'


@pytest.mark.parametrize('mask', [0o022, 0o077])
def test_ordinary_permissions(tmp_path, mask):
    old = os.umask(mask)
    try:
        with atomic_write(tmp_path / 'file.bin'):
            pass
        assert os.umask(mask) == mask
    finally:
        os.umask(old)
    assert (tmp_path / 'file.bin').stat().st_mode & 0o777 == 0o666 & ~mask


def test_a_folder_is_no_file(tmp_path):
    (tmp_path / 'folder').mkdir()
    with pytest.raises(OSError), atomic_write(tmp_path / 'folder'):
        pass
    assert os.listdir(tmp_path) == ['folder']


def test_sha256(tmp_path):
    path = tmp_path / 'file.bin'
    content = os.urandom((1 << 20) + 17)  # more than one block
    path.write_bytes(content)
    assert sha256_of(path) == hashlib.sha256(content).hexdigest()
