"""``vifi-clip merge``: files of every format against a plain loop over
tensors, and what is refused."""
import json

import commands
import pytest
import torch
from mmaction.registry import MODELS
from mmengine.model import StochasticWeightAverage
from open_clip.model import CLIP
from release_file import randomise, save_openai
from tiny import model_cfg, tiny_arch
from torch import nn

from projects.vifi_clip.checkpoints.settings import (collect_settings,
                                                     fingerprint)
from projects.vifi_clip.models.towers import read_clip_state_dict

PROMPTS = dict(length=2, depth=2)
SCALE = 'cls_head.logit_scale'


def merge(*argv) -> int:
    return commands.vifi('merge', *argv)


def recognizer(seed, arch=None, settings=(), **kwargs):
    """A recognizer with weights by a seed, and its checkpoint's content."""
    cfg = model_cfg(**kwargs)
    for part in cfg['backbone'], cfg['cls_head']['text_classifier']:
        part['arch'] = arch or tiny_arch()
    torch.manual_seed(seed)
    model = MODELS.build(cfg)
    for param in model.parameters():
        nn.init.normal_(param, std=.3)
    model.cls_head.logit_scale.data.fill_(seed / 2)
    meta = dict(collect_settings(model, cfg), **dict(settings))
    return model, dict(state_dict=model.state_dict(),
                       meta=dict(vifi_clip=meta))


@pytest.fixture
def save(tmp_path):
    """Function of a name and :func:`recognizer`'s arguments: a file."""

    def save_file(name, *args, **kwargs):
        torch.save(recognizer(*args, **kwargs)[1], tmp_path / name)
        return tmp_path / name

    return save_file


@pytest.fixture(scope='module')
def clips(tmp_path_factory):
    """One CLIP in half precision, in files of several formats."""
    folder = tmp_path_factory.mktemp('clips')
    clip = randomise(CLIP(**tiny_arch())).half().float()
    torch.save(clip.state_dict(), folder / 'open_clip.pt')
    save_openai(clip, folder / 'openai.pt')
    (folder / 'arch.json').write_text(json.dumps(tiny_arch()))
    assert commands.vifi(
        'convert', folder / 'openai.pt', folder / 'ours.pth', '--target=vifi',
        '--source=openai', '--arch', folder / 'arch.json') == 0
    return folder


def names_of(state) -> dict:
    """CLIP's neutral names, by ours; without a table of the package."""
    names = {}
    for key in state:
        for start, new in (('backbone.visual.', 'visual.'),
                           ('cls_head.text_classifier.text.', 'text.'),
                           (SCALE, 'logit_scale')):
            if key.startswith(start):
                names[key] = new + key[len(start):]
    return names


@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize('name', ['openai.pt', 'open_clip.pt', 'ours.pth'])
@pytest.mark.parametrize('alpha', [0, 0.3, 0.7, 1])
def test_between_clip_and_fine_tuned(clips, save, tmp_path, name, alpha):
    tuned = save('tuned.pth', 3, prompts=PROMPTS, tune='prompts')
    out = tmp_path / 'new/out.pth'
    assert merge(clips / name, tuned, '--alpha', alpha, '--out', out) == 0
    given, made = torch.load(tuned), torch.load(out)
    clip = read_clip_state_dict(str(clips / name))
    ours = given['state_dict']
    shared = names_of(ours)
    assert len(shared) == len(clip) and len(shared) < len(ours)
    assert list(made['state_dict']) == list(ours)
    for key, value in ours.items():
        result, expected = made['state_dict'][key], value
        if key in shared:
            start = clip[shared[key]]
            expected = start if alpha == 0 else value if alpha == 1 else (
                1 - alpha) * start.double() + alpha * value.double()
        if alpha in (0, 1) or key not in shared:
            assert torch.equal(result, expected)
            assert result.numpy().tobytes() == expected.numpy().tobytes()
        else:
            assert result.dtype == torch.float32
            torch.testing.assert_close(result.double(), expected, rtol=3e-7,
                                       atol=1e-7)
    settings = made['meta']['vifi_clip']
    assert settings.pop('merged') == dict(clip=name, tuned='tuned.pth',
                                          alpha=alpha)
    assert settings == given['meta']['vifi_clip']


