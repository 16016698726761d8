"""The small world's model, loaded once, and clips that it knows."""
from pathlib import Path

import av
import pytest

from projects.vifi_clip.apis.inferencer import ViFiCLIPInferencer
from projects.vifi_clip_tools.demo.server import write_examples


@pytest.fixture(scope='package')
def inferencer():
    return ViFiCLIPInferencer('small_world', device='cpu')


@pytest.fixture(scope='package')
def examples(tmp_path_factory):
    """Path of each example by its name."""
    return write_examples(str(tmp_path_factory.mktemp('examples')))


@pytest.fixture(scope='package')
def content(examples, tmp_path_factory) -> bytes:
    """The moon of the examples, as a stream."""
    path = tmp_path_factory.mktemp('streams') / 'moon.ts'
    with av.open(examples['Purple moon']) as source, av.open(
            str(path), 'w') as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    return Path(path).read_bytes()
