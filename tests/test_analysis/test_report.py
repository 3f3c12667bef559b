"""The report of real short runs: its numbers, its gaps, its page."""

import json
import re
import shutil
from html import escape

import numpy as np
import pytest
from chromium import PROGRAM, Chromium
from PIL import Image
from tiny import CLASSES, ND, pair_cfg, run_cfg, spare_time, tiny_spec

from kd_det.analysis.compare_runs import compare_runs
from kd_det.analysis.report import collect, report
from kd_det.analysis.report_runs import read_runs
from kd_det.api import launch
from kd_det.cli import main
from kd_det.errors import UserError
from kd_det.evaluation.predictions import FILE as PREDICTIONS
from kd_det.evaluation.predictions import load_predictions
from kd_det.models.spec import read_spec

HOOKS = [
    dict(type='kd_det.FeatureNormHook', interval=3),
    dict(type='kd_det.GradientShareHook', steps=(1, 7)),
]
PARTS = ('preprocessing', 'student', 'teacher', 'losses', 'backward')
PHONE, DESK = 360, 1200


@pytest.fixture(scope='module')
def folder(teacher, bank, shapes, tmp_path_factory):
    """Three runs of 12 steps: alone, with ND, and with KD but no hooks."""
    spare_time()
    folder = tmp_path_factory.mktemp('report')
    models = dict(
        alone=read_spec(tiny_spec(), 'student')[0],
        nd=pair_cfg(teacher, ND, bank),
        kd=pair_cfg(teacher),
    )
    for name, model in models.items():
        cfg = run_cfg(
            model,
            shapes,
            folder / 'runs' / name,
            train_cfg__max_epochs=2,
            train_cfg__val_interval=2 if name == 'kd' else 1,
        )
        logger = dict(type='LoggerHook', interval=3)
        cfg.default_hooks = dict(cfg.get('default_hooks', {}), logger=logger)
        cfg.custom_hooks = HOOKS if name == 'nd' else []
        cfg.dump(folder / f'{name}.py')
        launch.train(launch.prepare(str(folder / f'{name}.py')), seed=0)
    return folder


def reported(folder, *names):
    """Return the numbers and the page."""
    page = report(
        [str(folder / 'runs' / name) for name in names],
        str(folder / f'{"_".join(names)[:40]}.html'),
        resamples=20,
    )
    numbers = json.loads(page.with_suffix('.json').read_text())
    return numbers, page.read_text()


def numbers_of(folder, *names):
    """Return the numbers alone, since drawing takes long."""
    return collect(read_runs([f'{folder}/runs/{name}' for name in names]), 20)[
        0
    ]


@pytest.fixture(scope='module')
def both(folder):
    return reported(folder, 'alone', 'nd')


def log_of(folder, name):
    (path,) = folder.glob(f'runs/{name}/*/vis_data/scalars.json')
    return [json.loads(line) for line in path.read_text().splitlines()]


def parts_of(gaps):
    return {gap['what']: gap['runs'] for gap in gaps}


def test_scores_are_those_of_compare(folder, both):
    found, page = both
    out = folder / 'compared.json'
    runs = [str(folder / f'runs/{name}') for name in ('alone', 'nd')]
    compare_runs(runs[:1], runs[1:], 20, str(out))
    compared = json.loads(out.read_text())
    assert found['scores']['images'] == compared['images'] == 6
    rows = found['scores']['rows']
    assert [r['name'] for r in rows] == ['mAP', *CLASSES]
    for row, other in zip(rows, compared['scores'], strict=True):
        one, two = row['runs']['A'], row['runs']['B']
        assert one['score'] == other['first']
        assert two['score'] == other['second']
        assert two['change'] == other['change']
        if other['interval']:
            assert two['change_interval'] == pytest.approx(other['interval'])
            low, high = one['interval']
            assert low <= high
        if other['first'] is not None:
            assert f'<td>{100 * other["first"]:.1f}</td>' in page


