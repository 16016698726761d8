"""Command line of the levers of inference; imports nothing heavy."""
import argparse

PRECISIONS = ('fp32', 'autocast', 'bf16', 'int8')


def add_inference_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``apply_inference``, all off by default."""
    group = parser.add_argument_group(
        'faster for a tolerance', 'docs/performance.md has the cost of each')
    group.add_argument(
        '--precision', choices=PRECISIONS, default='fp32',
        help='numbers of the image tower; int8 is for CPU and pays with '
        '--compile (default: fp32)')
    group.add_argument(
        '--token-merging', type=int, default=0, metavar='R',
        help='tokens that each layer of the image tower merges (default: 0)')
    group.add_argument(
        '--compile', action='store_true',
        help='torch.compile the image tower for the shape of the first batch')
    group.add_argument(
        '--text-bf16', action='store_true',
        help='the text tower in bfloat16, for very many classes')


def inference_settings(args: argparse.Namespace) -> dict:
    """Arguments of ``apply_inference``; empty where all is off.

    Raises:
        ValueError: A negative number of tokens.
    """
    if args.token_merging < 0:
        raise ValueError('--token-merging takes 0 or more tokens a layer, got '
                         f'{args.token_merging}')
    if getattr(args, 'amp', False) and args.precision != 'fp32':
        raise ValueError(f'--amp and --precision {args.precision}: choose one '
                         '(--amp is bfloat16 autocast)')
    settings = dict(
        precision=args.precision,
        token_merging=args.token_merging,
        compile=args.compile,
        text_bf16=args.text_bf16)
    plain = dict(
        precision='fp32', token_merging=0, compile=False, text_bf16=False)
    return {} if settings == plain else settings
