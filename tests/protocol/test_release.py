"""Learning rate, optimizer steps and weights are those of the paper's release.

The rate is timm's. The release's loop is played again here, from what is
known of it: torch's distributed sampler, which makes the shares even; a loader
that drops its last, short micro-batch; gradients that are set to zero at the
start of an epoch and after a step, at every A-th micro-batch.

Ten steps of a shipped config equal a loop in plain PyTorch, written from the
paper over the independent model of tests/release_file.py: 77 tokens, every
class encoded at every micro-batch, no hook and no runner. It is given the
pixels that the runner read; which frames these are, and in which order the
videos come, is worked out a second time.
"""
import json
import math
from pathlib import Path
from types import SimpleNamespace

import mmengine.dataset.sampler as samplers
import numpy as np
import open_clip
import pytest
import release_file
import torch
from helpers import write_mp4
from mmaction.datasets.transforms import SampleFrames
from mmaction.registry import PARAM_SCHEDULERS
from mmengine.config import Config
from mmengine.dataset import DefaultSampler
from mmengine.optim import OptimWrapper
from mmengine.registry import init_default_scope
from mmengine.runner import EpochBasedTrainLoop
from release_file import NAMES
from timm.scheduler import CosineLRScheduler
from tiny import count_text_runs
from torch.distributions import Beta
from torch.nn import functional as F
from torch.utils.data import DataLoader, DistributedSampler
from toy_runner import toy_runner

from projects.vifi_clip.apis.runs import build_runner
from projects.vifi_clip.checkpoints.layouts import read_layout, write_release
from projects.vifi_clip.engine import EpochAccumulationHook, WarmupCosineLR
from projects.vifi_clip.errors import UserError
from projects.vifi_clip.models.recognizer import ViFiCLIP


def _release(videos, processes, batch, accumulate, epochs):
    """Steps of each process, and the sum of the (numbered) videos of each."""
    found = []
    for rank in range(processes):
        sampler = DistributedSampler(videos, processes, rank, shuffle=False)
        loader = DataLoader(videos, batch, sampler=sampler, drop_last=True)
        found.append([])
        for _ in range(epochs):
            gradient = 0.
            for i, data in enumerate(loader):
                gradient += float(data.mean()) / accumulate
                if (i + 1) % accumulate == 0:
                    found[-1].append(gradient)
                    gradient = 0.
    return found


def _ours(monkeypatch, loader_cfg, videos, processes, accumulate, epochs):
    """The same through MMEngine's sampler and wrapper, and our hook."""
    found = []
    for rank in range(processes):
        monkeypatch.setattr(samplers, 'get_dist_info',
                            lambda: (rank, processes))
        weight, values = torch.nn.Parameter(torch.zeros(
            (), dtype=torch.float64)), [0.]
        runner = SimpleNamespace(
            train_dataloader=DataLoader(
                videos, loader_cfg.batch_size, drop_last=loader_cfg.drop_last,
                sampler=DefaultSampler(videos, shuffle=False)),
            optim_wrapper=OptimWrapper(torch.optim.SGD([weight], lr=1.),
                                       accumulative_counts=accumulate),
            model=torch.nn.Linear(1, 1),
            train_loop=EpochBasedTrainLoop.__new__(EpochBasedTrainLoop))
        hook = EpochAccumulationHook()
        for _ in range(epochs):
            hook.before_train_epoch(runner)
            for data in runner.train_dataloader:
                # so that the gradient is the mean of the videos' numbers
                runner.optim_wrapper.update_params(-weight * data.mean())
                if weight.item() != values[-1]:
                    values.append(weight.item())
            hook.after_train_epoch(runner)
        found.append([b - a for a, b in zip(values, values[1:])])
    return found


# entry, classes trained on, shots, steps in all (None: by the play alone)
@pytest.mark.parametrize('entry, classes, shots, steps', [
    ('vifi_few_shot', 51, 2, 50), ('vifi_few_shot', 51, 8, None),
    ('vifi_few_shot', 101, 4, None), ('vifi_few_shot', 174, 2, None),
    ('vifi_base2novel', 26, 16, 66), ('vifi_base2novel', 87, 16, None)])
