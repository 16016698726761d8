"""vifi-clip analyze, on predictions that are counted here by hand."""
import csv
import io

import numpy as np
import pytest
from commands import refused, vifi
from PIL import Image
from sklearn.metrics import confusion_matrix, precision_score, recall_score

from projects.vifi_clip.evaluation import COLUMNS
from projects.vifi_clip_tools.analyze.pictures import most_confused
from projects.vifi_clip_tools.cli.media import write_h264

NAMES = ['clap', 'a "wave", small', 'clapping $ slowly', 'jump']


def rows_of(path):
    return list(csv.reader(io.StringIO(path.read_text())))


def write(path, triples, names=NAMES, folder=''):
    """Predictions as the metric writes them."""
    with open(path, 'w', newline='') as file:
        writer = csv.writer(file, lineterminator='\n')
        writer.writerow(COLUMNS)
        for i, (label, predicted, score) in enumerate(triples):
            writer.writerow([f'{folder}{i}.mp4', label, predicted, score, *(
                names[k] if k >= 0 else '' for k in (label, predicted))])


def test_counts_are_those_of_scikit_learn(tmp_path, capsys):
    rng = np.random.default_rng(0)
    pairs = rng.integers(0, 4, (60, 2))
    write(tmp_path / 'p.csv', [(*pair, f'{score:.3f}') for pair, score in
                               zip(pairs.tolist(), rng.random(60))])
    out = tmp_path / 'out'
    assert vifi('analyze', tmp_path / 'p.csv', '--out', out,
                '--worst', '0') == 0
    header, *matrix = rows_of(out / 'confusion.csv')
    assert header[1:] == [row[0] for row in matrix] == NAMES
    expected = confusion_matrix(*pairs.T)
    assert [[int(n) for n in row[1:]] for row in matrix] == expected.tolist()
    _, *table = rows_of(out / 'per_class.csv')
    recall = recall_score(*pairs.T, average=None)
    precision = precision_score(*pairs.T, average=None)
    assert [row[0] for row in table] == [
        NAMES[k] for k in np.argsort(recall, kind='stable')]
    for name, videos, right, r, p, rival, times in table:
        k = NAMES.index(name)
        assert (int(videos), int(right)) == (expected[k].sum(),
                                             expected[k, k])
        assert (float(r), float(p)) == pytest.approx(
            (recall[k], precision[k]), abs=6e-4)
        assert int(times) == max(np.delete(expected[k], k))
        assert expected[k, NAMES.index(rival)] == int(times)
    assert f'{100 * np.mean(pairs[:, 0] == pairs[:, 1]):.1f}%' in (
        capsys.readouterr().out)
    assert Image.open(out / 'confusion.png').width > 300
    assert not (out / 'worst.jpg').exists()
    refused(capsys, 'analyze', tmp_path / 'p.csv', '--out', out,
            names=['per_class.csv', '--overwrite'])


def test_the_surest_errors_come_first(tmp_path):
    """A video that was not read is an error, without a score; one without a
    label is none; a file that is gone leaves an empty place."""
    frames = np.zeros((4, 64, 64, 3), np.uint8)
    frames[2] = 255  # the middle one
    write_h264(str(tmp_path / '1.mp4'), frames, 8)
    write(tmp_path / 'p.csv', [
        (0, 0, .9), (0, 1, .8), (2, 3, .95), (3, -1, ''), (-1, 2, .99),
        (10**9, 0, '')], names={**dict(enumerate(NAMES)), 10**9: 'far'},
        folder=f'{tmp_path}/')
    assert vifi('analyze', tmp_path / 'p.csv', '-o', tmp_path / 'out') == 0
    assert rows_of(tmp_path / 'out/wrong.csv')[1:] == [
        [f'{tmp_path}/2.mp4', NAMES[2], NAMES[3], '0.9500'],
        [f'{tmp_path}/1.mp4', NAMES[0], NAMES[1], '0.8000'],
        [f'{tmp_path}/3.mp4', NAMES[3], '', ''],
        [f'{tmp_path}/5.mp4', 'far', NAMES[0], '']]
    assert rows_of(tmp_path / 'out/per_class.csv')[1:] == [
        [NAMES[2], '1', '0', '0.000', '0.000', NAMES[3], '1'],
        [NAMES[3], '1', '0', '0.000', '0.000', '', '0'],
        ['far', '1', '0', '0.000', '0.000', NAMES[0], '1'],
        [NAMES[0], '2', '1', '0.500', '0.500', NAMES[1], '1']]
    sheet = np.asarray(Image.open(tmp_path / 'out/worst.jpg').convert('L'))
    assert sheet.shape[1] > 1000 and (sheet > 250).mean() > 0.5


def test_few_of_many_classes_are_drawn():
    counts = np.eye(400, dtype=int) * 9
    counts[7, 300], counts[300, 11], counts[5, 5] = 4, 3, 50
    assert most_confused(counts) == [7, 11, 300]
    shown = most_confused(counts + 1)
    assert {7, 11, 300} <= set(shown) and len(set(shown)) == len(shown) == 30


@pytest.mark.parametrize('text, named', [
    ('video,label\n', 'p.csv'), (','.join(COLUMNS) + '\n', 'p.csv'),
    (','.join(COLUMNS) + '\na.mp4,0,0,much,,\n', 'line 2'),
    (','.join(COLUMNS) + '\na.mp4,0,-5,1,,\n', 'line 2'),
    (','.join(COLUMNS) + f'\na.mp4,{10**21},0,1,,\n', 'line 2')])
def test_bad_files(tmp_path, capsys, text, named):
    (tmp_path / 'p.csv').write_text(text)
    refused(capsys, 'analyze', tmp_path / 'p.csv', '-o', tmp_path / 'out',
            names=named)
    refused(capsys, 'analyze', tmp_path / 'gone.csv', '-o', tmp_path / 'out',
            names='gone.csv')