def test_curves_are_those_of_the_log(folder, both):
    found = both[0]['curves']
    for letter, name in zip('AB', ('alone', 'nd')):
        lines = log_of(folder, name)
        trained = [line for line in lines if 'iter' in line]
        assert [line['step'] for line in trained] == [3, 6, 9, 12]
        losses = {k for line in trained for k in line if 'loss' in k}
        assert losses == {
            k for k, by_run in found['losses'].items() if letter in by_run
        }
        for loss in losses:
            expected = [[line['step'], line[loss]] for line in trained]
            assert found['losses'][loss][letter] == expected
        validated = [line for line in lines if 'coco/bbox_mAP' in line]
        assert found['scores']['coco/bbox_mAP'][letter] == [
            [epoch, line['coco/bbox_mAP']]
            for epoch, line in zip((1, 2), validated, strict=True)
        ]
    assert 'roi.loss_nd' in found['losses']
    assert 'coco/bbox_mAP_75' in found['other_scores']
    assert 'lr' in found['others'] and 'time' not in found['others']
    axes = both[0]['axes']
    assert (axes['scores'], axes['losses']) == ('epoch', 'step')


def test_gradients_norms_cosines_and_cka(folder, both):
    found, page = both
    lines = log_of(folder, 'nd')
    own = {line['step']: line for line in lines if len(line) == 4}
    for what in ('share', 'cosine', 'norm'):
        name = f'roi.nd_grad_{what}'
        assert found['curves']['gradients'][name] == {
            'B': [[step, own[step][name]] for step in (1, 7)]
        }
    trends = found['curves']['trends']
    assert {name.removeprefix('roi.') for name in trends} == {
        'student_norm',
        'teacher_norm',
        'norm_ratio',
        'centroid_cosine',
        'embed_cka',
    }
    for by_run in trends.values():
        assert {*by_run} == {'B'} and len(by_run['B']) == 4
    assert f'<figcaption>{name}</figcaption>' in page
    assert '<figcaption>roi.embed_cka</figcaption>' in page


def test_time_of_the_parts(both):
    found, page = both
    assert {*found['step_seconds']['B']} == {*PARTS}
    assert {*found['step_seconds']['A']} == {*PARTS} - {'teacher', 'losses'}
    for seconds in found['step_seconds'].values():
        total = 1000 * sum(seconds.values())
        assert re.search(rf'<td>({total:.1f}|{total:.0f})</td>', page)


def test_settings_that_differ(both):
    """The student is the same network, whoever teaches it."""
    found, page = both
    names = [row['name'] for row in found['differences']]
    begins = {name.partition('.')[0].partition('[')[0] for name in names}
    assert begins == {
        'initial_weights',
        'teacher',
        'distillers',
        'custom_hooks',
    }
    rows = {row['name']: row['values'] for row in found['differences']}
    assert rows['distillers.roi.losses.loss_nd.type'] == dict(
        A=None, B="'NDLoss'"
    )
    assert rows['custom_hooks[kd_det.FeatureNormHook].interval']['B'] == '3'
    assert 'distillers.roi.losses.loss_nd.type' in page


def test_a_network_of_other_settings_is_seen(folder, tmp_path):
    """In the student's spec, and in a list of parts."""
    for name in ('alone', 'nd'):
        shutil.copytree(folder / f'runs/{name}', tmp_path / 'runs' / name)
    file = tmp_path / 'runs/nd/nd.py'
    text = file.read_text()
    for old, new in (
        ('depth=18', 'depth=34'),
        ('prob=0.5', 'prob=0.25'),
        ('lr=', 'lr=7'),
    ):
        assert old in text
        text = text.replace(old, new)
    file.write_text(text)
    found = numbers_of(tmp_path, 'alone', 'nd')
    rows = {row['name']: row['values'] for row in found['differences']}
    assert rows['model.backbone.depth'] == dict(A='18', B='34')
    flip = 'train_dataloader.dataset.pipeline[RandomFlip].prob'
    assert rows[flip] == dict(A='0.5', B='0.25')
    assert 'optim_wrapper.optimizer.lr' in rows


