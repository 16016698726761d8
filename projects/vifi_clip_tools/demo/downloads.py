"""An answer as files that the browser saves: their content is in the page, so
that nothing is left on disk."""
import base64
import json
import os.path as osp
from typing import List

from ..cli.tables import csv_lines
from .service import Recognition, Request

# Spreadsheets run what begins so as a formula (OWASP, "CSV injection").
_FORMULA = tuple('=+-@\t\r＝＋－＠')


def links(request: Request, result: Recognition) -> List[dict]:
    """Return the ``kind``, ``name`` and ``address`` of each file: a table of
    labels and scores, and the same with what was asked for. In the table,
    which people open, an apostrophe precedes what would be a formula."""
    rows = [('label', 'score')] + [
        ("'" * label.startswith(_FORMULA) + label, score)
        for label, score in result.ranking]
    labels, scores = zip(*result.ranking)
    content = json.dumps(dict(
        video=osp.basename(request.path), label=result.label, labels=labels,
        scores=scores, template=request.template, num_views=request.num_views,
        threshold=request.threshold or None), indent=1)
    stem = osp.splitext(osp.basename(request.path))[0]
    return [
        dict(kind=kind.upper(), name=f'{stem}.{kind}',
             address=f'data:{mime};base64,' + base64.b64encode(
                 text.encode(errors='replace')).decode())
        for kind, mime, text in (
            ('csv', 'text/csv;charset=utf-8', csv_lines(rows)),
            ('json', 'application/json', content))]
