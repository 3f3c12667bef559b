"""What tools/fuzz.py begins with is read, and what it changes is judged."""

import random

import pytest

from fuzzing.mutations import changed
from fuzzing.readers import READERS, Harm, outcome, prepare
from fuzzing.seeds import WORDS, seeds


def bytes_changed(data: bytes, limit: int) -> bytes:
    """In place of the fuzzer's own."""
    chance = random.Random(len(data))
    parts = bytearray(data[: limit - 1] + b'\0')
    parts[chance.randrange(len(parts))] ^= 1 << chance.randrange(8)
    return bytes(parts)


@pytest.mark.parametrize('reader', READERS)
def test_a_reader(reader, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    path = prepare(tmp_path, reader)
    found = []
    path.write_bytes(seeds(reader)[0])
    READERS[reader][1](path)  # imports what it needs
    for content in seeds(reader):
        path.write_bytes(content)
        found.append(outcome(reader, path))
        for number in range(8):
            content = changed(content, 2**14, number, bytes_changed)
            path.write_bytes(content)
            outcome(reader, path)
    assert 'read' in found and WORDS[reader]


def test_harm_is_seen(tmp_path, monkeypatch):
    path = tmp_path / 'a'
    path.touch()
    monkeypatch.setitem(READERS, 'bad', ('a', lambda path: path.unlink()))
    with pytest.raises(Harm, match='os.remove'):
        outcome('bad', path)
    assert path.exists()
