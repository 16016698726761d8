"""MSR-VTT's lists."""
import json

import split_files as files
from mmaction.datasets import VideoTextDataset

from projects.vifi_clip_tools.splits.cli import main


def test_msrvtt_is_read_by_mmaction2(tmp_path):
    source = files.write_msrvtt(tmp_path / 'official')
    out = tmp_path / 'lists'
    assert main(['msrvtt', '--annotations', str(source), '--out',
                 str(out)]) == 0
    assert json.loads((out / 'train_9k.json').read_text()) == {
        'video9.mp4': ['first', 'second'], 'video10.mp4': ['na\u00efve']}
    test = VideoTextDataset(ann_file=str(out / 'test_JSFUSION.json'),
                            pipeline=[], data_prefix=dict(video='videos'))
    assert [test.get_data_info(i)['text'] for i in range(len(test))] == [
        'a caf\u00e9', 'one, two']
    assert test.get_data_info(1)['filename'] == 'videos/video8.mp4'
    manifest = json.loads((out / 'manifest.json').read_text())
    assert manifest['lists']['train_9k.json']['captions'] == 3
