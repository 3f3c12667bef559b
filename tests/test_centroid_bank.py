"""The file of the class means: written whole, read strictly, verified."""

import json
import os
import pickle

import numpy as np
import pytest

from kd_det.centroids import CentroidBank
from kd_det.errors import UserError

NAMES = ('cat', 'dog', 'background')
PROVENANCE = dict(
    teacher_sha256='a' * 64,
    annotation_sha256='b' * 64,
    source='gt',
    versions=dict(torch='2.13'),
)


@pytest.fixture
def bank():
    means = np.random.default_rng(0).random((3, 5), np.float32)
    return CentroidBank(means, np.array([7, 0, 9]), NAMES, PROVENANCE)


def write_npz(path, **changes):
    arrays = dict(
        centroids=np.ones((3, 5), np.float32),
        counts=np.ones(3, np.int64),
        classes=np.array(NAMES),
        provenance=np.array('{}'),
    )
    arrays |= changes
    np.savez(path, **{k: v for k, v in arrays.items() if v is not None})
    return path


def test_round_trip(bank, tmp_path):
    path = tmp_path / 'new' / 'bank.npz'
    bank.save(path)
    loaded = CentroidBank.load(str(path))
    np.testing.assert_array_equal(loaded.centroids, bank.centroids)
    assert loaded.centroids.dtype == np.float32
    assert loaded.counts.tolist() == [7, 0, 9]
    assert loaded.classes == NAMES
    assert loaded.provenance == PROVENANCE
    assert os.listdir(path.parent) == ['bank.npz']


def test_the_name_of_the_file_does_not_matter(bank, tmp_path):
    bank.save(tmp_path / 'bank.json')
    assert CentroidBank.load(tmp_path / 'bank.json').classes == NAMES


def test_the_file_holds_no_pickle(bank, tmp_path):
    bank.save(tmp_path / 'bank.npz')
    with np.load(tmp_path / 'bank.npz', allow_pickle=False) as file:
        assert {*file} == {'centroids', 'counts', 'classes', 'provenance'}
        assert [file[name].dtype.kind for name in file] == [*'fiUU']


def test_json_of_the_authors(tmp_path):
    # keys as text, in the order of their first appearance, one is missing
    path = tmp_path / 'center.json'
    path.write_text(json.dumps({'3': [1.5, -2], '0': [0.25, 4]}, indent=4))
    bank = CentroidBank.load(path)
    assert bank.centroids.dtype == np.float32
    assert bank.centroids.tolist() == [[0.25, 4], [0, 0], [0, 0], [1.5, -2]]
    assert bank.counts.tolist() == [1, 0, 0, 1]
    assert bank.classes == () and bank.provenance == {}
    bank.verify('x', 2, ('a', 'b', 'c', 'd'), 4, 'sha', 'sha')


@pytest.mark.parametrize(
    'text',
    [
        '',
        '[]',
        '{}',
        '3',
        '{"0": 1}',
        '{"0": []',
        '{"0": [1, 2], "1": [1]}',
        '{"0": [1, 2], "1": [[1, 2]]}',
        '{"0": [1, NaN]}',
        '{"0": [1, Infinity]}',
        '{"0": [1, 1e39]}',
        '{"0": ["x", 2]}',
        '{"0": [null, 2]}',
        '{"cat": [1, 2]}',
        '{"-1": [1, 2]}',
        '{"0": [1], "99999999999": [1]}',
        '{"0": [1], "0": [2]}',
        '{"0": [1], "00": [2]}',
        '{"1_0": [1]}',
        '{"0": [true]}',
        '{"0": ["1"]}',
        '{"0":' * 100_000,
    ],
)
def test_wrong_json(tmp_path, text):
    path = tmp_path / 'center.json'
    path.write_text(text)
    with pytest.raises(UserError, match='center.json.*cannot be read'):
        CentroidBank.load(path)


