"""Fail when `nbdev_export`, `nbdev_clean` or the README builder would change a file: notebooks, package and README in step."""
import hashlib
import subprocess
import sys
from pathlib import Path

root = Path(__file__).resolve().parent.parent


def state():
    "The hash of every notebook and module, and of the README."
    files = [*root.glob('nbs/*.ipynb'), *root.glob('immig_research/*.py'), root/'README.md']
    return {str(f.relative_to(root)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files if f.exists()}


before = state()
for command in (['nbdev_export'], ['nbdev_clean'], [sys.executable, 'tools/build_docs.py', '--readme']):
    subprocess.run(command, cwd=root, check=True)
after = state()
changed = sorted(f for f in before.keys() | after.keys() if before.get(f) != after.get(f))
if changed: sys.exit('out of step, run `make sync readme` and commit: ' + ', '.join(changed))
print(f'in step: {len(after)} files')
