"""Run notebooks and keep their outputs: `python tools/run_nbs.py [nbs/01_dataset.ipynb ...] [--flags "slow"]`.

The same cells are skipped as in `nbdev_test` (directives of `tst_flags`, `eval: false`), and a skipped cell keeps the
output that was recorded for it. A cell that fails stops the run with its traceback, and the notebook stays as it was.
"""
import argparse
import os
import sys
import time
from pathlib import Path

from execnb.nbio import read_nb, write_nb
from execnb.shell import CaptureShell
from nbdev.config import get_config
from nbdev.process import extract_directives

root = Path(__file__).resolve().parent.parent


def skipped(cell, flags):
    "True where `nbdev_test` would not run `cell`."
    directives = extract_directives(cell, remove=False)
    if directives.get('eval:', [''])[0].lower() == 'false': return True
    return bool(set(directives) & flags) or 'nbdev.nbdev_export' in cell.source


def run(path, allowed):
    "Run one notebook in place; returns the seconds it took."
    nb, start = read_nb(path), time.perf_counter()
    flags = set(get_config().tst_flags.split()) - allowed
    shell = CaptureShell(path.parent)
    with open(os.devnull, 'w') as quiet:
        for cell in nb.cells:
            if cell.cell_type != 'code' or skipped(cell, flags): continue
            out, sys.stderr = sys.stderr, quiet
            try: shell.cell(cell)
            finally: sys.stderr = out
            if shell.exc:
                sys.exit(f'{path.name}, cell {cell.id}:\n' + '\n'.join(map(str, cell.outputs[-1].get('traceback', [shell.exc]))))
    for cell in nb.cells:
        if cell.cell_type == 'code':
            cell['execution_count'] = None
            cell['outputs'] = [o for o in cell.outputs if not (o.output_type == 'stream' and o.get('name') == 'stderr')]
    write_nb(nb, path)
    return time.perf_counter() - start


if __name__ == '__main__':
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument('notebooks', nargs='*', type=Path)
    ap.add_argument('--flags', default='', help='directives to run as well, such as "slow"')
    args = ap.parse_args()
    sys.path.insert(0, str(root))
    paths = [p.resolve() for p in args.notebooks] or sorted((root/'nbs').glob('[0-9]*.ipynb'))
    os.chdir(root/'nbs')
    for p in paths: print(f'{p.name:28} {run(p, set(args.flags.split())):6.1f} s', flush=True)