@pytest.mark.parametrize(
    ('changes', 'reason'),
    [
        (dict(centroids=None), 'centroids'),
        (dict(provenance=None), 'provenance'),
        (dict(centroids=np.ones(3)), 'do not match'),
        (dict(centroids=np.ones((2, 5))), 'do not match'),
        (dict(centroids=np.float32(1)), 'unsized'),
        (dict(counts=np.ones(2)), 'do not match'),
        (dict(classes=np.array(['cat', 'dog'])), '3 rows have 2 names'),
        (dict(centroids=np.full((3, 5), np.nan)), 'not finite'),
        (dict(centroids=np.full((3, 5), np.inf)), 'not finite'),
        (dict(centroids=np.full((3, 5), 1e24)), 'too large to be squared'),
        (dict(centroids=np.full((3, 5), 'x')), 'another type'),
        (dict(centroids=np.ones((3, 5), complex)), 'another type'),
        (dict(centroids=np.ones((3, 5), 'M8[s]')), 'another type'),
        (dict(centroids=np.ones((3, 0))), 'is empty'),
        (dict(counts=np.array([-1, 1, 1])), 'negative'),
        (dict(counts=np.array([np.nan, 1, 1])), 'negative'),
        (dict(classes=np.array(['cat', 'cat', 'dog'])), 'occurs twice'),
        (dict(classes=np.arange(3)), 'another type'),
        (dict(provenance=np.array('[1]')), 'not a JSON object'),
        (dict(provenance=np.array('[' * 100_000)), 'recursion'),
        (dict(provenance=np.array('nonsense')), 'Expecting'),
        (dict(classes=np.array([object()] * 3)), 'allow_pickle'),
    ],
)
def test_wrong_npz(tmp_path, changes, reason):
    path = write_npz(tmp_path / 'bank.npz', **changes)
    with pytest.raises(UserError, match=f'cannot be read.*{reason}'):
        CentroidBank.load(path)


def test_float64_means_are_read_as_float32(tmp_path):
    path = write_npz(tmp_path / 'bank.npz', centroids=np.ones((3, 5)))
    assert CentroidBank.load(path).centroids.dtype == np.float32


def test_truncated(bank, tmp_path):
    bank.save(tmp_path / 'whole.npz')
    content = (tmp_path / 'whole.npz').read_bytes()
    for length in range(0, len(content), 97):
        (tmp_path / 'cut.npz').write_bytes(content[:length])
        with pytest.raises(UserError, match='cannot be read'):
            CentroidBank.load(tmp_path / 'cut.npz')


def test_code_is_not_executed(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.system, (f'touch {tmp_path / "pwned"}',)

    with open(tmp_path / 'bank.npz', 'wb') as file:
        pickle.dump(Evil(), file)
    with pytest.raises(UserError):
        CentroidBank.load(tmp_path / 'bank.npz')
    write_npz(tmp_path / 'bank.npz', counts=np.array([Evil()] * 3))
    with pytest.raises(UserError):
        CentroidBank.load(tmp_path / 'bank.npz')
    assert not (tmp_path / 'pwned').exists()


def test_absent(tmp_path):
    with pytest.raises(FileNotFoundError, match='kd_det centroids'):
        CentroidBank.load(tmp_path / 'none.npz')


def test_verify_accepts_its_own(bank):
    bank.verify('x', 5)
    bank.verify('x', 5, NAMES, 3, 'a' * 64, 'b' * 64)
    bank.verify('x', 5, list(NAMES), 3, None, None)


@pytest.mark.parametrize(
    ('expected', 'message'),
    [
        (dict(width=6), r'5 wide, the embeddings are 6'),
        (dict(width=5, num_rows=4), r'3 rows, the logits have 4'),
        (
            dict(width=5, classes=('dog', 'cat', 'background')),
            r"row 0 is 'cat', not 'dog'",
        ),
        (dict(width=5, classes=NAMES[:2]), r'3 names, not 2'),
        (
            dict(width=5, teacher_sha256='c' * 64),
            r'another teacher checkpoint \(sha256 aaaaaaaaaaaa, .* c{12}\)',
        ),
        (
            dict(width=5, annotation_sha256='c' * 64),
            r'another annotation file \(sha256 bbbbbbbbbbbb, .* c{12}\)',
        ),
    ],
)
def test_verify_names_what_differs(bank, expected, message):
    with pytest.raises(UserError, match=f"'the.npz'.*{message}") as caught:
        bank.verify('the.npz', **expected)
    assert 'compute it again' in str(caught.value)
