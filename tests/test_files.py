"""A file is written whole or not at all."""

import hashlib
import os
import signal
import subprocess
import sys
import threading

import pytest

from kd_det.errors import UserError
from kd_det.files import atomic_write, check_output, sha256_of

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
    assert path.read_bytes() == b'old' and len(os.listdir(tmp_path)) == 2
    with atomic_write(path) as file:  # removes what was left, alone
        with atomic_write(path) as other:
            other.write(b'first')
        file.write(b'last')
    assert path.read_bytes() == b'last'
    assert os.listdir(tmp_path) == ['file.bin']


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


def test_a_link_stays_and_its_target_is_written(tmp_path):
    target, link = tmp_path / 'target', tmp_path / 'link'
    link.symlink_to('target')
    for old in (None, b'old'):  # a link to nothing, then to a file
        if old:
            target.write_bytes(old)
        with atomic_write(link) as file:
            file.write(b'new')
        assert link.is_symlink() and target.read_bytes() == b'new'


def test_a_pipe_is_written_to(tmp_path):
    pipe, read = tmp_path / 'pipe', []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    check_output(pipe)
    with atomic_write(pipe) as file:
        file.write(b'content')
    reader.join(10)
    assert read == [b'content'] and pipe.is_fifo()


def test_an_open_descriptor_is_written_to():
    out, into = os.pipe()
    check_output(f'/dev/fd/{into}')
    with atomic_write(f'/dev/fd/{into}') as file:
        file.write(b'content')
    os.close(into)
    assert os.read(out, 99) == b'content'
    os.close(out)


def test_the_longest_name(tmp_path):
    path = tmp_path / ('é' * 127)  # 254 of 255 bytes
    check_output(path)
    with atomic_write(path):
        pass
    assert path.is_file()


@pytest.mark.parametrize(
    ('name', 'reason'),
    [
        ('folder', 'is a folder; use the name of a file'),
        ('new/', 'is a folder'),
        ('file/out', "file' is a file, not a folder"),
        ('file/a/b', "file' is a file, not a folder"),
        ('x' * 300, 'has a name of more than 255 bytes'),
        ('new/' + 'x' * 300 + '/out', 'has a name of more than 255 bytes'),
    ],
)
def test_outputs_that_cannot_be(tmp_path, name, reason):
    (tmp_path / 'folder').mkdir()
    (tmp_path / 'file').touch()
    with pytest.raises(UserError, match=f'^--out .*{reason}'):
        check_output(f'{tmp_path}/{name}')
    assert sorted(os.listdir(tmp_path)) == ['file', 'folder']


@pytest.mark.skipif(os.geteuid() == 0, reason='root may write everywhere')
def test_a_folder_that_is_read_only(tmp_path):
    tmp_path.chmod(0o555)
    with pytest.raises(UserError, match='is read-only; use another path'):
        check_output(tmp_path / 'new/out')


def test_sound_outputs_leave_no_trace(tmp_path):
    (tmp_path / 'file').write_bytes(b'old')
    for name in ('file', 'new', 'a/b/new'):
        check_output(tmp_path / name)
    assert os.listdir(tmp_path) == ['file']
    assert (tmp_path / 'file').read_bytes() == b'old'


def test_sha256(tmp_path):
    path = tmp_path / 'file.bin'
    content = os.urandom((1 << 20) + 17)  # more than one block
    path.write_bytes(content)
    assert sha256_of(path) == hashlib.sha256(content).hexdigest()
