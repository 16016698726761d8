"""The draw of K videos."""
import hashlib
import os
import random
import subprocess
import sys

from split_files import ROOT

from projects.vifi_clip_tools.mini_world.splits import _draw
from projects.vifi_clip_tools.splits import draw

KEYS = [f'clip_{i:02d}.mp4' for i in range(20)]
PAIRS = [(key, key) for key in KEYS]


def test_fewer_shots_are_part_of_more():
    drawn = [set(draw(PAIRS, count, 1)) for count in (2, 4, 8, 16)]
    assert [len(one) for one in drawn] == [2, 4, 8, 16]
    assert drawn[0] < drawn[1] < drawn[2] < drawn[3]


def test_seeds_differ_and_order_of_the_input_does_not_matter():
    assert draw(PAIRS, 4, 1) != draw(PAIRS, 4, 2)
    shuffled = random.Random(0).sample(PAIRS, len(PAIRS))
    assert draw(shuffled, 4, 1) == draw(PAIRS, 4, 1)


def test_same_rule_as_the_small_world():
    for seed in 1, 2, 3:
        assert draw(PAIRS, 5, seed) == _draw(KEYS, 5, seed)


def test_golden_draw():
    """By hand: the keys of the smallest hashes of '<seed> <key>'."""
    hashes = {hashlib.sha256(b'3 ' + key.encode()).hexdigest(): key
              for key in KEYS}
    expected = sorted(hashes[h] for h in sorted(hashes)[:4])
    assert draw(PAIRS, 4, 3) == expected
    digest = hashlib.sha256('\n'.join(expected).encode()).hexdigest()
    # Must never change: lists of others would no longer be made again.
    assert digest == (
        '925722ac6a3b6cac7c477f9c8fc534a996178ba4bb110a4f2158f0cb9c7779cd')


def test_hash_seed_of_python_does_not_matter():
    code = ('from projects.vifi_clip_tools.splits.draw import draw;'
            'print(draw([(str(i), i) for i in {*"abcdefghijklmnop"}], 4, 1))')
    code = ('import sys, types\n'
            'for n in ("projects.vifi_clip", "projects.vifi_clip.datasets"):\n'
            '    sys.modules[n] = m = types.ModuleType(n)\n'
            '    m.__path__ = [n.replace(".", "/")]\n' + code)
    said = {
        subprocess.run([sys.executable, '-c', code], cwd=ROOT, text=True,
                       capture_output=True, check=True,
                       env={**os.environ, 'PYTHONHASHSEED': seed}).stdout
        for seed in ('0', '1', '2')
    }
    assert len(said) == 1 and said != {''}