def test_what_is_missing_is_named(folder, both):
    assert both[0]['missing'] == []
    found, page = reported(folder, 'nd', 'kd')
    gaps = parts_of(found['missing'])
    assert gaps == {
        'curve of the score': ['B'],
        'gradient shares': ['B'],
        'norms and cosines': ['B'],
        'CKA': ['B'],
    }
    for gap in found['missing']:
        assert gap['why'] and gap['fix']
        for text in (gap['what'], gap['why'], gap['fix']):
            assert escape(text) in page
    fixes = ' '.join(gap['fix'] for gap in found['missing'])
    for hook in ('GradientShareHook', 'FeatureNormHook', 'val_interval=1'):
        assert hook in fixes
    # nothing of a teacher is missed in a run without one
    assert numbers_of(folder, 'alone')['missing'] == []


def test_a_hook_that_logged_nothing_is_told(folder, tmp_path):
    shutil.copytree(folder / 'runs/nd', tmp_path / 'runs/nd')
    (path,) = tmp_path.glob('runs/nd/*/vis_data/scalars.json')
    lines = [line for line in path.read_text().splitlines()]
    path.write_text('\n'.join(x for x in lines if 'grad_share' not in x))
    gaps = {g['what']: g for g in numbers_of(tmp_path, 'nd')['missing']}
    why = gaps['gradient shares']['why']
    assert why == 'GradientShareHook is in custom_hooks and has logged nothing'


def test_the_page_needs_nothing_else(both):
    found, page = both
    assert len(found['disagreement']['images']) >= 1
    assert '<script' not in page and '@import' not in page
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    sources += re.findall(r'url\(([^)]*)\)', page)
    assert sources
    inside = re.compile(r'#|data:image/jpeg;base64,')
    assert [s[:60] for s in sources if not inside.match(s)] == []


def test_pictures_are_the_images_with_their_boxes(both, shapes):
    found, page = both
    coco = json.loads((shapes / 'annotations/instances_val.json').read_text())
    names = {image['id']: image['file_name'] for image in coco['images']}
    entries = found['disagreement']['images']
    for entry, name in zip(entries, re.findall(r'<h3>(\S+\.png)</h3>', page)):
        image = sorted(names)[entry['place']]
        assert name == names[image].rpartition('/')[2]
        own = [a for a in coco['annotations'] if a['image_id'] == image]
        assert len(entry['truth']) == len(own)
        for annotation, box in zip(own, entry['truth'], strict=True):
            x, y, w, h = annotation['bbox']
            assert box['box'] == pytest.approx([x, y, x + w, y + h])
    frames = len(re.findall(r'<rect class="true"', page))
    assert frames == sum(len(entry['truth']) for entry in entries)
    wrong = len(re.findall(r'<rect class="wrong"', page))
    seen = [own for entry in entries for own in entry['runs'].values()]
    assert wrong == sum(not b['right'] for own in seen for b in own['boxes'])


def test_without_the_data(folder, tmp_path):
    """The images are named as missing, all else is there."""
    for name in ('alone', 'nd'):
        own = tmp_path / 'runs' / name
        shutil.copytree(folder / 'runs' / name, own)
        file = own / f'{name}.py'
        text = re.sub(
            r"data_root='[^']*'", "data_root='gone'", file.read_text()
        )
        file.write_text(text)
    found, page = reported(tmp_path, 'alone', 'nd')
    (gap,) = found['missing']
    assert gap['what'] == 'images' and gap['runs'] == ['A', 'B']
    assert "data_root='gone'" in gap['why']
    assert found['disagreement']['images'] and '<image' not in page


