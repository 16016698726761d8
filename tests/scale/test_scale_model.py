"""tools/scale_model.py: the model beside measured points."""
import json

import pytest

from projects.vifi_clip.apis.scale_model import main
from projects.vifi_clip.scale.cost import Work, flops, memory
from projects.vifi_clip.scale.measured import calibrate, read_points

RATE = 2e11  # FLOP/s of an invented machine
BASE = 10**9


def _row(workload='train_step', tune='both', **settings) -> dict:
    work = Work(tune=tune, **settings)
    return dict(workload=workload, tune=tune, frames=work.frames,
                batch=work.batch, classes=work.classes, **{
                    k: v for k, v in settings.items()
                    if k not in ('frames', 'batch', 'classes')},
                seconds=sum(flops(work).values()) / RATE,
                peak_bytes=BASE + sum(memory(work).values()))


def _file(tmp_path, rows) -> str:
    path = tmp_path / 'points.json'
    path.write_text(json.dumps(rows))
    return str(path)


def test_calibrated_on_one_point_it_predicts_the_others(tmp_path):
    rows = [_row(frames=8, tokens=14), _row(frames=16, tokens=14),
            _row('eval_view', 'none'), dict(workload='decode')]
    points = read_points(_file(tmp_path, dict(points=rows)))
    known = calibrate(points)
    assert known.first == [points[0], points[2]] and len(points) == 3
    assert known.base_bytes == pytest.approx(BASE)
    assert known.seconds(points[1]) == pytest.approx(rows[1]['seconds'])
    assert known.peak(points[1].work) == pytest.approx(rows[1]['peak_bytes'])


def test_tables_and_picture(tmp_path, capsys):
    rows = [_row(frames=n) for n in (8, 16)] + [
        _row('eval_view', 'none', classes=n) for n in (51, 400)]
    rows[1]['seconds'] /= 1.25  # the model is 25% too slow here
    picture = tmp_path / 'scale.png'
    main(['--measured', _file(tmp_path, rows), '--plot', str(picture)])
    said = capsys.readouterr().out
    assert said.count('calibrated |') == 3  # time of each kind, and memory
    assert '+25%' in said and '| 40,000 |' in said
    assert picture.read_bytes()[:4] == b'\x89PNG'
    assert not list(tmp_path.glob('*.tmp'))


@pytest.mark.parametrize('rows, said', [
    ('{', 'no JSON'), ('3', 'list of points'),
    ([dict(workload='eval_view')], 'point 0 has no frames'),
    ([dict(_row(), seconds=0)], 'seconds=0'),
    ([dict(_row(), tune='none')], "tune='none'"),
    ([dict(_row(), frames=-1)], 'frames must be'), ([], 'no measured point')])
def test_bad_files(tmp_path, rows, said):
    path = _file(tmp_path, rows)
    if isinstance(rows, str):
        (tmp_path / 'points.json').write_text(rows)
    with pytest.raises(ValueError, match=said):
        main(['--measured', path])


@pytest.mark.parametrize('options', [
    ['--frames', '0'], ['--tflops', '0'], ['--plot', 'a.png']])
def test_bad_options(options):
    with pytest.raises(ValueError, match=options[0].strip('-')):
        main(options)