def test_eight_processes(monkeypatch, entry, classes, shots, steps):
    monkeypatch.setenv('PRETRAINED', 'clip.pt')
    cfg = Config.fromfile(f'configs/{entry}.py')
    videos = [float(i + 1) for i in range(classes * shots)]
    accumulate = cfg.optim_wrapper.accumulative_counts
    expected = _release(videos, 8, 4, accumulate, 2)  # epochs
    found = _ours(monkeypatch, cfg.train_dataloader, videos, 8, accumulate, 2)
    assert {len(rank) for rank in found} == {len(expected[0])}
    assert steps in (None, len(expected[0]) // 2 * cfg.train_cfg.max_epochs)
    for one, other in zip(found, expected):
        assert one == pytest.approx(other, rel=1e-4)


@pytest.mark.parametrize('size, accumulate, said', [
    (2, 4, 'accumulative_counts=4.*accumulative_counts=3'),
    (2, 1.5, 'accumulative_counts'), (8, 1, 'train_dataloader.batch_size')])
def test_no_step_in_an_epoch_is_an_error(tmp_path, size, accumulate, said):
    """Of six videos."""
    runner = toy_runner(
        tmp_path, batch_size=size, loader=dict(drop_last=True),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=.1),
                           accumulative_counts=accumulate))
    with pytest.raises(UserError, match=said):
        runner.train()


def _optimizer(peak):
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=peak)


# entry, knobs, epochs of warm-up and in all, peak (recipes: "Optimisation")
@pytest.mark.parametrize('entry, knobs, warmup, epochs, peak', [
    ('vifi_zero_shot', {}, 5, 10, 8e-6), ('vifi_k400', {}, 5, 30, 22e-6),
    ('vifi_k400', dict(TUNE='text'), 5, 30, 8e-6),
    ('vifi_base2novel', {}, 5, 11, 2e-6),
    ('vifi_base2novel', dict(TUNE='prompts'), 5, 11, 4e-2),
    ('vifi_few_shot', {}, 5, 50, 2e-6),
    ('vifi_few_shot', dict(TUNE='prompts'), 5, 50, 8e-3),
    ('vifi_retrieval', {}, .5, 5, 1e-5), ('vifi_mini', {}, 1, 8, 3e-4),
    ('vifi_mini', dict(PROTOCOL='few_shot'), 1, 12, 3e-4),
    ('mini_retrieval', {}, 1, 6, 3e-4), ('mini_clip', {}, 1, 10, 1e-3)])
@pytest.mark.parametrize('epoch_length', [1, 2, 38])
def test_every_protocol(monkeypatch, entry, knobs, warmup, epochs, peak,
                        epoch_length):
    for name, value in dict(knobs, PRETRAINED='clip.pt').items():
        monkeypatch.setenv(name, value)
    cfg = Config.fromfile(f'configs/{entry}.py')
    assert cfg.optim_wrapper.optimizer.lr == peak
    assert cfg.train_cfg.max_epochs == epochs
    total = epochs * epoch_length
    ours, theirs = OptimWrapper(_optimizer(peak)), _optimizer(peak)

    def build():
        """As MMEngine's runner does."""
        return PARAM_SCHEDULERS.build(
            dict(cfg.param_scheduler, optimizer=ours),
            default_args=dict(epoch_length=epoch_length))

    scheduler = build()
    timm = CosineLRScheduler(
        theirs, t_initial=total, lr_min=peak / 100, warmup_lr_init=0,
        warmup_t=round(warmup * epoch_length), cycle_limit=1,
        t_in_epochs=False)
    for t in range(total):
        if t == total // 2:  # a run that is resumed
            state, rate = scheduler.state_dict(), ours.get_lr()['lr'][0]
            scheduler = build()
            scheduler.load_state_dict(state)
            ours.param_groups[0]['lr'] = rate  # by the optimizer's state
        timm.step_update(t)
        assert ours.get_lr()['lr'] == [pytest.approx(
            theirs.param_groups[0]['lr'], rel=1e-9)], t
        ours.step()
        scheduler.step()


@pytest.mark.parametrize('setting', [
    dict(warmup=-1), dict(warmup=21), dict(eta_min_ratio=-1),
    dict(eta_min_ratio=5), dict(eta_min_ratio=float('nan')),
    dict(start_ratio=1.5)])
def test_settings_that_make_no_schedule(setting):
    with pytest.raises(ValueError, match=next(iter(setting))):
        WarmupCosineLR(OptimWrapper(_optimizer(1.)),
                       **{**dict(warmup=1, end=20), **setting})


VIDEOS, FRAMES, LENGTH = 22, 4, 14
BATCH, PEAK, SEED = 4, 5e-4, 5
LAYERS, PROMPTS = 3, 10
ARCH = dict(
    release_file.ARCH,
    vision_cfg=dict(image_size=224, layers=LAYERS, width=64, head_width=64,
                    patch_size=56),
    text_cfg=dict(release_file.ARCH['text_cfg'], context_length=77))


