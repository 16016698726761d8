"""feeding.py and gpu.sh, in a tiny form, from the command line to their
files."""
import json
import os
import subprocess
import sys
from pathlib import Path
from unittest import mock

import av
import pytest
from av.video.frame import PictureType
from helpers import write_mp4
from tiny import tiny_arch

from benchmarks import feeding
from benchmarks.clips import CODECS, make_clips
from benchmarks.feeding import SUBJECTS
from benchmarks.feeding_subjects import measure, read
from projects.vifi_clip.models.device_transforms import make_frames

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _environment():
    """What a script sets for its process is not other tests' business."""
    with mock.patch.dict(os.environ):
        yield


@pytest.fixture(scope='module')
def video(tmp_path_factory) -> str:
    return write_mp4(tmp_path_factory.mktemp('video') / 'a.mp4', 20, (96, 64))


@pytest.fixture(scope='module')
def clips(video, tmp_path_factory) -> list:
    return make_clips([video], tmp_path_factory.mktemp('clips'), (64, 48),
                      frames=12)


@pytest.mark.slow
def test_clips_are_of_their_codecs(clips):
    names = {'libx264': 'h264', 'libx265': 'hevc', 'libvpx-vp9': 'vp9'}
    assert [clip.codec for clip in clips] == ['as given', *CODECS]
    for clip in clips[1:]:
        with av.open(clip.path) as file:
            stream = file.streams.video[0]
            kinds = {frame.pict_type for frame in file.decode(stream)}
            codec = stream.codec_context.codec.canonical_name
            size = stream.width, stream.height
        wanted = CODECS[clip.codec]
        assert codec == names.get(wanted.name, wanted.name)
        assert size == (64, 48)
        assert clip.has_b_frames == wanted.has_b_frames
        assert (PictureType.B in kinds) == wanted.has_b_frames
        assert Path(clip.packed).stat().st_size > 0


@pytest.mark.parametrize('subject', SUBJECTS)
def test_samples_of_all_subjects_have_one_shape(subject, video):
    for work, frames in ('train', 16), ('test', 12 * 16):
        sample = read(subject, work, video, 0)
        frame, = make_frames([sample['inputs']], [
            sample['data_samples'].get('deferred')])
        assert frame.shape == (frames, 3, 224, 224)
    cost = measure(subject, 'train', video, 0)
    assert 0 < cost.transforms < cost.total


@pytest.mark.slow
def test_feeding_writes_its_figures(video, tmp_path):
    arch = tmp_path / 'arch.json'
    arch.write_text(json.dumps(tiny_arch(
        vision_cfg=dict(image_size=224, patch_size=56),
        text_cfg=dict(context_length=77))))
    figures = feeding.main([
        video, '--codecs', 'H.264', '--repeats', '1', '--steps', '1',
        '--samples', '20', '--arch', str(arch), '--out', str(tmp_path)])
    assert json.loads((tmp_path / 'feeding.json').read_text()) == figures
    assert {(r['codec'], r['work']) for r in figures['clips']} == {
        (codec, work) for codec in ('as given', 'H.264')
        for work in ('train', 'test')}
    for record in figures['clips']:
        assert all(record[name]['total'] > 0 for name in SUBJECTS)
    assert set(figures['steps']) == set(SUBJECTS)
    assert len(figures['memory']) == 10 and min(figures['memory']) > 100
    assert '| H.264 ' in (tmp_path / 'feeding.md').read_text()


@pytest.mark.slow
def test_gpu_sh_runs_on_a_cpu(video, tmp_path):
    out = tmp_path / 'gpu.json'
    subprocess.run(
        ['bash', str(ROOT / 'benchmarks' / 'gpu.sh'), video, '--tiny',
         '--workers', '1', '--out', str(out), '--clips', str(tmp_path)],
        check=True, env=dict(os.environ, PYTHON=sys.executable), timeout=500)
    report = json.loads(out.read_text())
    assert report['errors'] == {}
    assert report['step']['flops'] > 0 and report['views']['bf16'] > 0
    for name in SUBJECTS:
        part = report[f'from files: {name}']
        assert part['samples_per_second'] > 0 < part['device_busy'] <= 1