def test_what_did_not_train_stays(clips, save, tmp_path):
    """Also where 0.3 x + 0.7 x is not x; buffers are not interpolated, and
    halves are computed with in float32."""
    tuned = save('tuned.pth', 3)
    content = torch.load(tuned)
    state, clip = content['state_dict'], read_clip_state_dict(
        str(clips / 'ours.pth'))
    frozen = {key: name for key, name in names_of(state).items()
              if name.startswith('text.')}
    state.update({key: clip[name] for key, name in frozen.items()})
    norm = 'backbone.visual.ln_pre.weight'
    state[norm] = state[norm].half()
    # as of a ResNet's tower
    ours = torch.load(clips / 'ours.pth')
    for part, value in (state, 1.), (ours['state_dict'], 5.):
        part['backbone.visual.bn1.running_mean'] = torch.tensor([value])
        part['backbone.visual.bn1.num_batches_tracked'] = torch.tensor(9)
    torch.save(content, tuned), torch.save(ours, tmp_path / 'clip.pth')
    out = tmp_path / 'out.pth'
    assert merge(tmp_path / 'clip.pth', tuned, '--alpha', '.7', '--out',
                 out) == 0
    made = torch.load(out)['state_dict']
    assert len(frozen) > 20
    assert all(torch.equal(made[key], state[key]) for key in frozen)
    assert made['backbone.visual.bn1.running_mean'] == 1
    assert made[norm].dtype == torch.float32
    torch.testing.assert_close(
        made[norm], .3 * clip['visual.ln_pre.weight'] + .7 * state[
            norm].float())


def test_mean_of_epochs(save, tmp_path):
    """By number; bit by bit what MMEngine's running mean is."""
    run = tmp_path / 'run'
    run.mkdir()
    seeds = {2: 5, 9: 6, 10: 7}
    for epoch, seed in reversed(seeds.items()):
        save(f'run/epoch_{epoch}.pth', seed)
    save('run/best_acc_top1_epoch_9.pth', 8)
    out = tmp_path / 'out.pth'
    assert merge(run, '--mean', '--out', out) == 0
    made = torch.load(out)
    models = [recognizer(seed)[0] for seed in seeds.values()]
    running = StochasticWeightAverage(models[0])
    for model in models:
        running.update_parameters(model)
    for key, value in running.module.state_dict().items():
        assert torch.equal(made['state_dict'][key], value)
        plain = sum(m.state_dict()[key].double() for m in models) / 3
        torch.testing.assert_close(value.double(), plain, rtol=0, atol=1e-6)
    settings = made['meta']['vifi_clip']
    assert settings.pop('merged') == [f'epoch_{n}.pth' for n in seeds]
    assert settings == recognizer(5)[1]['meta']['vifi_clip']


def test_mean_then_clip(clips, tmp_path, save):
    """Both in one command are one after the other."""
    files = [save(f'{seed}.pth', seed) for seed in (3, 4)]
    mean, after, out = (tmp_path / f'{n}.pth' for n in ('mean', 'after', 'o'))
    assert merge(*files, '--mean', '--out', mean) == 0
    for given, path, more in (([mean], after, []), (files, out, ['--mean'])):
        assert merge(clips / 'ours.pth', *given, '--alpha', '.7', '--out',
                     path, *more) == 0
    first, second = torch.load(after), torch.load(out)
    torch.testing.assert_close(first['state_dict'], second['state_dict'],
                               rtol=0, atol=0)
    assert first['meta'] == second['meta']


