"""Steps are done once, go on after an interruption, and start over."""

import pytest

from kd_det.api.long_steps import Step, Steps
from kd_det.errors import UserError
from kd_det.progress import duration

ONE, TWO = Step('one', 'first thing', 60), Step('two', 'second thing', 120)


class Work:
    """Makes a file; remembers what it found there."""

    def __init__(self, folder, fails: bool = False) -> None:
        self.folder, self.fails, self.found = folder, fails, []

    def __call__(self) -> dict:
        path = self.folder / 'one' / 'made'
        self.found.append(path.exists())
        path.write_text('half')
        if self.fails:
            raise KeyboardInterrupt
        path.write_text('whole')
        return dict(path=str(path), value=1)


def do(work: Work, identity: dict | None = None, fresh: bool = False) -> dict:
    steps = Steps(work.folder, (ONE, TWO), fresh)
    return steps.do(ONE, identity or dict(seed=0), work)


def test_once(tmp_path, capsys):
    work = Work(tmp_path)
    first, second = do(work), do(work)
    assert work.found == [False]
    assert second == dict(first, reused=True)
    assert first['value'] == 1 and not first['reused']
    assert first['seconds'] >= 0 and first['cpu_seconds'] >= 0
    text = capsys.readouterr().out
    assert text.count('[1/2] first thing') == 2
    assert 'done in 0 s' in text and 'reused' in text
    assert 'about 2 min 0 s left' in text


def test_interrupted_goes_on_in_its_folder(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        do(Work(tmp_path, fails=True))
    work = Work(tmp_path)
    assert do(work)['resumed']
    assert work.found == [True]
    assert do(work)['reused']


@pytest.mark.parametrize('fails', [True, False])
def test_other_identity_starts_over(tmp_path, fails, capsys):
    try:
        do(Work(tmp_path, fails))
    except KeyboardInterrupt:
        pass
    work = Work(tmp_path)
    assert not do(work, dict(seed=1))['resumed']
    assert work.found == [False]
    assert 'other settings' in capsys.readouterr().out


def test_what_was_made_and_removed_is_made_again(tmp_path):
    work = Work(tmp_path)
    (tmp_path / 'one').mkdir(exist_ok=True)
    (tmp_path / 'one').rmdir()
    record = do(work)
    (tmp_path / 'one' / 'made').unlink()
    assert not do(work)['reused']
    assert record['path'] == str(tmp_path / 'one' / 'made')


def test_fresh(tmp_path):
    work = Work(tmp_path)
    do(work)
    assert not do(work, fresh=True)['reused']
    assert work.found == [False, False]


@pytest.mark.parametrize('fresh', [True, False])
def test_leaves_what_is_not_its_own(tmp_path, fresh):
    (tmp_path / 'two').mkdir()
    with pytest.raises(UserError, match='is not from an earlier run'):
        Steps(tmp_path, (ONE, TWO), fresh)
    assert (tmp_path / 'two').is_dir()


def test_duration():
    assert duration(0.4) == '0 s'
    assert duration(59.6) == '1 min 0 s'
    assert duration(200) == '3 min 20 s'
