"""A run that goes on from any checkpoint ends as one that was not broken; what
it cannot go on from, or with, is refused."""
import pytest
import torch
from mmaction.registry import DATASETS, MODELS
from tools_world import stop_workers
from toy_runner import ToyData, ToyMetric, ToyModel, toy_runner
from torch import nn

from projects.vifi_clip.errors import UserError

EPOCHS, LENGTH = 2, 6


@DATASETS.register_module(force=True)
class Augmented(ToyData):
    """Samples that depend on epoch and index."""

    def __init__(self, ann_file='') -> None:
        super().__init__()
        self.ann_file, self.seed = ann_file, None
        self.epoch = torch.zeros((), dtype=torch.int64).share_memory_()

    def set_epoch(self, epoch) -> None:
        self.epoch.fill_(epoch)

    def __getitem__(self, idx) -> dict:
        draw = torch.Generator().manual_seed(
            1000 * (self.seed or 0) + 10 * int(self.epoch) + idx)
        noise = torch.rand(3, generator=draw)
        return dict(inputs=self.inputs[idx] + noise,
                    targets=self.inputs[idx].sum())


@MODELS.register_module(force=True)
class RandomModel(ToyModel):
    """Draws in the main process, as dropout and mixup do."""

    def forward(self, inputs, targets, mode='tensor', **kwargs):
        if mode == 'loss':
            inputs = inputs * torch.rand(inputs.shape)
        return super().forward(inputs, targets, mode)


@MODELS.register_module(force=True)
class NamedModel(ToyModel):
    """Has the classes of a text classifier."""

    names = []

    def __init__(self) -> None:
        super().__init__()
        self.cls_head = nn.Module()
        self.cls_head.text_classifier = nn.Module()
        self.cls_head.text_classifier.class_names = list(self.names)


def run(work_dir, counts=1, interval=1, workers=0, start=None, **settings):
    """Train; from a checkpoint, if one is named."""
    runner = toy_runner(work_dir, **{**dict(
        batch_size=1, epochs=EPOCHS, dataset=dict(type='Augmented'),
        model=dict(type='RandomModel'), resume=start is not None,
        load_from=start and str(start),
        loader=dict(num_workers=workers, persistent_workers=workers > 0,
                    sampler=dict(type='DefaultSampler', shuffle=True)),
        param_scheduler=[
            dict(type='LinearLR', start_factor=0.5, end=15, by_epoch=False),
            dict(type='ExponentialLR', gamma=0.5)],
        optim_wrapper=dict(optimizer=dict(type='AdamW', lr=0.1),
                           accumulative_counts=counts),
        checkpoint=dict(by_epoch=False, interval=interval,
                        max_keep_ckpts=-1)), **settings})
    runner.train()
    stop_workers()
    return runner


def iterations(folder) -> list:
    return sorted(int(path.stem[5:]) for path in folder.glob('iter_*.pth'))


def end(folder, last=EPOCHS * LENGTH) -> dict:
    content = torch.load(folder / f'iter_{last}.pth')
    return content['state_dict'], content['optimizer'], content[
        'param_schedulers']


def assert_equal(result, expected):
    """Bit by bit."""
    torch.testing.assert_close(result[:2], expected[:2], rtol=0, atol=0)
    assert result[2] == expected[2]


@pytest.mark.parametrize('counts, interval, expected', [
    (1, 1, list(range(1, 13))), (1, 4, [4, 8, 12]), (2, 3, [4, 6, 10, 12]),
    # a step has 4 micro-batches, and each epoch's last 2 are left out
    (4, 1, [4, 10, 12]), (4, 6, [10, 12])])
def test_resumed_anywhere_equals_unbroken(tmp_path, counts, interval,
                                          expected):
    whole = tmp_path / 'whole'
    run(whole, counts, interval)
    assert iterations(whole) == expected
    for start in expected:
        folder = tmp_path / f'from_{start}'
        runner = run(folder, counts, interval,
                     start=whole / f'iter_{start}.pth')
        assert (runner.epoch, runner.iter) == (EPOCHS, EPOCHS * LENGTH)
        assert iterations(folder) == [i for i in expected if i > start]
        if start < EPOCHS * LENGTH:
            assert_equal(end(folder), end(whole))


@pytest.mark.parametrize('settings', [
    dict(workers=2), dict(custom_hooks=[
        dict(type=name) for name in (
            'EpochSeedHook', 'EpochAccumulationHook', 'PlainCheckpointHook',
            'ResumeHook', 'EMAHook')])], ids=['workers', 'average'])
