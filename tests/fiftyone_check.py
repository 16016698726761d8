"""What tests/test_fiftyone.py runs in a process of its own. FiftyOne comes
first there, as with its users: its import fails after importlib_metadata's,
which MMAction2 needs."""
import json
import sys

import fiftyone as fo
import fiftyone.zoo.models as zoo
from eta.core.video import FFmpegVideoReader

import vifi_clip
from vifi_clip import ViFiCLIP

folder, path, *labels = sys.argv[1:]
template = 'a video of {}'
fo.config.model_zoo_dir = folder
assert 'vifi_clip/video-clip' in zoo.list_zoo_models()


def load(**kwargs):
    return zoo.load_zoo_model('vifi_clip/video-clip', device='cpu',
                              cache=False, error_level=1, **kwargs)


def run(function, **frames):
    with FFmpegVideoReader(path, **frames) as reader:
        return function(reader)


model, own = load(classes=labels, text_prompt=template), load()
ours = ViFiCLIP.from_pretrained('small_world', device='cpu')
classes = ours.inferencer.class_names
assert model.media_type == 'video'
assert model.has_embeddings and model.can_embed_prompts
label, embedding = run(model.predict), run(model.embed)
print(json.dumps(dict(
    label=[label.label, label.confidence],
    ours=list(ours(path, labels, template, top_k=1)[0].values()),
    own=run(own.predict).label, classes=classes,
    embeddings=[embedding.tolist(), model.get_embeddings()[0].tolist(),
                ours.get_video_features(path)[0].tolist()],
    texts=[model.embed_prompt(labels[0]).tolist(),
           ours.get_text_features(labels[0], template)[0].tolist()],
    # of a view of clips
    clip=run(model.embed, frames='9-16').tolist(),
    version=vifi_clip.__version__)))
