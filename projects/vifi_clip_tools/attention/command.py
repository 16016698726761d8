"""``vifi-clip attention``: where the class token looks, as pictures."""
import argparse
import io
import os.path as osp
from typing import List, Optional, Sequence

from ..cli.options import HelpFormatter
from ..cli.options import inference_settings
from projects.vifi_clip.apis.inputs import read_labels
from ..cli.options import add_model_arguments, inferencers_from_args
from ..cli.outputs import check_target

METHODS = ('rollout', 'last', 'gradient')
_MOST_COLUMNS, _MOST_FRAMES = 32, 1000
_EXAMPLES = """examples:
  vifi-clip attention clip.mp4 --labels "arm wrestling, playing cards" \\
      --out grid.png
  vifi-clip attention clip.mp4 --text "playing cards" --method gradient \\
      --labels classes.txt --out grid.png --video overlay.mp4
  vifi-clip attention clip.mp4 --checkpoint none vifi.pth \\
      --names CLIP ViFi-CLIP --config vifi_k400 --out side_by_side.png

Methods: rollout follows attention through all layers; last is the last layer
alone; gradient shows what speaks for a text."""


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Command line of attention maps."""
    parser = argparse.ArgumentParser(
        description='Show where a model looks: attention of the class token '
        'over the frames of a video',
        epilog=_EXAMPLES,
        formatter_class=HelpFormatter)
    parser.add_argument('clip', metavar='VIDEO', help='a video file or a web '
                        'address')
    parser.add_argument('--out', '-o', help='grid of frames and maps, .png')
    parser.add_argument('--video', help='clip beside its overlays, .mp4')
    parser.add_argument('--npz', help='the maps as numbers, .npz')
    parser.add_argument('--labels', help='class names with commas between, or '
                        "a file of them (default: the config's classes)")
    parser.add_argument('--text', help='what gradient maps speak for, any '
                        'text (default: the label that each model puts first)')
    parser.add_argument('--method', nargs='+', choices=METHODS,
                        metavar='METHOD',
                        default=list(METHODS), help='some of rollout, last '
                        'and gradient (default: all three)')
    parser.add_argument('--names', nargs='+', help='of the models, in their '
                        'order (default: those of their files)')
    parser.add_argument('--frames', type=int, default=8, help='columns of '
                        'the grid, evenly out of the frames that the model '
                        'sees (default: 8)')
    parser.add_argument('--video-frames', type=int, default=64, help='frames '
                        'of the video, evenly out of the clip (default: 64)')
    parser.add_argument('--per-frame', action='store_true', help='a scale of '
                        'its own for each frame (default: one for the video)')
    parser.add_argument('--overwrite', action='store_true',
                        help='replace files that exist')
    add_model_arguments(parser, several=True)
    return parser.parse_args(argv)


def main(argv: Optional[Sequence[str]] = None) -> None:
    """Write the pictures, and print what the models take the video for.

    Raises:
        FileNotFoundError: A config or checkpoint is absent.
        UserError: The video cannot be read, or a model has no attention to
            show.
        ValueError: A bad option, or an unwritable output.
    """
    args = parse_args(argv)
    _check(args)
    labels = None if args.labels is None else read_labels(args.labels)
    names = model_names(args.config, args.checkpoint, args.names)
    _check_video(args)
    inferencers = inferencers_from_args(args, labels=labels)

    from .capture import token_layout
    from .rows import Scores
    for inferencer in inferencers:
        token_layout(inferencer.model.backbone)
    count = inferencers[0].num_frames
    samples = _samples(args.clip, inferencers, count)
    scores = [
        Scores.of(name, i.class_names, i.video_scores(sample.images))
        for name, i, sample in zip(names, inferencers, samples)
    ]
    _print(args.clip, samples[0].times, scores)
    if args.out or args.npz:
        rows = _rows(args, inferencers, samples, scores)
        if args.out:
            from .grid import draw_grid
            _write(args.out, draw_grid(osp.basename(args.clip), rows, scores,
                                       samples[0].times, args.frames))
        if args.npz:
            _write(args.npz, pack(rows, scores, samples[0]))
    if args.video:
        _write(args.video, _video(args, inferencers, scores))


def model_names(configs: Sequence[str], checkpoints: Sequence[Optional[str]],
                names: Optional[Sequence[str]] = None) -> List[str]:
    """What to call the models in pictures.

    Args:
        configs (Sequence[str]): One, or one for each checkpoint.
        checkpoints (Sequence[str | None]): One or several, None or 'none'
            for a config's own weights.
        names (Sequence[str], optional): As the user gave them. Defaults to
            None: stems of the checkpoints' or else the configs' files.

    Raises:
        ValueError: Not one name for each model, or one for two.
    """
    count = max(len(configs), len(checkpoints))
    if names is None:
        pairs = zip(list(configs) * (count // len(configs)),
                    list(checkpoints) * (count // len(checkpoints)))
        names = [osp.splitext(osp.basename(
            config if checkpoint in (None, 'none') else checkpoint))[0]
            for config, checkpoint in pairs]
    elif len(names) != count:
        raise ValueError(f'--names: {len(names)} names for {count} models')
    for i, name in enumerate(names):
        if name in names[:i]:
            raise ValueError(f'two models are called {name!r}: tell them '
                             'apart by --names')
    return list(names)


def pack(rows: Sequence, scores: Sequence, sample) -> bytes:
    """Everything that the grid shows as an .npz file.

    Args:
        rows (Sequence[Row]): Become ``maps/MODEL/METHOD`` [T, h, w] and
            ``images/MODEL`` [T, H, W, 3].
        scores (Sequence[Scores]): ``labels/MODEL`` and ``scores/MODEL``.
        sample (Sampled): ``times`` and ``indices`` of the frames.
    """
    import numpy as np
    arrays = dict(times=sample.times, indices=sample.indices)
    for row in rows:
        arrays[f'maps/{row.model}/{row.method}'] = row.maps
        arrays[f'images/{row.model}'] = row.images
        if row.text:
            arrays[f'text/{row.model}'] = np.array(row.text)
    for score in scores:
        arrays[f'labels/{score.model}'] = np.array(score.labels)
        arrays[f'scores/{score.model}'] = np.array(score.values)
    out = io.BytesIO()
    np.savez_compressed(out, **arrays)
    return out.getvalue()


def _check(args: argparse.Namespace) -> None:
    """All that can be seen to be wrong at once."""
    if not (args.out or args.video or args.npz):
        raise ValueError('nothing to write: give --out grid.png, --video '
                         'overlay.mp4 or --npz maps.npz')
    args.method = list(dict.fromkeys(args.method))
    if args.text is not None and not args.text.strip():
        raise ValueError('--text is empty')
    if args.text and 'gradient' not in args.method:
        raise ValueError(f'--text {args.text!r} is for --method gradient; '
                         f'{" and ".join(args.method)} depend on the frame '
                         'alone')
    for option, value, most in (
            ('--frames', args.frames, _MOST_COLUMNS),
            ('--video-frames', args.video_frames, _MOST_FRAMES)):
        if not 1 <= value <= most:
            raise ValueError(f'{option} {value}: from 1 to {most}')
    if inference_settings(args):
        raise ValueError('attention maps are made of the model as it was '
                         'trained: leave out --precision, --token-merging '
                         'and --compile')
    for option, path, suffix in (('--out', args.out, '.png'),
                                 ('--video', args.video, '.mp4'),
                                 ('--npz', args.npz, '.npz')):
        if path:
            check_target(option, path, (suffix, ), args.overwrite)
            if osp.exists(path) and osp.exists(args.clip) and osp.samefile(
                    path, args.clip):
                raise ValueError(f'{option} {path} is the video itself; '
                                 'choose another name')


def _check_video(args: argparse.Namespace) -> None:
    """Read the video once before weights are loaded, or downloaded."""
    from projects.vifi_clip.apis.inputs import one_video
    clip = one_video(args.clip)
    args.clip = clip.path

    from projects.vifi_clip.apis.config import read_config
    from projects.vifi_clip.apis.sampling import VideoSampler
    cfg = read_config(args.config[0], args.trust)
    cfg.merge_from_dict(args.cfg_options or {})
    VideoSampler(cfg).sample(clip, 1)


def _samples(clip: str, inferencers: Sequence, count: int) -> List:
    """The same frames as each model sees them."""
    samples = [i.sample(clip, count) for i in inferencers]
    first = samples[0].indices.tolist()
    for sample in samples[1:]:
        if sample.indices.tolist() != first:
            raise ValueError('the configs sample other frames of a video '
                             '(their test pipelines differ), which cannot be '
                             'shown side by side')
    return samples


def _rows(args: argparse.Namespace, inferencers: Sequence,
          samples: Sequence, scores: Sequence) -> List:
    from .rows import make_rows
    return make_rows([i.model for i in inferencers],
                     [score.model for score in scores],
                     [sample.images for sample in samples], args.method,
                     [args.text or score.labels[0] for score in scores],
                     args.per_frame, show_progress=True)


def _video(args: argparse.Namespace, inferencers: Sequence,
           scores: Sequence) -> bytes:
    import numpy as np

    from .video import draw_video, encode_mp4, video_rate
    samples = _samples(args.clip, inferencers, args.video_frames)
    # A shorter clip has frames that are sampled twice.
    _, first = np.unique(samples[0].indices, return_index=True)
    times = samples[0].times[first]
    samples = [argparse.Namespace(images=s.images[first]) for s in samples]
    rows = _rows(args, inferencers, samples, scores)
    return encode_mp4(draw_video(rows, scores, times), video_rate(times))


def _print(clip: str, times: Sequence[float], scores: Sequence) -> None:
    print(f'{clip}: {len(times)} frames, {times[0]:.2f} s to '
          f'{times[-1]:.2f} s')
    for score in scores:
        print(f'  {score.model}')
        for label, value in list(zip(score.labels, score.values))[:3]:
            print(f'    {100 * value:5.1f}%  {label}')


def _write(path: str, content: bytes) -> None:
    from projects.vifi_clip.checkpoints.files import AtomicLocalBackend
    AtomicLocalBackend().put(content, path)
    print(f'{path}: {len(content) / 1e6:.2f} MB')