def test_other_validation_images_are_not_compared(folder, tmp_path):
    for name in ('alone', 'nd', 'kd'):
        shutil.copytree(folder / 'runs' / name, tmp_path / 'runs' / name)
    predictions = load_predictions(tmp_path / 'runs/nd' / PREDICTIONS)
    predictions.true_boxes[0, 0] += 1
    predictions.save(tmp_path / 'runs/nd' / PREDICTIONS)
    found = numbers_of(tmp_path, 'alone', 'nd', 'kd')
    assert [*found['scores']['rows'][0]['runs']] == ['A', 'C']
    gaps = parts_of(found['missing'])
    assert gaps['comparison of scores and images'] == ['B']


def test_a_run_that_has_not_ended(folder, tmp_path):
    """It has its log alone, and the config beside it."""
    own = tmp_path / 'runs/nd'
    shutil.copytree(folder / 'runs/nd', own)
    for name in ('run.json', PREDICTIONS, 'nd.py'):
        (own / name).unlink()
    found, _ = reported(tmp_path, 'nd')
    gaps = parts_of(found['missing'])
    assert {'scores by class, images', 'time of the parts of a step'} < {*gaps}
    assert found['curves']['losses'] and found['runs'][0]['teacher']
    (copy,) = own.glob('*/vis_data/config.py')
    copy.unlink()
    assert 'config' in parts_of(numbers_of(tmp_path, 'nd')['missing'])


def test_names_are_text(folder, tmp_path):
    """Nothing that a folder or a class is called becomes part of the page."""
    evil = '<img src=x onerror=alert(1)>&"$x_1$'
    own = tmp_path / 'runs' / evil.replace('/', '')
    shutil.copytree(folder / 'runs/nd', own)
    p = load_predictions(own / PREDICTIONS)
    classes = np.array([evil, *map(str, p.classes[1:])])
    type(p)(**{**vars(p), 'classes': classes}).save(own / PREDICTIONS)
    (path,) = own.glob('*/vis_data/scalars.json')
    path.write_text(path.read_text().replace('roi.loss_nd', '$<b>loss'))
    found, page = reported(tmp_path, own.name)
    assert found['scores']['rows'][1]['name'] == evil
    assert '<img src=x' not in page and '<b>loss' not in page
    assert page.count(escape(evil).replace('&quot;', '&#34;')) >= 3


def test_the_cka_of_analyze(folder, tmp_path):
    own = tmp_path / 'runs/kd'
    shutil.copytree(folder / 'runs/kd', own)
    content = dict(
        representations=['teacher', 'kd', 'kd inherit'],
        levels=[dict(cka=dict(linear=[[1, 0.25, 0.5], [0] * 3, [0] * 3]))],
    )
    file = own / 'features.json'
    file.write_text(json.dumps(content))
    found, page = reported(tmp_path, 'kd')
    assert found['cka']['A'] == dict(
        representations=content['representations'],
        cka_with_teacher=[[1, 0.25, 0.5]],
    )
    assert 'CKA' not in parts_of(found['missing'])
    assert re.search(r'<td>kd</td><td style="[^"]*">0.25</td>', page)
    for broken in ('{', '{"levels": []}', '[' * 10_000):
        file.write_text(broken)
        with pytest.raises(UserError, match='features.json.* cannot be read'):
            reported(tmp_path, 'kd')


def test_unequal_runs_are_told(folder, tmp_path):
    for name, change in (
        ('alone', {}),
        ('nd', dict(epochs=9, seed=4, data=dict(train=dict(images=1)))),
    ):
        own = tmp_path / 'runs' / name
        shutil.copytree(folder / 'runs' / name, own)
        record = json.loads((own / 'run.json').read_text())
        (own / 'run.json').write_text(json.dumps(record | change))
    found, page = reported(tmp_path, 'alone', 'nd')
    assert found['notes'] == [
        'Not equally long trained: 2, 9 epochs.',
        'Not trained on the same data, see the settings.',
        'Not of the same seed: 0, 4.',
    ]
    assert 'Not equally long trained' in page


