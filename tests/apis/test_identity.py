"""Which model made a file, and whether another would make it otherwise."""
import json
from dataclasses import asdict, replace

import numpy as np

from projects.vifi_clip.apis.identity import (NOTES, Identity, differences,
                                              record)


def test_the_same_model_is_the_same_wherever_it_lies(small):
    identity = Identity.of(small, '4x3')
    again = Identity(**json.loads(json.dumps(asdict(identity))))
    assert again == identity and identity.num_views == '4x3'
    assert (identity.embed_dim, identity.num_frames) == (
        small.embed_dim, small.num_frames)
    moved = replace(identity, config='elsewhere.py', checkpoint='/b.pth')
    assert identity.differences(moved) == []


def test_every_difference_is_named(small):
    identity = Identity.of(small)
    for name, value in dict(fingerprint='0' * 64, embed_dim=3, num_frames=5,
                            num_views='2', inference=dict(precision='bf16'),
                            settings={**identity.settings,
                                      'fusion': 'other'}).items():
        said, = identity.differences(replace(identity, **{name: value}))
        shown = dict(fingerprint='weights', settings='fusion')
        assert said.startswith(shown.get(name, name))


def test_weights_and_labels(small):
    before, made = Identity.of(small), record(small, 1, config='a')
    small.set_labels(['other', 'labels'])
    assert Identity.of(small) == before  # where videos lie, stays
    scale = small.model.backbone.visual.proj
    value = scale.data.clone()
    try:
        scale.data.add_(1e-3)
        assert Identity.of(small).fingerprint != before.fingerprint
        other = record(small, (4, 3), config='b')
        assert [text.split()[:2] for text in differences(
            made, other, NOTES)] == [['weights:', repr(
                made['weights'][:12])], ['num_views:', '1'],
                ['other', 'pipeline']]
    finally:
        scale.data.copy_(value)
    assert record(small, 1, config='a') == made
    assert np.shape(made['pipeline'])  # plain values, as a file gives them
    assert json.loads(json.dumps(made)) == made
