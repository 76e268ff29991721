"""Build the wheel, install it in a fresh environment without torch, import every module, and run `immig --help`."""
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

root = Path(__file__).resolve().parent.parent
IMPORT_ALL = '''
import importlib, pkgutil, sys
import immig_research
names = [m.name for m in pkgutil.iter_modules(immig_research.__path__)]
for name in names: importlib.import_module(f"immig_research.{name}")
heavy = {"torch", "transformers", "peft", "datasets", "boto3"} & set(sys.modules)
assert not heavy, f"imported at import time: {heavy}"
from immig_research.store import read_store, sample_store
print(len(names), "modules,", len(read_store(sample_store())), "sample files")
'''


def run(*command, **kw): return subprocess.run([str(c) for c in command], check=True, **kw)


with tempfile.TemporaryDirectory() as tmp:
    tmp = Path(tmp)
    run(sys.executable, '-m', 'build', '--wheel', '--outdir', tmp, root, stdout=subprocess.DEVNULL)
    wheel = next(tmp.glob('*.whl'))
    venv.create(tmp/'env', with_pip=True)
    python = tmp/'env/bin/python'
    run(python, '-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', wheel)
    run(python, '-c', IMPORT_ALL, cwd=tmp)
    run(tmp/'env/bin/immig', '--help', cwd=tmp, stdout=subprocess.DEVNULL)
    print(f'{wheel.name}: {wheel.stat().st_size // 1024} KB, installs and runs without torch')
