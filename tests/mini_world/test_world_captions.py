"""The small world's captioned clips: captions tell what can be seen."""
import re
from collections import Counter

import pytest

from projects.vifi_clip_tools.mini_world.clips import (caption_clip,
                                                       list_jobs, stage_clip)
from projects.vifi_clip_tools.mini_world.world import CLASSES, WorldParams

PATTERN = re.compile(
    r'(a video of )?an? ((?P<size>small|medium-sized|large) )?'
    r'(?P<colour>\w+) (?P<shape>\w+) (?P<motion>\w+)(?P<rest> .+)')
BACKGROUNDS = {
    'on a plain background': 'plain',
    'on a shaded background': 'gradient',
    'on stripes': 'stripes',
    'on checks': 'checks',
    'in front of clouds': 'clouds'
}


def parse(caption):
    """Caption to its words; whatever is left over is an error."""
    match = PATTERN.fullmatch(caption)
    assert match, caption
    said, rest = match.groupdict(), match['rest']
    for phrase, kind in BACKGROUNDS.items():
        if f' {phrase}' in rest:
            said['background'] = kind
            rest = rest.replace(f' {phrase}', '')
    tilt = re.search(' (upright|tilted to the (left|right))', rest)
    said['tilt'] = tilt and tilt[1].split()[-1]
    rest = rest.replace(tilt[0], '') if tilt else rest
    place = re.fullmatch(
        ' (in the middle|at the (?P<row>top|bottom)|on the (?P<side>left|right'
        ')|in the (?P<r>top|bottom) (?P<s>left|right) corner)', rest)
    assert place or not rest, caption
    said['middle'] = rest == ' in the middle'
    said['row'] = place and (place['row'] or place['r'])
    said['side'] = place and (place['side'] or place['s'])
    return said


@pytest.fixture(scope='module')
def told():
    """Clips' jobs and what their captions say, 240 test videos."""
    params = WorldParams(train_per_class=0, test_per_class=10, num_stills=0)
    jobs = [job for job in list_jobs(params) if job.cls in CLASSES['train']]
    assert len(jobs) == 240
    return [(job, parse(caption_clip(job))) for job in jobs]


def test_what_is_told(told):
    """All but what the motion changes."""
    for job, said in told:
        scene = stage_clip(job)[0]
        motion = said['motion']
        assert (said['colour'], said['shape'], motion,
                said['background']) == (*job.cls, scene.background_kind)
        assert (said['size'] is None) == (motion == 'pulsing')
        assert (said['tilt'] is None) == (motion == 'spinning')
        if motion in ('spinning', 'pulsing', 'blinking'):
            assert said['middle'] or said['row'] or said['side']
        else:
            assert not said['middle']
        assert not (said['row'] and motion in ('bouncing', 'orbiting'))
        assert not (said['side'] and motion in ('sliding', 'orbiting'))


def test_words_are_true_of_all_frames(told):
    size = {'small': (0.08, 0.13), 'medium-sized': (0.09, 0.24),
            'large': (0.2, 0.26)}
    tilt = dict(left=(-0.3, -0.03), upright=(-0.09, 0.09), right=(0.03, 0.3))
    side = dict(left=(0, 0.45), right=(0.55, 1))
    row = dict(top=(0, 0.45), bottom=(0.55, 1))
    counts = Counter()
    for job, said in told:
        poses = stage_clip(job)[1]
        facts = [('size', size, poses.radius), ('tilt', tilt, poses.tilt),
                 ('side', side, poses.x), ('row', row, poses.y)]
        if said['middle']:
            said = dict(said, x='middle', y='middle')
            facts += [(key, dict(middle=(0.3, 0.7)), getattr(poses, key))
                      for key in 'xy']
        for kind, bounds, values in facts:
            if said[kind]:
                low, high = bounds[said[kind]]
                assert low < values.min() and values.max() < high, job.path
                counts[kind, said[kind]] += 1
    assert len(counts) == 12 and min(counts.values()) >= 5


def test_captions_tell_videos_apart_and_fit_the_text_tower(told):
    content = {tuple(sorted(said.items(), key=str)) for _, said in told}
    assert len(content) > 0.85 * len(told)  # 24 class names are 10 %
    # 32 tokens with start and end; 'medium-sized' is three.
    for job, _ in told:
        assert len(re.findall(r'\w+|-', caption_clip(job))) <= 30