def refused(capsys, message, *words):
    with pytest.raises(SystemExit) as caught:
        main(argv=['report', *words])
    assert caught.value.code == 2
    err = capsys.readouterr().err
    assert err.startswith('error: ') and err.count('\n') == 1
    assert message in err


def test_refusals(folder, tmp_path, capsys):
    run = str(folder / 'runs/nd')
    out = ('--out', str(tmp_path / 'out.html'))
    refused(capsys, "There is no '", str(tmp_path), *out)
    (tmp_path / 'link').symlink_to(run)
    refused(capsys, 'is named twice', run, str(tmp_path / 'link'), *out)
    nine = [str(tmp_path / f'{k}') for k in range(9)]
    refused(capsys, 'got 9 RUNs; 1 to 8 are accepted', *nine, *out)
    refused(capsys, 'ends in .html', run, '--out', str(tmp_path / 'x.txt'))
    refused(capsys, '1 to 100000 is', run, *out, '--resamples', '0')
    own = tmp_path / 'own'
    shutil.copytree(run, own)
    record = json.loads((own / 'run.json').read_text())
    for damage in (
        dict(step_seconds=[1]),
        dict(step_seconds=dict(student='fast')),
        dict(step_seconds=dict(student=float('nan'))),
        dict(data='mine'),
    ):
        (own / 'run.json').write_text(json.dumps(record | damage))
        refused(capsys, 'which no training writes', str(own), *out)
    (own / 'run.json').write_text('[' * 100_000)
    refused(capsys, 'is not the record of a run', str(own), *out)
    (own / 'run.json').write_text(json.dumps(record))
    (own / PREDICTIONS).write_bytes(b'no archive')
    refused(capsys, 'cannot be read as the predictions', str(own), *out)
    assert not (tmp_path / 'out.html').exists()


def test_the_command(folder, capsys, tmp_path):
    page = tmp_path / 'deep/page.html'
    main(argv=['report', str(folder / 'runs/kd'), '--out', str(page)])
    text = capsys.readouterr().out
    assert text == f'Wrote {page} and {page.with_suffix(".json")}\n'
    assert page.read_text().startswith('<!doctype html>')


@pytest.mark.skipif(not PROGRAM, reason='there is no Chromium')
def test_in_a_browser(folder, both, tmp_path):
    """It opens offline, fits a phone, and shows charts, boxes and images."""
    page = folder / 'alone_nd.html'
    entries = both[0]['disagreement']['images']
    with Chromium(tmp_path) as browser:
        for width in (DESK, PHONE):
            browser.open(page, width)
            assert browser.value('document.documentElement.scrollWidth') == (
                width
            )
            left = (
                '[...document.querySelectorAll("h1, h2, p, figure, summary")]'
                '.filter(e => e.getBoundingClientRect().right > innerWidth)'
                '.length'
            )
            assert browser.value(left) == 0
            # no letter is smaller than one can read
            small = browser.value(
                'Math.min(...[...document.querySelectorAll('
                '"figure:not(details *) svg text")].map('
                'e => e.getBoundingClientRect().height))'
            )
            assert small > 8
            browser.picture(tmp_path / f'{width}.png')
        outside = {u for u in browser.requests if not u.startswith('data:')}
        assert outside == {page.absolute().as_uri()}
        assert browser.complaints == []
        # the images are there: their colours, not the page's white
        box = browser.value(
            'JSON.stringify(document.querySelector(".seen svg")'
            '.getBoundingClientRect())'
        )
    place = json.loads(box)
    picture = Image.open(tmp_path / f'{PHONE}.png').convert('RGB')
    x, y = place['x'], place['y']
    shown = picture.crop((x, y, x + place['width'], y + place['height']))
    assert len(entries) and np.asarray(shown).std() > 10
