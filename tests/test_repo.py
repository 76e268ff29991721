"What a reader of the repository relies on: files, versions, no secrets, no words that don't belong here."
import configparser
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
INI = configparser.ConfigParser(delimiters=['='])
INI.read(ROOT/'settings.ini')
TEXT = {'.py', '.ipynb', '.md', '.ini', '.toml', '.yml', '.yaml', '.cff', '.json', '.jsonl', '.txt', '.csv', '.css', '.js', '.html', ''}


def tracked():
    "Text files that git knows, or all files of an unpacked source tree."
    names = subprocess.run(['git', 'ls-files', '-co', '--exclude-standard'], cwd=ROOT, capture_output=True, text=True).stdout.split('\n')
    return [ROOT/n for n in names if n and (ROOT/n).is_file() and (ROOT/n).suffix in TEXT]


def test_one_version():
    import immig_research
    version = INI['DEFAULT']['version']
    assert immig_research.__version__ == version
    assert f'version: {version}' in (ROOT/'CITATION.cff').read_text()
    assert f'## {version}' in (ROOT/'CHANGELOG.md').read_text()


def test_torch_is_pinned_in_the_makefile_only():
    assert re.search(r'^TORCH +:= torch==', (ROOT/'Makefile').read_text(), re.M)
    pinned = [f.name for f in tracked() if f.name != 'Makefile' and f.suffix in ('.ini', '.toml', '.py', '.yaml') and re.search(r'torch==\d', f.read_text())]
    assert pinned == []


def test_no_secret_and_no_machine_path():
    secret = re.compile(r'AKIA[0-9A-Z]{16}|aws_secret_access_key\s*=\s*\S{20}|hf_[A-Za-z]{30,}|sk-[A-Za-z0-9]{32,}|BEGIN (RSA|EC|OPENSSH) PRIVATE')
    places = re.compile(r'/work/(main|shared|bench)|/root/\.')
    found = [f'{f.relative_to(ROOT)}: {m[0][:20]}' for f in tracked() if f.name != Path(__file__).name
             for m in [secret.search(f.read_text(encoding='utf-8')) or places.search(f.read_text(encoding='utf-8'))] if m]
    assert found == []


def test_no_large_file():
    assert [f.name for f in tracked() if f.stat().st_size > 2_000_000] == []


def test_readme_is_short_and_names_two_commands():
    readme = (ROOT/'README.md').read_text()
    assert len(readme.splitlines()) <= 150
    assert 'make run' in readme and 'make test' in readme and 'legal advice' in readme


def test_readme_opens_with_what_a_newcomer_looks_for():
    "What it is for, the picture, the two commands and the one that rebuilds the tables, the headline, what it does not do: in this order."
    readme = (ROOT/'README.md').read_text()
    places = [readme.find(w) for w in ('For researchers', '](nbs/images/pipeline.svg)', 'make run', '`immig reproduce --offline`', '<!-- results:headline', '## What it does not do', '## Stage by stage')]
    assert -1 not in places and places == sorted(places)
    assert re.search(r'^reproduce: .*\n\timmig reproduce --offline$', (ROOT/'Makefile').read_text(), re.M) and '`make reproduce`' in readme


def test_import_needs_no_torch():
    code = ('import importlib, pkgutil, sys, immig_research\n'
            'for m in pkgutil.iter_modules(immig_research.__path__): importlib.import_module(f"immig_research.{m.name}")\n'
            'print(sorted({"torch", "transformers", "peft", "datasets", "boto3", "openai"} & set(sys.modules)))')
    assert subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True).stdout.strip() == '[]'


def test_quarto_config_is_one_file():
    assert (ROOT/'nbs/_quarto.yml').resolve() == ROOT/'_quarto.yml'


def test_notebooks_are_valid():
    for nb in (ROOT/'nbs').glob('*.ipynb'):
        doc = json.loads(nb.read_text(encoding='utf-8'))
        assert doc['nbformat'] == 4 and doc['metadata']['kernelspec']['name'] == 'python3'


@pytest.mark.slow
def test_wheel_installs_without_torch():
    done = subprocess.run([sys.executable, ROOT/'tools/check_wheel.py'], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


def test_tests_and_tools_have_no_lint():
    done = subprocess.run([sys.executable, '-m', 'ruff', 'check', 'tests', 'tools', 'setup.py'], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:]
