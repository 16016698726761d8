"""What the parts of docs/methods.md, "Additions", gain over ViFi-CLIP in the
small world, zero-shot and base-to-novel."""
from dataclasses import replace
from typing import Dict, Mapping, NamedTuple, Optional, Sequence

from ..cli.tables import markdown_table
from .claims import Claim, ReadHits, judge
from .runs import BOTH, Run, Table, by_name, with_needed

KEY = 'additions'


class Part(NamedTuple):
    """A row of the table."""

    row: str
    name: str  # in the names of its runs
    knobs: Mapping[str, str] = {}  # that train it
    uses: str = ''  # or the part whose weights it merges
    alpha: Optional[float] = None  # the share of fine-tuned weights in them


# What the knobs leave open is of the `mini` recipes in configs/_base_. The
# recipe is that of configs/vifi_best_*, with the texts of `descriptions`.
_DESCRIBED = dict(DESCRIPTIONS='mini')
PARTS = (
    Part('merged, 0.5', 'merged_50', uses='both', alpha=0.5),
    Part('merged, 0.7', 'merged_70', uses='both', alpha=0.7),
    Part('mean over epochs', 'epoch_mean', dict(EPOCH_MEAN='2')),
    Part('descriptions', 'descriptions', _DESCRIBED),
    Part('TACO', 'taco', dict(AUX='taco')),
    Part('FROSTER', 'froster', dict(AUX='froster')),
    Part('Open-VCLIP, mean', 'open_vclip',
         dict(METHOD='open_vclip', EPOCH_MEAN='2')),
    Part('Open-VCLIP, mean, merged, 0.5', 'open_vclip_merged',
         uses='open_vclip', alpha=0.5),
    Part('TC-CLIP, tokens', 'tc_clip', dict(METHOD='tc_clip')),
    Part('TC-CLIP, tokens and prompts', 'tc_clip_prompts',
         dict(METHOD='tc_clip', CONTEXT_PROMPTS='on')),
    Part('LoRA', 'lora', dict(TUNE='lora')),
    Part('ST-Adapter', 'st_adapter', dict(METHOD='st_adapter')),
    Part('AIM', 'aim', dict(METHOD='aim')),
    Part('recipe, merged, 0.7', 'best',
         dict(_DESCRIBED, AUX='taco', EPOCH_MEAN='2'), alpha=0.7))


def additions(*tables: Table) -> Table:
    """The parts in the columns of ``tables``, whose runs of ViFi-CLIP, in
    each with all seeds, are the first row."""
    made = Table(KEY, 'Additions to ViFi-CLIP')
    runs = by_name(tables)
    for table in tables:
        cells = [cell for cell in table.cells if cell.row == BOTH]
        bases = [runs[name] for name in cells[0].runs]
        made.runs += with_needed(bases, runs)
        made.cells += cells
        for part in PARTS:
            of_seeds = [_run(part, base, runs) for base in bases]
            runs.update((run.name, run) for run in of_seeds)
            made.add(part.row, of_seeds,
                     {cell.column: cell.metric for cell in cells})
    return made


def _run(part: Part, base: Run, runs: Mapping[str, Run]) -> Run:
    """The run of a part with the seed and protocol of one of ViFi-CLIP's."""
    def called(name: str) -> str:
        return base.name.replace('/both/', f'/{name}/')

    if part.uses:
        source = runs[called(part.uses)]
        return replace(source, name=called(part.name), alpha=part.alpha,
                       train=False, uses=source.uses or source.name)
    knobs = {**base.knobs, **part.knobs}
    if 'METHOD' in part.knobs:  # which says what trains
        del knobs['TUNE']
    return replace(base, name=called(part.name), knobs=knobs, train=True,
                   uses=None, train_options=('--no-validate', ),
                   alpha=part.alpha)


def gains_text(tables: Sequence[Table], hits: ReadHits) -> str:
    """Write what each part gains over ViFi-CLIP, in Markdown; empty if their
    table is not among ``tables``."""
    columns = dict.fromkeys(cell.column for table in tables
                            if table.key == KEY for cell in table.cells)
    if not columns:
        return ''
    judged: Dict[str, list] = {}
    for claim, verdict in judge(
            [Claim(part.row, (KEY, part.row, column), (KEY, BOTH, column),
                   ('gains', 'loses'))
             for part in PARTS for column in columns], tables, hits):
        judged.setdefault(claim.text, []).append(verdict)
    table = markdown_table([f'gain over {BOTH}', *columns],
                           ([row, *cells] for row, cells in judged.items()))
    return (f'## What the additions gain\n\n{table}\n\n'
            'Percentage points. A part gains where the 95% interval lies '
            'above 0, and loses where it\nlies below.\n')
