"""``tools/predict.py``: classes of videos of your own."""
import argparse
import os.path as osp
from typing import List, Optional, Sequence

from .inference_options import add_inference_arguments, inference_settings
from .launch import add_common_arguments, leave_out_pretrained, load_config


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Command line of prediction."""
    parser = argparse.ArgumentParser(
        description='Recognise videos, with any labels',
        epilog='example: python tools/predict.py configs/vifi_mini.py '
        'CHECKPOINT my.mp4 --labels "a red ring spinning, a blue star"')
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help="checkpoint file, or 'none'")
    parser.add_argument('videos', nargs='+', help='video files')
    parser.add_argument(
        '--labels', help='class names with commas between, or a file of them '
        "(default: the config's classes)")
    parser.add_argument('--topk', type=int, default=5,
                        help='how many classes to show (default: 5)')
    parser.add_argument('--device', help='cpu, cuda:0 ... (default: a GPU if '
                        'there is one)')
    add_common_arguments(parser)
    add_inference_arguments(parser)
    return parser.parse_args(argv)


def read_labels(labels: str) -> List[str]:
    """Class names from a file or from a text with commas."""
    from ..datasets.class_list import check_class_names, read_class_list
    if osp.splitext(labels)[1] in ('.txt', '.csv', '.json', '.yaml', '.yml'):
        return read_class_list(labels)
    if osp.exists(labels):
        raise ValueError(f'--labels {labels} is no list of classes; give a '
                         '.txt, .csv, .json or .yaml file, or names')
    names = [name.strip() for name in labels.split(',')]
    return check_class_names(names, '--labels')


def main(argv: Optional[Sequence[str]] = None) -> List[dict]:
    """Print and return the best classes of each video.

    Raises:
        FileNotFoundError: A video, config or checkpoint is absent.
        ValueError: A video cannot be read, or labels are empty or repeated.
        UserError: The checkpoint was made with other settings.
    """
    args = parse_args(argv)
    for video in args.videos:
        if not osp.isfile(video):
            raise FileNotFoundError(f'No such video: {video}')
    if args.topk < 1:
        raise ValueError(f'--topk must be at least 1, got {args.topk}')
    labels = None if args.labels is None else read_labels(args.labels)
    settings = inference_settings(args)
    cfg = load_config(args)
    # After our own checks, since MMAction2 imports its whole model zoo here.
    from mmaction.apis import inference_recognizer, init_recognizer
    from mmengine.device import get_device
    from mmengine.registry import init_default_scope

    from ..datasets.video_reading import BadVideoError, check_avi_is_whole
    from ..engine.settings_hook import check_file
    init_default_scope('mmaction')
    checkpoint = None if args.checkpoint == 'none' else args.checkpoint
    if checkpoint:
        leave_out_pretrained(cfg)
    model = init_recognizer(cfg, checkpoint, args.device or get_device())
    if checkpoint:
        check_file(checkpoint, model, cfg)
    classifier = model.cls_head.text_classifier
    if labels:
        classifier.set_classes(labels, source='--labels')
    if settings:
        from ..engine import apply_inference
        apply_inference(model, **settings)
        print(f'Changed for inference: {settings}')
    results = []
    for video in args.videos:
        try:
            check_avi_is_whole(video)
            sample = inference_recognizer(model, video)
        except (BadVideoError, RuntimeError, ValueError) as error:
            raise ValueError(f'{video} cannot be read: {error}') from error
        scores = sample.pred_score.cpu()
        best = scores.argsort(descending=True)[:args.topk].tolist()
        names = classifier.class_names
        results.append({names[i]: float(scores[i]) for i in best})
        print(video)
        for name, score in results[-1].items():
            print(f'  {100 * score:5.1f}%  {name}')
    return results