def test_lora_in_plain_weights(clips, save, tmp_path, capsys):
    """Which give the same scores, and are merged, averaged, converted and
    started from as any; each file is folded before."""
    lora = dict(tune='adapters', lora=dict(rank=2, alpha=6))
    model, content = recognizer(1, **lora)
    torch.save(content, tmp_path / 'a.pth')
    other, out = save('b.pth', 2, **lora), tmp_path / 'plain.pth'
    assert merge(tmp_path / 'a.pth', '--out', out) == 0
    made = torch.load(out)
    plain, _ = recognizer(3)
    plain.load_state_dict(made['state_dict'])
    assert made['meta'] == content['meta']
    assert not any('lora' in key for key in made['state_dict'])
    x = torch.randn(2, 2, 3, 32, 32)
    with torch.no_grad():
        ours, theirs = (m.eval().cls_head(m.extract_feat(x)[0]) /
                        m.cls_head.logit_scale.exp() for m in (model, plain))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)

    def merged(*argv):
        assert merge(*argv, '--out', out, '--overwrite') == 0
        return torch.load(out)['state_dict']

    one, two = made['state_dict'], merged(other)
    for key, value in merged(tmp_path / 'a.pth', other, '--mean').items():
        torch.testing.assert_close(value, (one[key] + two[key]) / 2)
    clip = read_clip_state_dict(str(clips / 'openai.pt'))
    half = merged(clips / 'openai.pt', tmp_path / 'a.pth', '--alpha', .5)
    for key, name in names_of(one).items():
        torch.testing.assert_close(half[key], (clip[name] + one[key]) / 2)
    for name in 'a.pth', 'plain.pth':
        merged(tmp_path / 'a.pth')
        commands.vifi('convert', tmp_path / name, tmp_path / f'{name}.clip',
                      '--source', 'vifi', '--target', 'open_clip', '--arch',
                      clips / 'arch.json')
    torch.testing.assert_close(*(
        torch.load(tmp_path / f'{name}.clip')['state_dict']
        for name in ('a.pth', 'plain.pth')))
    commands.refused(capsys, 'merge', out, '--out', tmp_path / 'no.pth',
                     names='no LoRA')
    torch.save(recognizer(1, **lora, save_trainable_only=True)[1],
               tmp_path / 'alone.pth')
    commands.refused(capsys, 'merge', tmp_path / 'alone.pth', '--out',
                     tmp_path / 'no.pth', names='alone.pth')
    assert not (tmp_path / 'no.pth').exists()


def test_what_trained_alone(clips, save, tmp_path, capsys):
    """A checkpoint without what was frozen needs the CLIP it was trained
    from, and stays such a checkpoint."""
    tuned, out = save('tuned.pth', 3), tmp_path / 'out.pth'
    content = torch.load(tuned)
    state, whole = content['state_dict'], torch.load(clips / 'ours.pth')
    frozen = {key: whole['state_dict'][key] for key in state
              if not key.startswith('backbone.')}
    for key in frozen:
        del state[key]
    content['meta']['vifi_clip']['fingerprint'] = fingerprint(frozen.items())
    torch.save(content, tuned)
    assert merge(clips / 'openai.pt', tuned, '--alpha', '.5', '--out',
                 out) == 0
    assert torch.load(out)['state_dict'].keys() == state.keys()
    whole['state_dict'][SCALE] += 1
    torch.save(whole, tmp_path / 'other.pth')
    refuse(capsys, tmp_path, tmp_path / 'other.pth', tuned, '--alpha', '.5',
           names=['other.pth is not the CLIP', 'tuned.pth'])


def refuse(capsys, tmp_path, *argv, names, out='refused.pth') -> None:
    """See that it is refused in one line, and nothing written."""
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob('*')}
    said = commands.refused(capsys, 'merge', *argv, '--out', tmp_path / out,
                            names=names)
    assert said.count('error: ') == 1 and said.endswith('\n')
    assert said.partition('error: ')[2].count('\n') == 1
    assert before == {path: path.stat().st_mtime_ns
                      for path in tmp_path.rglob('*')}


