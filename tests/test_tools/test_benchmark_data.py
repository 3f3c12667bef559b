"""The benchmark of loading, on a few images."""

import cv2
import numpy as np
import pytest
from benchmark_data import benchmark

from kd_det.errors import UserError


def test_small(tmp_path):
    y, x = np.mgrid[:120, :160]
    smooth = np.stack([x, y, x // 2 + y // 2], 2).astype(np.uint8)
    cv2.imwrite(str(tmp_path / 'a.jpg'), smooth)
    result = benchmark(70, str(tmp_path), [60], 1)
    rows = result['rows']
    assert rows['CIFAR']['difference'] == 0
    assert 0 < rows['JPEG to 60']['difference'] < 1
    assert all(row['ratio'][0] > 0 for row in rows.values())
    with pytest.raises(UserError, match='has no .jpg'):
        benchmark(70, str(tmp_path / 'none'), [60], 1)
