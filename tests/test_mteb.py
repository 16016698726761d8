"""MTEB, where it is installed, evaluates a model of ours on its own tasks."""
import numpy as np
import pytest

from vifi_clip import ViFiCLIP

mteb = pytest.importorskip('mteb')
pytest.importorskip('torchcodec')


@pytest.fixture(scope='module')
def encoder():
    from vifi_clip.mteb import ViFiCLIPEncoder
    return ViFiCLIPEncoder('small_world', device='cpu')


@pytest.mark.parametrize('name', [
    'MockVideoZeroshotClassificationTask', 'MockVideoRetrievalT2V',
    'MockVideoRetrievalV2T', 'MockVideoClassification',
    'MockVideoClusteringTask'])
def test_tasks(encoder, name, tmp_path):
    """Those that MTEB tests its models with; they need no network."""
    import mteb.mocks as mocks
    from mteb.cache import ResultCache
    task = getattr(mocks, name)()
    results = mteb.evaluate(encoder, task, cache=ResultCache(tmp_path))
    assert encoder.mteb_model_meta.name == 'vifi_clip/small_world'
    result, = results.task_results
    assert 0 <= result.get_score() <= 1


def test_embeddings(encoder):
    """Of the frames that MTEB takes, and of texts as they are."""
    from mteb._create_dataloaders import (_create_dataloader_from_texts,
                                          create_dataloader)
    from mteb.mocks import MockVideoZeroshotClassificationTask
    from mteb.models.modality_collators import FramesCollator
    task = MockVideoZeroshotClassificationTask()
    task.load_data()
    data, model = task.dataset['test'], ViFiCLIP(encoder.model.inferencer)
    asked = dict(task_metadata=task.metadata, hf_split='test',
                 hf_subset='default')
    videos = encoder.encode(create_dataloader(
        data, task_metadata=task.metadata, input_column='video',
        batch_size=2), **asked)
    frames = [FramesCollator.resample_video(row['video'], num_frames=8)
              for row in data]
    np.testing.assert_allclose(videos, model.get_video_features(
        [each.permute(0, 2, 3, 1).numpy() for each in frames]), atol=1e-5)
    sentences = ['a video of a red ring', 'a blue star', 'a blue star']
    texts = encoder.encode(
        _create_dataloader_from_texts(sentences, batch_size=2), **asked)
    np.testing.assert_allclose(
        texts, model.get_text_features(sentences, '{}'), atol=1e-5)
