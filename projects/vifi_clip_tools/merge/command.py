"""``vifi-clip merge``: weights between CLIP and a fine-tuned model, a mean of
several, LoRA in plain weights."""
import os.path as osp

from ..cli.options import quiet_logs
from ..cli.outputs import check_target
from ..cli.parsing import reader
from .options import Options

_EPILOG = """
examples:
  vifi-clip merge ViT-B-16.pt epoch_10.pth --alpha 0.7 --out merged.pth
  vifi-clip merge work_dirs/vifi_k400 --mean --out mean.pth
  vifi-clip merge ViT-B-16.pt work_dirs/vifi_k400 --mean --alpha 0.7 \\
      --out merged.pth
  vifi-clip merge lora.pth --out plain.pth
  vifi-clip merge ViT-B-16.pt epoch_10.pth --alpha 0 0.25 0.5 0.75 1 \\
      --evaluate vifi_zero_shot --out alphas.csv
"""

parse_args = reader(Options, 'Interpolate weights with CLIP\'s, average '
                    'them, fold LoRA into them', _EPILOG)


def run(options: Options) -> None:
    """Merge, and write a checkpoint or a table."""
    from projects.vifi_clip.checkpoints.files import split_name
    for name in options.files:
        file = split_name(name)[0]
        if osp.splitext(file)[1] and '://' not in file and not osp.exists(
                osp.expanduser(file)):
            raise FileNotFoundError(f'no such file: {name!r}')
    check_target(
        '--out', options.out, ['.csv' if options.evaluate else '.pth'],
        options.overwrite or options.record().exists())
    if options.evaluate:
        check_target('--out', str(options.picture()), ['.png'],
                     options.overwrite or options.record().exists())
    else:
        quiet_logs()
    from projects.vifi_clip.checkpoints.settings import write_checkpoint
    from .weights import (epochs_of, interpolate, read_clip, read_mean,
                          read_tuned)
    files = options.files[bool(options.alpha):]
    if options.mean:
        files = epochs_of(files)
    if osp.exists(options.out) and any(
            osp.exists(file) and osp.samefile(file, options.out)
            for file in (options.files[0], *files)):
        raise ValueError(f'--out {options.out} would replace an input; name '
                         'another file')
    tuned = read_mean(files) if options.mean else read_tuned(files[0])
    if not (options.alpha or options.mean or tuned.folded):
        raise ValueError(f'{files[0]} has no LoRA to fold into its weights: '
                         'give --alpha or --mean')
    clip = read_clip(options.files[0], tuned) if options.alpha else {}
    if options.evaluate:
        from .sweep import sweep
        sweep(options, clip, tuned)
        return
    state, settings = tuned.state, tuned.settings
    if tuned.folded:
        print('LoRA is folded into the weights that it adds to')
    if options.mean:
        print(f'averaged {len(files)}: {", ".join(files)}')
    if options.alpha:
        state = interpolate(clip, state, options.alpha[0])
        names = settings.get('merged', osp.basename(files[0]))
        settings = dict(settings, merged=dict(
            clip=osp.basename(options.files[0]), tuned=names,
            alpha=options.alpha[0]))
        print(f'interpolated {len(clip)} of {len(state)} tensors; those that '
              'CLIP lacks are the fine-tuned model\'s')
    write_checkpoint(options.out, settings, state_dict=state)
    print(f'wrote {options.out}; give it as --checkpoint, with the config or '
          'the folder of the model that was trained')