def test_other_models_are_refused(clips, save, tmp_path, capsys):
    plain = save('plain.pth', 3)
    deep, long = (save(f'{length}.pth', 3, prompts=dict(
        length=length, depth=2)) for length in (2, 4))
    gelu = save('gelu.pth', 3, tiny_arch(quick_gelu=False))
    wide = save('wide.pth', 3, tiny_arch(vision_cfg=dict(image_size=40)))
    three = save('three.pth', 3, tiny_arch(text_cfg=dict(layers=3)))
    template = save('template.pth', 3, settings=dict(templates=['{}']))
    broken = torch.load(plain)
    broken['state_dict'][SCALE] = torch.tensor(float('nan'))
    nan = tmp_path / 'nan.pth'
    torch.save(broken, nan)
    ours, half = clips / 'ours.pth', ['--alpha', '.5']
    for argv, names in (
            ([ours, gelu, *half], ['ours.pth', '_activation',
                                   "'QuickGELU'", "'GELU'"]),
            ([clips / 'openai.pt', gelu, *half], ['openai.pt', "'GELU'"]),
            ([gelu, plain, *half], ['gelu.pth', "'QuickGELU'"]),
            ([ours, wide, *half], ['wide.pth', 'visual.positional_embedding',
                                   '(17, 64)', '(26, 64)']),
            ([ours, three, *half], ['text.transformer.resblocks.2']),
            ([three, plain, *half], ['text.transformer.resblocks.2']),
            ([deep, plain, *half], ['prompts.visual']),
            ([deep, long, *half], ['prompts.text: file (2, 2, 32), model '
                                   '(2, 4, 32)']),
            ([ours, nan, *half], ['nan.pth', 'not finite']),
            ([nan, plain, *half], ['nan.pth', 'not finite']),
            ([plain, clips / 'openai.pt', *half], ['openai.pt', 'convert']),
            ([tmp_path / 'no.pt', plain, *half], ['no.pt']),
            (['laion', plain, *half], ['laion']),
            ([plain, gelu, '--mean'], ['gelu.pth', 'visual_activation']),
            ([plain, wide, '--mean'], ['wide.pth', '(17, 64)']),
            ([plain, template, '--mean'], ['template.pth', 'templates']),
            ([deep, long, '--mean'], ['4.pth', 'prompts.tokens']),
            ([plain, nan, '--mean'], ['nan.pth', 'not finite']),
            ([plain, '--mean'], ['plain.pth', 'two']),
            ([clips, '--mean'], ['epoch_*.pth']),
            (['clap.pt', plain, '--alpha', '.5'], "no such file: 'clap.pt'"),
            ([plain, 'epoch_9.pth', '--mean'], "file: 'epoch_9.pth'")):
        refuse(capsys, tmp_path, *argv, names=names)


def test_options_are_refused(clips, save, tmp_path, capsys):
    plain, ours = save('plain.pth', 3), clips / 'ours.pth'
    for name in 'there.csv', 'figure.png':
        (tmp_path / name).write_text('precious')
    for argv, out, names in (
            (['--alpha', '1.1'], 'a.pth', ['--alpha', '1.1']),
            (['--alpha', '-0.1'], 'a.pth', ['--alpha']),
            (['--alpha', 'nan'], 'a.pth', ['--alpha', 'nan']),
            ([], 'a.pth', ['--alpha', '--mean']),
            (['--alpha', '0', '1'], 'a.pth', ['--evaluate']),
            (['--mean', '--evaluate', 'small_world'], 'a.csv', ['--alpha']),
            (['--alpha', '.5'], 'plain.pth', ['plain.pth', '--overwrite']),
            (['--alpha', '.5', '--overwrite'], 'plain.pth', ['replace']),
            (['--alpha', '.5'], 'a.csv', ['.pth']),
            (['--alpha', '.5', '--evaluate', 'small_world'], 'a.pth',
             ['.csv']),
            (['--alpha', '.5', '--evaluate', 'small_world'], 'there.csv',
             ['there.csv', '--overwrite']),
            (['--alpha', '.5', '--evaluate', 'small_world'], 'figure.csv',
             ['figure.png', '--overwrite'])):
        refuse(capsys, tmp_path, ours, plain, *argv, names=names, out=out)
    refuse(capsys, tmp_path, ours, plain, plain, '--alpha', '.5',
           names='--mean')
    refuse(capsys, tmp_path, ours, '--alpha', '.5', names='--alpha')
