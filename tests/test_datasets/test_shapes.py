"""The shapes data set against a naive even-odd rule, and as a folder."""

import hashlib
import importlib.util
import inspect
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from kd_det.datasets import SHAPES_CLASSES, make_shapes, shapes
from kd_det.errors import UserError

ROOT = Path(__file__).parents[2]
TOOL = ROOT / 'tools' / 'make_shapes.py'
SMALL = dict(num_train=4, num_val=2, image_size=48, seed=3)
# Of the pixels and the annotations of SMALL.
GOLDEN = '2faa802a4b9c1823151ef3ef504b3d5766135d63a36965321c22e9e710519df2'
# Vertices of each contour: what makes the class.
VERTICES = dict(
    circle=[64],
    square=[4],
    triangle=[3],
    pentagon=[5],
    star=[10],
    cross=[12],
    ring=[64, 64],
)


def content(folder):
    """Bytes of every file, by relative name."""
    files = (path for path in folder.rglob('*') if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def read_json(folder, split):
    path = folder / 'annotations' / f'instances_{split}.json'
    return json.loads(path.read_bytes())


def of_image(coco, index):
    found = [a for a in coco['annotations'] if a['image_id'] == index]
    return [{k: v for k, v in a.items() if k != 'id'} for a in found]


def run_python(*args, **kwargs):
    return subprocess.Popen(
        [sys.executable, *map(str, args)],
        env=dict(os.environ, PYTHONPATH=str(ROOT)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **kwargs,
    )


@pytest.fixture(scope='module')
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp('made') / 'shapes'
    return make_shapes(folder, num_train=150, num_val=30, image_size=128)


class TestDeterminism:
    def test_two_folders_are_equal_to_the_byte(self, tmp_path):
        a, b = (make_shapes(tmp_path / name, **SMALL) for name in 'ab')
        digests = [
            {name: hashlib.sha256(data).hexdigest() for name, data in c}
            for c in (content(a).items(), content(b).items())
        ]
        assert digests[0] == digests[1]
        assert len(digests[0]) == 4 + 2 + 3

    def test_the_global_generator_is_neither_used_nor_moved(self, tmp_path):
        np.random.seed(1)
        a = make_shapes(tmp_path / 'a', **SMALL)
        drawn = np.random.random()
        np.random.seed(1)
        assert drawn == np.random.random()
        np.random.seed(2)
        assert content(a) == content(make_shapes(tmp_path / 'b', **SMALL))

    def test_an_image_does_not_depend_on_how_many(self, tmp_path):
        few = make_shapes(tmp_path / 'few', **SMALL)
        many = make_shapes(tmp_path / 'many', **dict(SMALL, num_train=9))
        a, b = content(few), content(many)
        changed = {name for name in a if a[name] != b[name]}
        assert changed == {
            'shapes.json',
            str(Path('annotations/instances_train.json')),
        }
        a, b = read_json(few, 'train'), read_json(many, 'train')
        for index in range(1, 5):
            assert of_image(a, index) == of_image(b, index)
        assert a['annotations'] == b['annotations'][: len(a['annotations'])]

    def test_seeds_splits_and_images_differ(self, tmp_path):
        a = make_shapes(tmp_path / 'a', **SMALL)
        b = make_shapes(tmp_path / 'b', **dict(SMALL, seed=4))
        images = [
            data
            for folder in (a, b)
            for name, data in content(folder).items()
            if name.endswith('.png')
        ]
        assert len(images) == len(set(images)) == 12

    def test_golden(self, tmp_path):
        """A change here calls for a new ``_VERSION`` of the data set."""
        folder = make_shapes(tmp_path / 'a', **SMALL)
        digest = hashlib.sha256()
        for split in ('train', 'val'):
            for path in sorted((folder / split).iterdir()):
                # Pixels, not the file: OpenCV builds compress differently.
                digest.update(cv2.imread(str(path)).tobytes())
            annotations = read_json(folder, split)['annotations']
            digest.update(json.dumps(annotations).encode())
        assert digest.hexdigest() == GOLDEN


def even_odd(contours, size):
    """Naive fill: the mask of 3 x 3 images around the one in the middle."""
    centres = (np.arange(-size * 4, 2 * size * 4) + 0.5) * 16
    odd = np.zeros((len(centres), len(centres)), bool)
    for contour in contours:
        for i, (x0, y0) in enumerate(contour):
            x1, y1 = contour[i - 1]
            for row in np.flatnonzero((y0 <= centres) != (y1 <= centres)):
                crossing = x0 + (centres[row] - y0) * (x1 - x0) / (y1 - y0)
                odd[row] ^= crossing <= centres
    return odd


# In image 17 the image's border decides that a shape has no box.
@pytest.mark.parametrize('index', [*range(1, 9), 17])
def test_boxes_areas_and_visibility_against_naive_masks(monkeypatch, index):
    size = 64
    names, painted = [], []
    random_shape, paint = shapes._random_shape, shapes._Canvas.paint

    def spy_shape(rng, size, name):
        names.append(name)
        return random_shape(rng, size, name)

    def spy_paint(self, rng, contours, owner):
        painted.append((owner, contours))
        return paint(self, rng, contours, owner)

    monkeypatch.setattr(shapes, '_random_shape', spy_shape)
    monkeypatch.setattr(shapes._Canvas, 'paint', spy_paint)
    rng = np.random.Generator(np.random.PCG64([11, 0, index]))
    image, objects = shapes._draw_image(rng, size)

    middle = slice(size * 4, 2 * size * 4)
    top = np.zeros((size * 4, size * 4), int)
    masks = {}
    for owner, contours in painted:
        whole = even_odd(contours, size)
        top[whole[middle, middle]] = owner
        if owner:
            masks[owner] = whole
            name = names[owner - 1]
            assert [len(c) for c in contours] == VERTICES[name]
    expected = []
    for owner, whole in masks.items():
        visible = (top == owner).sum()
        if visible / whole.sum() < 0.4:
            continue
        mask = whole[middle, middle]
        ys, xs = np.nonzero(mask)
        expected.append(
            {
                'category_id': SHAPES_CLASSES.index(names[owner - 1]) + 1,
                'bbox': [
                    xs.min() / 4,
                    ys.min() / 4,
                    (xs.max() - xs.min() + 1) / 4,
                    (ys.max() - ys.min() + 1) / 4,
                ],
                'area': mask.sum() / 16,
                'iscrowd': 0,
            }
        )
    assert objects == expected

    # The pixels a shape owns have its one colour, but for noise.
    for owner in masks:
        pixels = (top == owner).reshape(size, 4, size, 4).all((1, 3))
        if pixels.sum() >= 30:
            assert image[pixels].std(0).max() < 17


def test_the_hidden_have_no_box(monkeypatch):
    """The oracle above met both sides of the rule, at least over these."""
    painted = Counter()
    paint = shapes._Canvas.paint

    def spy_paint(self, rng, contours, owner):
        painted[owner > 0] += 1
        return paint(self, rng, contours, owner)

    monkeypatch.setattr(shapes._Canvas, 'paint', spy_paint)
    boxes = 0
    for index in range(1, 9):
        rng = np.random.Generator(np.random.PCG64([11, 0, index]))
        boxes += len(shapes._draw_image(rng, 64)[1])
    assert 0 < boxes < painted[True]


@pytest.mark.parametrize(
    'contours, area, box',
    [
        # A pixel, in the image's corner.
        ([[(0, 0), (64, 0), (64, 64), (0, 64)]], 1, [0, 0, 1, 1]),
        # Half of it lies left of the image, which is clipped.
        ([[(-64, 64), (64, 64), (64, 128), (-64, 128)]], 1, [0, 1, 1, 1]),
        # 4 x 4 pixels with a hole of 2 x 2.
        (
            [
                [(128, 128), (384, 128), (384, 384), (128, 384)],
                [(192, 192), (320, 192), (320, 320), (192, 320)],
            ],
            12,
            [2, 2, 4, 4],
        ),
        # Sub-pixel centres lie at 8 + 16 k: 8 is in, 40 is out.
        ([[(8, 8), (40, 8), (40, 40), (8, 40)]], 4 / 16, [0, 0, 0.5, 0.5]),
    ],
)
def test_a_mask_by_hand(contours, area, box):
    canvas = shapes._Canvas(np.zeros((8, 8, 3), np.int64))
    painted = canvas.paint(np.random.default_rng(0), contours, owner=5)
    assert painted.mask.sum() / 16 == area == (canvas.owners == 5).sum() / 16
    assert shapes._tight_box(painted) == box
    x, y = int(box[0]), int(box[1])
    assert canvas.image[y, x].max() >= 1
    outside = np.ones((8, 8), bool)
    outside[y : int(np.ceil(y + box[3])), x : int(np.ceil(x + box[2]))] = False
    assert not canvas.image[outside].any()


@pytest.mark.parametrize('x, y', [(-900, 0), (900, 0), (0, -900), (0, 900)])
def test_what_lies_outside_paints_nothing(x, y):
    canvas = shapes._Canvas(np.zeros((8, 8, 3), np.int64))
    contour = [(x, y), (x + 64, y), (x + 64, y + 64), (x, y + 64)]
    painted = canvas.paint(np.random.default_rng(0), [contour], owner=1)
    assert (painted.mask.sum(), painted.whole) == (0, 16)
    assert not canvas.owners.any() and not canvas.image.any()


class TestFolder:
    def test_coco(self, made, capsys):
        for split, count in (('train', 150), ('val', 30)):
            path = made / 'annotations' / f'instances_{split}.json'
            coco = COCO(str(path))
            assert coco.getImgIds() == list(range(1, count + 1))
            assert coco.getAnnIds() == list(range(1, len(coco.anns) + 1))
            names = [c['name'] for c in coco.loadCats(coco.getCatIds())]
            assert tuple(names) == SHAPES_CLASSES
            assert coco.getCatIds() == list(range(1, len(names) + 1))
            files = sorted(p.name for p in (made / split).iterdir())
            assert [i['file_name'] for i in coco.imgs.values()] == files
            for annotation in coco.anns.values():
                x, y, w, h = annotation['bbox']
                assert 0 <= x < x + w <= 128 and 0 <= y < y + h <= 128
                assert 0 < annotation['area'] <= w * h
                assert annotation['iscrowd'] == 0
            detections = [dict(a, score=1.0) for a in coco.anns.values()]
            evaluation = COCOeval(coco, coco.loadRes(detections), 'bbox')
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
            assert evaluation.stats[0] == 1

    def test_images(self, made):
        for split in ('train', 'val'):
            for path in (made / split).iterdir():
                image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
                assert image.shape == (128, 128, 3)
                assert image.dtype == np.uint8

    def test_variety(self, made):
        coco = read_json(made, 'train')
        classes = Counter(a['category_id'] for a in coco['annotations'])
        assert sorted(classes) == list(range(1, len(SHAPES_CLASSES) + 1))
        assert max(classes.values()) < 2 * min(classes.values())
        boxes = Counter(a['image_id'] for a in coco['annotations'])
        counts = {boxes[image['id']] for image in coco['images']}
        assert counts == {0, 1, 2, 3, 4, 5, 6}
        whole = [
            max(w, h)
            for x, y, w, h in (a['bbox'] for a in coco['annotations'])
            if min(x, y) > 0 and max(x + w, y + h) < 128
        ]
        # A quarter of a pixel is lost at most on each side: the corners of
        # a shape lie between sub-pixel centres; a sharp tip loses more.
        assert 11 <= min(whole) < 14 and 50 < max(whole) <= 60.25

    def test_noise_is_centred(self):
        rng = np.random.Generator(np.random.PCG64([0, 0, 0]))
        grey = np.full((256, 256, 3), 128)
        for _ in range(5):
            noise = shapes._add_noise(rng, grey).astype(float) - 128
            assert abs(noise.mean()) < 0.15
            assert 3.9 < noise.std() < 14.2
            # An excess kurtosis of -0.3 at most: near to a Gaussian.
            kurtosis = (noise**4).mean() / noise.var() ** 2 - 3
            assert -0.4 < kurtosis < 0.1

    @pytest.mark.parametrize('size', [32, 33, 127])
    def test_gradients(self, size):
        colors = np.random.Generator(np.random.PCG64(size)).integers(
            0, 256, (3, 3, 3)
        )
        rng = np.random.Generator(np.random.PCG64(size))
        image = shapes._gradients(rng, size)
        knots = np.array([0, (size - 1) / 2, size - 1])
        for channel in range(3):
            grid = colors[..., channel]
            rows = [np.interp(np.arange(size), knots, r) for r in grid.T]
            cols = np.array(rows).T
            full = [np.interp(np.arange(size), knots, c) for c in cols]
            difference = np.array(full) - image[..., channel]
            assert difference.min() > -1e-9 and difference.max() < 1 + 1e-9


class TestOutDir:
    def test_a_finished_folder_is_left_alone(self, tmp_path):
        folder = make_shapes(tmp_path / 'a', **SMALL)
        before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob('*')}
        assert make_shapes(str(tmp_path / 'a'), **SMALL) == folder
        assert before == {p: p.stat().st_mtime_ns for p in tmp_path.rglob('*')}

    def test_an_empty_folder_and_absent_parents(self, tmp_path):
        empty = tmp_path / 'empty'
        empty.mkdir()
        a = make_shapes(empty, **SMALL)
        b = make_shapes(tmp_path / 'x' / 'y' / 'z', **SMALL)
        assert content(a) == content(b)
        assert not list(tmp_path.rglob('*.partial'))

    @pytest.mark.skipif(os.name == 'nt', reason='inodes are POSIX')
    def test_the_folder_appears_as_a_whole(self, tmp_path, monkeypatch):
        make_folder, inodes = shapes._make_folder, []

        def spy(folder, parameters):
            make_folder(folder, parameters)
            inodes.append(folder.stat().st_ino)
            assert not (tmp_path / 'a').exists()

        monkeypatch.setattr(shapes, '_make_folder', spy)
        folder = make_shapes(tmp_path / 'a', **SMALL)
        assert inodes == [folder.stat().st_ino]  # renamed, not filled

    def test_ordinary_permissions(self, tmp_path):
        (tmp_path / 'plain').mkdir()
        folder = make_shapes(tmp_path / 'a', **SMALL)
        modes = {p.stat().st_mode for p in (folder, tmp_path / 'plain')}
        assert len(modes) == 1

    @pytest.mark.parametrize('name', SMALL)
    def test_other_parameters(self, tmp_path, name):
        folder = make_shapes(tmp_path / 'a', **SMALL)
        before = content(tmp_path)
        other = dict(SMALL, **{name: SMALL[name] + 1})
        with pytest.raises(UserError, match=f"'{name}': {other[name]}"):
            make_shapes(folder, **other)
        assert content(tmp_path) == before

    @pytest.mark.parametrize(
        'name, data, words',
        [
            ('notes.txt', 'mine', "contains 'notes.txt'"),
            ('shapes.json', '{"version": 0}', "says {'version': 0}"),
            ('shapes.json', '[', 'not JSON'),
        ],
    )
    def test_foreign_content(self, tmp_path, name, data, words):
        (tmp_path / name).write_text(data)
        with pytest.raises(UserError, match=words):
            make_shapes(tmp_path, **SMALL)
        assert content(tmp_path) == {name: data.encode()}

    def test_a_file(self, tmp_path):
        (tmp_path / 'a').write_text('mine')
        with pytest.raises(UserError, match='is a file'):
            make_shapes(tmp_path / 'a', **SMALL)

    def test_a_lost_image_is_told(self, tmp_path):
        folder = make_shapes(tmp_path / 'a', **SMALL)
        (folder / 'val' / '000002.png').unlink()
        with pytest.raises(UserError, match='val/000002.png'):
            make_shapes(folder, **SMALL)

    @pytest.mark.parametrize(
        'name, value, error',
        [
            ('num_train', 0, UserError),
            ('num_val', -1, UserError),
            ('num_val', 1000000, UserError),
            ('image_size', 31, UserError),
            ('image_size', 2049, UserError),
            ('seed', -1, UserError),
            ('seed', 2**32, UserError),
            ('num_train', 2.0, TypeError),
            ('image_size', '64', TypeError),
            ('seed', True, TypeError),
            ('seed', None, TypeError),
        ],
    )
    def test_bad_arguments(self, tmp_path, name, value, error):
        with pytest.raises(error, match=f'^{name} is .*{value!r}'):
            make_shapes(tmp_path / 'a', **dict(SMALL, **{name: value}))
        assert not list(tmp_path.iterdir())

    def test_an_error_while_drawing_leaves_nothing(
        self, tmp_path, monkeypatch
    ):
        def full(path, image):
            if path.name == '000003.png':
                raise OSError(28, 'No space left on device')
            path.write_bytes(b'')

        monkeypatch.setattr(shapes, '_write_png', full)
        with pytest.raises(OSError, match='No space'):
            make_shapes(tmp_path / 'a', **SMALL)
        assert not list(tmp_path.iterdir())

    @pytest.mark.skipif(os.name == 'nt', reason='signals are POSIX')
    @pytest.mark.parametrize('kind', ['SIGINT', 'SIGKILL'])
    def test_an_interruption_leaves_no_half_folder(self, tmp_path, kind):
        target = tmp_path / 'a'
        # A test run in the background may have handed down SIGINT ignored.
        code = (
            'import signal; from kd_det.datasets import make_shapes;'
            'signal.signal(signal.SIGINT, signal.default_int_handler);'
            f'make_shapes({str(target)!r}, num_train=99999, image_size=32)'
        )
        process = run_python('-c', code)
        try:
            limit = time.monotonic() + 60
            while not list(tmp_path.rglob('000005.png')):
                assert process.poll() is None, process.communicate()
                assert time.monotonic() < limit
                time.sleep(0.01)
            process.send_signal(getattr(signal, kind))
            process.communicate(timeout=60)
        finally:
            process.kill()
        assert process.returncode != 0
        assert not target.exists()
        if kind == 'SIGINT':
            assert not list(tmp_path.iterdir())
        make_shapes(target, **SMALL)
        assert make_shapes(target, **SMALL) == target

    @pytest.mark.parametrize('same', [True, False])
    def test_another_maker_is_faster(self, tmp_path, monkeypatch, same):
        """Of several ranks one's folder is taken, if it is the same."""
        target = tmp_path / 'a'
        make_folder = shapes._make_folder

        def overtaken(folder, parameters):
            make_folder(folder, parameters)
            shutil.copytree(folder, target)
            if not same:
                (target / 'shapes.json').write_text('{}')

        monkeypatch.setattr(shapes, '_make_folder', overtaken)
        if same:
            assert make_shapes(target, **SMALL) == target
        else:
            with pytest.raises(UserError, match='says {}, but'):
                make_shapes(target, **SMALL)
        assert [p.name for p in tmp_path.iterdir()] == ['a']
        assert len(content(target)) == 9


def test_importing_and_making_needs_no_framework(tmp_path):
    code = (
        'import sys; from kd_det.datasets.shapes import make_shapes;'
        f'make_shapes({str(tmp_path / "a")!r}, 1, 1, 32);'
        'heavy = {"torch", "mmcv", "mmengine", "mmdet", "mmpretrain"};'
        'sys.exit(repr(heavy & set(sys.modules)) if heavy & set(sys.modules)'
        ' else 0)'
    )
    process = run_python('-c', code)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors


class TestTool:
    def test_it_makes_the_same(self, tmp_path):
        made = make_shapes(tmp_path / 'a', **SMALL)
        options = ['--train', 4, '--val', 2, '--size', 48, '--seed', 3]
        process = run_python(TOOL, '--out', tmp_path / 'b', *options)
        output, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
        assert output.split()[-1] == str(tmp_path / 'b')
        assert content(made) == content(tmp_path / 'b')

    def test_a_users_error_is_one_line(self, tmp_path):
        process = run_python(TOOL, '--out', tmp_path / 'a', '--size', 5)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 2
        assert errors.splitlines() == [
            'error: image_size is 5; 32 to 2048 is accepted.'
        ]

    def test_its_defaults_are_the_functions(self):
        spec = importlib.util.spec_from_file_location('make_shapes_tool', TOOL)
        tool = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(tool)
        args = tool.parse_args([])
        parameters = inspect.signature(make_shapes).parameters
        assert {
            'num_train': args.train,
            'num_val': args.val,
            'image_size': args.size,
            'seed': args.seed,
        } == {
            name: parameter.default
            for name, parameter in parameters.items()
            if name != 'out_dir'
        }