def test_resumed_inside_an_epoch(tmp_path, settings):
    whole, part = tmp_path / 'whole', tmp_path / 'part'
    run(whole, 2, 8, **settings)
    run(part, 2, 8, start=whole / 'iter_8.pth', **settings)
    assert_equal(end(part), end(whole))


@pytest.mark.parametrize('start', [4, 8])
@pytest.mark.parametrize('sampler', ['DefaultSampler', 'InfiniteSampler'])
def test_resumed_by_iteration(tmp_path, monkeypatch, start, sampler):
    """MMEngine's other loop leaves out what was trained on by itself."""
    monkeypatch.setattr('time.sleep', lambda seconds: None)
    settings = dict(
        train_cfg=dict(by_epoch=False, max_iters=12),
        loader=dict(sampler=dict(type=sampler, shuffle=True)))
    whole, part = tmp_path / 'whole', tmp_path / 'part'
    run(whole, 2, 4, **settings)
    run(part, 2, 4, start=whole / f'iter_{start}.pth', **settings)
    assert_equal(end(part, 12), end(whole, 12))


def test_inside_an_epoch_nothing_is_validated(tmp_path):
    """The epoch before was, and the weights are others now."""
    ToyMetric.scores = [0.1, 0.2]
    run(tmp_path / 'whole', 1, 4, val=True)
    ToyMetric.scores = [0.2]
    run(tmp_path / 'part', 1, 4, val=True,
        start=tmp_path / 'whole/iter_8.pth')
    assert not ToyMetric.scores
    best, = (tmp_path / 'part').glob('best*')
    assert best.name == 'best_score_iter_12.pth'


def stripped(path, target, *names) -> str:
    """A checkpoint without what our hooks say in it."""
    content = torch.load(path)
    for name in names:
        (content if name in content else content['meta']).pop(name)
    torch.save(content, target)
    return target


def test_a_checkpoint_of_an_older_version(tmp_path):
    whole = tmp_path / 'whole'
    run(whole, 1, 4)
    run(tmp_path / 'part', 1, 4, start=stripped(
        whole / 'iter_8.pth', tmp_path / 'old.pth', 'vifi_clip_run'))
    assert_equal(end(tmp_path / 'part'), end(whole))


def refused(tmp_path, start, *said, **settings) -> None:
    """See that a run is refused before it trains."""
    before = sorted(tmp_path.rglob('*.pth'))
    with pytest.raises(UserError) as error:
        run(tmp_path / 'part', start=start, **settings)
    for text in map(str, (start, *said)):
        assert text in str(error.value), str(error.value)
    assert '\n' not in str(error.value)
    assert sorted(tmp_path.rglob('*.pth')) == before


def test_what_cannot_be_gone_on_from(tmp_path):
    whole = tmp_path / 'whole'
    plain = dict(by_epoch=False, max_keep_ckpts=-1, type='CheckpointHook')
    run(whole, 4, checkpoint=dict(plain, interval=4))
    # 2 of the 4 micro-batches of a step
    refused(tmp_path, whole / 'iter_8.pth', 'after 2 micro-batches',
            f'resume from {whole / "iter_12.pth"}', counts=4)
    for changes, said in (
            (dict(batch_size=2), ['6 micro-batches', '3 micro-batches']),
            (dict(counts=2), ['accumulative_counts=4',
                              'accumulative_counts=2'])):
        refused(tmp_path, whole / 'iter_4.pth', 'inside an epoch', *said,
                **dict(dict(counts=4), **changes))
    path = stripped(whole / 'iter_4.pth', whole / 'best_4.pth', 'optimizer')
    refused(tmp_path, path, 'no training state', 'load_from=',
            f'resume from {whole / "iter_12.pth"}')
    stripped(path, path, 'epoch')
    refused(tmp_path, path, 'no training state')


def changed(path, target, part, **values):
    """A checkpoint with other values in what is said of its run."""
    content = torch.load(path)
    meta, hub = content['meta'], content['message_hub']
    dict(meta=meta, record=meta['vifi_clip_run'], hub=hub,
         info=hub['runtime_info'])[part].update(values)
    torch.save(content, target)
    return target