@pytest.fixture(scope='module')
def world(tmp_path_factory):
    """Videos, lists, an architecture and a CLIP in OpenCLIP's format."""
    root = tmp_path_factory.mktemp('world')
    (root / 'videos').mkdir()
    rng = np.random.default_rng(0)
    for i in range(VIDEOS):
        colour = rng.integers(0, 256, 3)
        noise = rng.integers(-40, 40, (LENGTH, 48, 64, 3))
        write_mp4(root / f'videos/{i}.mp4',
                  frames=(colour + noise).clip(0, 255).astype(np.uint8))
    lines = [f'{i}.mp4 {i % len(NAMES)}\n' for i in range(VIDEOS)]
    for name in 'few_shot_train_16shot_seed5.txt', 'val.txt':
        (root / name).write_text(''.join(lines))
    (root / 'classes.txt').write_text('\n'.join(NAMES) + '\n')
    (root / 'arch.json').write_text(json.dumps(ARCH))
    torch.manual_seed(0)
    torch.save(open_clip.CLIP(**ARCH).state_dict(), root / 'clip.pt')
    return root


@pytest.fixture
def seen(monkeypatch):
    """What the runner read, and the losses and rates of its micro-batches."""
    seen = SimpleNamespace(frames=[], batches=[], losses=[], rates=[])
    sample, step = SampleFrames.transform, ViFiCLIP.train_step

    def sample_and_note(self, results):
        results = sample(self, results)
        seen.frames.append((Path(results['filename']).name,
                            np.asarray(results['frame_inds']).tolist()))
        return results

    def step_and_note(self, data, optim_wrapper):
        seen.batches.append((
            torch.stack(data['inputs']).clone(),
            torch.cat([s.gt_label for s in data['data_samples']])))
        seen.rates += optim_wrapper.get_lr()['lr'][:1]
        logs = step(self, data, optim_wrapper)
        seen.losses.append(logs['loss'].item())
        return logs

    monkeypatch.setattr(SampleFrames, 'transform', sample_and_note)
    monkeypatch.setattr(ViFiCLIP, 'train_step', step_and_note)
    return seen


def _runner(world, work_dir, monkeypatch, tune, accumulate, epochs):
    for name, value in dict(
            TUNE=tune, DATASET='mine', LIST_DIR=world, SEED=SEED,
            VIDEO_DIR=world / 'videos', ARCH=world / 'arch.json',
            PRETRAINED=world / 'clip.pt', NUM_FRAMES=FRAMES, WORKERS=0,
            CLASS_TEXT='release').items():
        monkeypatch.setenv(name, str(value))
    init_default_scope('mmaction')
    cfg = Config.fromfile('configs/vifi_few_shot.py')
    cfg.merge_from_dict(dict(
        work_dir=str(work_dir), experiment_name=work_dir.name,
        val_cfg=None, val_dataloader=None, val_evaluator=None,
        log_level='ERROR',
        train_cfg=dict(max_epochs=epochs),
        param_scheduler=dict(warmup=1, end=epochs),
        default_hooks=dict(checkpoint=dict(interval=100)),
        # rates at which ten steps move the weights, and no rounding
        optim_wrapper=dict(accumulative_counts=accumulate, dtype='float32',
                           optimizer=dict(lr=PEAK))))
    if tune == 'prompts':  # in all layers, as the config's 12 are
        for part in cfg.model.backbone, cfg.model.cls_head.text_classifier:
            assert part.prompts == dict(length=PROMPTS, depth=12)
            part.prompts.depth = LAYERS
    return build_runner(cfg)


def _plain_model(tokens, weights, tune):
    """The release's model with our weights, and what trains of it."""
    prompted = dict(length=PROMPTS, vision_depth=LAYERS,
                    text_depth=LAYERS) if tune == 'prompts' else {}
    model = release_file.ReleaseModel(tokens, **prompted)
    model.load_state_dict(dict(weights, **dict(model.named_buffers())))
    trained = dict(
        image=('image_encoder.', ), text=('text_encoder.', ),
        both=('image_encoder.', 'text_encoder.', 'logit_scale'),
        prompts=('image_encoder.VPT', 'prompt_learner.ctx'))[tune]
    for name, param in model.named_parameters():
        param.requires_grad = name.startswith(trained) or (
            tune == 'prompts' and name.endswith('VPT_shallow'))
    return model


def _our_weights(model):
    """Our weights by the release's names."""
    state = {k: v.clone() for k, v in model.state_dict().items()}
    weights = write_release(read_layout(state, 'vifi', '').weights).weights
    return {k.removeprefix('module.'): v for k, v in weights.items()}


def _blend(x, labels):
    """Mixup (alpha 0.8) or cutmix (1.0), of x [B, T, 3, H, W] and [B, K]."""
    if np.random.choice(3, p=[.5, .5, 0.]) == 0:
        share = Beta(.8, .8).sample()
        other = torch.randperm(len(x))
        return (share * x + (1 - share) * x[other],
                share * labels + (1 - share) * labels[other])
    other, share = torch.randperm(len(x)), Beta(1., 1.).sample()
    size = x.shape[-1]
    half = int(size * torch.sqrt(1. - share)) // 2
    (x0, x1), (y0, y1) = (
        (max(centre - half, 0), min(centre + half, size))
        for centre in (int(torch.randint(size, (1, ))) for _ in range(2)))
    x = x.clone()
    x[..., y0:y1, x0:x1] = x[other][..., y0:y1, x0:x1]
    share = 1 - (x1 - x0) * (y1 - y0) / size**2
    return x, share * labels + (1 - share) * labels[other]


