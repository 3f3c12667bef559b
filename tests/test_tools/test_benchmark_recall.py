"""The benchmark of Recall@K, on few rows."""

import pytest
from benchmark_recall import benchmark

from kd_det.errors import UserError


def test_small(capsys):
    result = benchmark(50, 4, 1)
    assert result['MiB'] >= result['before'] > 0
    text = capsys.readouterr().out
    assert text.startswith('50 x 4, threads: 1: CPU time 0 s, peak ')
    assert 'retrieval/recall@10' in text and 'recall@100 ' not in text


@pytest.mark.parametrize(
    ('numbers', 'message'),
    [
        ((1, 4, 1), '--images 1; 2 or more'),
        ((9, 0, 1), '--dims 0; 1 or more'),
        ((9, 4, 0), '--threads 0; 1 or more'),
    ],
)
def test_wrong_numbers(numbers, message):
    with pytest.raises(UserError, match=message):
        benchmark(*numbers)