def test_a_record_of_another_form(tmp_path):
    run(tmp_path, interval=4, epochs=1)
    path, target = tmp_path / 'iter_4.pth', tmp_path / 'changed.pth'
    for part, values in [('meta', dict(vifi_clip_run=value))
                         for value in (5, None, [], 'x')] + [
            ('record', {name: value}) for name, *values in (
                ('done', 'x', -1, 10**20, None, 1.5), ('waiting', 'x', -1),
                ('batches', [], 'x', 3, [None] * 4), ('classes', 5, [1, 2]),
                ('lists', 5, [5], [[1, 2]])) for value in values] + [
            ('meta', {name: value}) for name in ('epoch', 'iter')
            for value in (10**30, -5, 'a', 1.5, None, [1])] + [
            ('hub', dict(runtime_info=5)), ('info', dict(max_iters='x')),
            ('info', dict(best_score='x')), ('info', dict(best_ckpt=5))]:
        changed(path, target, part, **values)
        refused(tmp_path, target, 'no training state',
                f'resume from {tmp_path}/iter_')


@pytest.mark.parametrize('keys', [None, {'train/loss': False, 'iter': 'x'}])
def test_resumed_keys_of_another_form(tmp_path, keys):
    whole, part = tmp_path / 'whole', tmp_path / 'part'
    run(whole, 1, 4)
    run(part, 1, 4, start=changed(whole / 'iter_8.pth', tmp_path / 'other.pth',
                                  'hub', resumed_keys=keys))
    assert_equal(end(part), end(whole))


def test_a_checkpoint_cannot_have_other_files_removed(tmp_path):
    """MMEngine removes what it says was the best, when there is a better."""
    (tmp_path / 'mine').mkdir()
    ToyMetric.scores = [0.1, 0.1, 0.2]
    run(tmp_path / 'whole', 1, 6, val=True, epochs=1)
    run(tmp_path / 'part', 1, 6, val=True, start=changed(
        tmp_path / 'whole/iter_6.pth', tmp_path / 'other.pth', 'info',
        best_ckpt=str(tmp_path / 'mine'), best_score=0.1))
    assert len(list((tmp_path / 'part').glob('best*'))) == 1
    assert (tmp_path / 'mine').is_dir()


def test_between_epochs_batches_may_change(tmp_path):
    run(tmp_path / 'whole', interval=6, epochs=1)
    run(tmp_path / 'part', interval=2, batch_size=3, epochs=2,
        start=tmp_path / 'whole/iter_6.pth')
    assert iterations(tmp_path / 'part') == [8]
    # the number of iterations tells no more which epoch that is
    run(tmp_path / 'last', interval=2, batch_size=3, epochs=3,
        start=tmp_path / 'part/iter_8.pth')
    assert iterations(tmp_path / 'last') == [10]


@pytest.mark.parametrize('names, said', [
    ('abcd', ['3 classes', 'has 4', 'label 3', "None there, 'd' here"]),
    ('acb', ['label 1', "'b' there, 'c' here"]),
    ('ab', ['has 2', 'label 2', "'c' there, None here"])])
@pytest.mark.parametrize('record', [True, False])
def test_other_classes_are_refused(tmp_path, monkeypatch, names, said, record):
    monkeypatch.setattr(ToyData, 'metainfo', dict(classes=list('abc')))
    monkeypatch.setattr(NamedModel, 'names', 'abc')
    path, settings = tmp_path / 'epoch_1.pth', dict(
        model=dict(type='NamedModel'), checkpoint={}, epochs=1,
        custom_hooks=[dict(type=f'{name}Hook') for name in (
            'EpochSeed', 'PlainCheckpoint', 'Resume')])
    run(tmp_path, **settings)
    if not record:
        stripped(path, path, 'vifi_clip_run')
    run(tmp_path / 'same', start=path, **settings)
    monkeypatch.setattr(NamedModel, 'names', names)
    refused(tmp_path, path, *said, 'load_from=', **settings)


@pytest.mark.parametrize('inside', [False, True])
def test_a_changed_list_is_named(tmp_path, inside):
    data = dict(type='Augmented', ann_file=str(tmp_path / 'train.txt'))
    (tmp_path / 'train.txt').write_text('a 0\n')
    run(tmp_path, dataset=data, interval=2, epochs=1)
    (tmp_path / 'train.txt').write_text('a 1\n')
    path = tmp_path / f'iter_{4 if inside else 6}.pth'
    if inside:
        refused(tmp_path, path, 'train.txt is not the list', dataset=data)
        return
    lines = []
    runner = toy_runner(tmp_path / 'part', data, 2, batch_size=1, resume=True,
                        load_from=str(path))
    runner.logger.warning = lines.append
    runner.train()
    assert [line for line in lines if 'train.txt is not the list' in line]