def _plain_loop(model, batches, accumulate, epochs):
    """Losses and rates of all micro-batches; the number of steps."""
    params = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(params, lr=0., betas=(.9, .98), eps=1e-8,
                                  weight_decay=.001)
    mean, std = torch.tensor([[123.675, 116.28, 103.53],
                              [58.395, 57.12, 57.375]]).view(2, 3, 1, 1)
    per_epoch, steps = len(batches) // epochs, 0
    losses, rates = [], []
    for epoch in range(epochs):
        optimizer.zero_grad()
        for i in range(per_epoch):
            state = np.random.SeedSequence([SEED, epoch, 0, i]
                                           ).generate_state(3)
            np.random.seed(int(state[1]))
            torch.manual_seed(int(state[2]))
            t = epoch * per_epoch + i
            frames, labels = batches[t]
            x = (frames.float() - mean) / std
            x, soft = _blend(x, F.one_hot(labels, len(NAMES)).float())
            soft = .9 * soft + .1 / len(NAMES)  # label smoothing
            loss = -(soft * model(x).log_softmax(-1)).sum(-1).mean()
            (loss / accumulate).backward()
            losses.append(float(loss.detach()))
            cosine = math.cos(math.pi * t / len(batches))
            rates.append(  # one epoch of warm-up
                PEAK * t / per_epoch if not epoch else
                PEAK / 100 + .495 * PEAK * (1 + cosine))
            if (i + 1) % accumulate == 0:
                for group in optimizer.param_groups:
                    group['lr'] = rates[-1]
                optimizer.step()
                optimizer.zero_grad()
                steps += 1
    return losses, rates, steps


def _expected_frames(epochs):
    """Name and frames of each video, as they are read."""
    found = []
    for epoch in range(epochs):
        draw = torch.Generator().manual_seed(SEED + epoch)
        order = torch.randperm(VIDEOS, generator=draw).tolist()
        for video in order[:VIDEOS // BATCH * BATCH]:
            state = np.random.SeedSequence(
                (SEED, epoch, video)).generate_state(3)
            segment = LENGTH // FRAMES
            offsets = np.random.RandomState(state[1]).randint(
                segment, size=FRAMES)
            found.append((f'{video}.mp4', (
                np.arange(FRAMES) * segment + offsets).tolist()))
    return found


@pytest.mark.parametrize('tune, accumulate, epochs', [
    ('both', 1, 2), *((tune, 2, 5) for tune in (
        'both', 'image', 'text', 'prompts'))])
def test_ten_steps(world, seen, monkeypatch, tmp_path, tune, accumulate,
                   epochs):
    monkeypatch.setattr(release_file, 'ARCH', ARCH)
    runner = _runner(world, tmp_path / f'{tune}{accumulate}', monkeypatch,
                     tune, accumulate, epochs)
    model = runner.model
    start, clip = _our_weights(model), torch.load(world / 'clip.pt')
    plain = _plain_model(clip['token_embedding.weight'], start, tune)
    assert torch.equal(start['image_encoder.proj'], clip['visual.proj'])
    texts = count_text_runs(model)
    runner.train()

    # 22 videos are 5 micro-batches of 4, and 5 or 2 steps
    assert len(seen.batches) == 5 * epochs
    losses, rates, steps = _plain_loop(plain, seen.batches, accumulate, epochs)
    assert steps == 10
    assert seen.frames == _expected_frames(epochs)
    if tune != 'image':  # once a step, and once for what fills no step
        assert texts.forward == -(-5 // accumulate) * epochs
        assert texts.backward == steps
    assert seen.rates == pytest.approx(rates, rel=1e-9)
    assert seen.losses == pytest.approx(losses, abs=1e-4)
    ours, changes = _our_weights(model), []
    for name, param in plain.named_parameters():
        changes.append(float((ours[name] - start[name]).abs().max()))
        values = torch.stack([ours[name], param.detach()])
        if name.endswith('in_proj_bias'):
            # A bias of the keys shifts all scores of a query alike, so that
            # softmax takes it out: its gradient is nothing but rounding.
            values = values.unflatten(1, (3, -1))[:, [0, 2]]
        torch.testing.assert_close(*values, atol=1e-4, rtol=0,
                                   msg=lambda m: f'{name}: {m}')
        assert bool(changes[-1]) == param.requires_grad, name
    assert max(changes) > 10e-4  # so that the tolerance is small beside it
