"The docs' own words: the tutorial is what its files are, and works as written."
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from immig_research.cli import COMMANDS, read_words

ROOT = Path(__file__).resolve().parents[1]
OWN = ROOT/'tests'/'data'/'own_domain'
PAGES = sorted((ROOT/'nbs').glob('*.qmd'))
TUTORIAL = (ROOT/'nbs'/'tutorial.qmd').read_text(encoding='utf-8')


def commands(text):
    "The `immig` commands of a page's bash blocks, lines joined."
    blocks = '\n'.join(re.findall(r'```bash\n(.*?)```', text, re.S)).replace('\\\n', ' ')
    return [line.strip() for line in blocks.splitlines() if line.strip().startswith('immig ')]


def test_the_tutorials_files_are_those_that_are_tested():
    shown = dict(re.findall(r'```\{\.\w+ filename="([^"]+)"\}\n(.*?)\n```', TUTORIAL, re.S))
    assert set(shown) == {'texts/4-fishing.md', 'taxonomy.json', 'read_texts.py', 'written.jsonl'}
    for name, text in shown.items(): assert (OWN/name).read_text(encoding='utf-8').rstrip('\n') == text, name


@pytest.mark.parametrize('page', PAGES, ids=lambda p: p.stem)
def test_every_command_of_a_page_exists(page):
    for line in commands(page.read_text(encoding='utf-8')):
        words = shlex.split(line, comments=' # ' in line)[1:]
        assert words[0] in COMMANDS, line
        read_words(words[0], words[1:])


def test_the_python_of_the_pages_answers_as_they_say(tmp_path, monkeypatch, capsys):
    "README's on the sample, the tutorial's on its own texts: each answers with quotations that hold."
    from immig_research.sources import collect
    from immig_research.store import sample_store
    monkeypatch.chdir(tmp_path)
    collect(sample_store(), 'data_local/quickstart/corpus')
    subprocess.run([sys.executable, OWN/'read_texts.py', OWN/'texts', 'corpus'], check=True, capture_output=True)
    shown = {name: re.findall(r'```python\n(.*?)```', (ROOT/name).read_text(encoding='utf-8'), re.S) for name in ('README.md', 'nbs/tutorial.qmd')}
    for name, source in (('README.md', '8 U.S.C. 1158'), ('nbs/tutorial.qmd', 'Harbour Rules 4.3')):
        [block] = shown[name]
        exec(compile(block, name, 'exec'), {})
        said = capsys.readouterr().out
        assert 'VERIFIED' in said and source in said


def test_another_field_has_its_own_parts(tmp_path):
    "Corpus, dataset, tables and a dry run of publishing for the tutorial's field, each as a command of its own, without a model."
    env = {**os.environ, 'IMMIG_TAXONOMY': str(OWN/'taxonomy.json'), 'PYTHONPATH': str(ROOT)}

    def do(*words):
        done = subprocess.run([sys.executable, *map(str, words)], cwd=tmp_path, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-1500:]
        return done.stdout

    immig = '-c', 'import sys; from immig_research.cli import main; sys.exit(main())'
    assert do(OWN/'read_texts.py', OWN/'texts', 'corpus') == '5 documents, 17 paragraphs\n'
    told = do(*immig, 'dataset', 'build', '--corpus', 'corpus', '--written', OWN/'written.jsonl', '--out', 'dataset')
    assert told.strip() in TUTORIAL and 'certificate        True' in told and 'asylum' not in told
    parts = {r['qa_id']: r['immigration_subtopic'] for r in map(json.loads, (tmp_path/'dataset'/'eval.jsonl').read_text().splitlines()) if r['qa_id'].startswith('own-')}
    assert parts == {'own-1': 'berths', 'own-2': 'visitors', 'own-3': 'berths'} # a question without a part is sorted by its words
    said = do(*immig, 'ask', 'Who won the world cup?', '--corpus', 'corpus', '--words-only')
    assert 'outside the field' in said and 'mmigration' not in said
    questions = (tmp_path/'dataset'/'eval.jsonl').read_text() + (tmp_path/'dataset'/'train.jsonl').read_text()
    assert 'USCIS' not in questions and 'U.S. immigration' not in questions and 'Harbour Rules' in questions
    code = ('import json\nfor name in ("base", "tuned"):\n  rows = [json.loads(x) for x in open("dataset/eval.jsonl")]\n'
            '  open(f"{name}.jsonl", "w").writelines(json.dumps(dict(qa_id=r["qa_id"], system=name, prediction=r["answer"] if name == "tuned" else "No.")) + "\\n" for r in rows)\n')
    do('-c', code)
    do(*immig, 'judge', '--questions', 'dataset/eval.jsonl', '--predictions', 'base.jsonl', 'tuned.jsonl', '--out', 'run')
    do(*immig, 'analyze', '--questions', 'dataset/eval.jsonl', '--judgments', 'run/judgments.jsonl', '--predictions', 'base.jsonl', 'tuned.jsonl', '--out', 'run')
    page = (tmp_path/'run'/'tables.md').read_text()
    assert '| berths' in page and '| fishing' in page and 'nan' not in page.split('## Published')[0]
    do(*immig, 'publish', 'dataset', '--repo', 'me/harbour-rules', '--source', 'dataset', '--corpus', 'corpus', '--out', 'hub', '--dry-run')
    card, built = ((tmp_path/folder/'README.md').read_text() for folder in ('hub', 'dataset'))
    assert '| berths |' in card and '| berths |' in built and 'train.jsonl' in built
    for text in (card, built, (tmp_path/'hub'/'croissant.json').read_text()): assert 'mmigration law' not in text and 'published dataset' not in text


@pytest.mark.slow
def test_the_tutorial_works_as_written(tmp_path):
    "Every command of the tutorial in order, with the embedded model, in a folder that has only the tutorial's files."
    for name in ('taxonomy.json', 'read_texts.py', 'written.jsonl'): shutil.copy(OWN/name, tmp_path/name)
    shutil.copytree(OWN/'texts', tmp_path/'texts')
    blocks = [b for b in re.findall(r'```bash\n(.*?)```', TUTORIAL, re.S) if 'make run' not in b]
    script = 'set -e\npython() { "$PYTHON" "$@"; }\nimmig() { "$PYTHON" -c "import sys; from immig_research.cli import main; sys.exit(main())" "$@"; }\n' + '\n'.join(blocks)
    env = {**os.environ, 'PYTHON': sys.executable, 'PYTHONPATH': str(ROOT), 'IMMIG_DATA': os.environ.get('IMMIG_DATA', str(ROOT/'data_local')), 'HF_HUB_OFFLINE': '1'}
    done = subprocess.run(['bash', '-c', script], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=3600)
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path/'run'/'report.html').is_file() and (tmp_path/'hub'/'croissant.json').is_file() and (tmp_path/'review').is_dir()


def test_signatures_on_the_site_show_fields_with_their_comments(monkeypatch):
    "Also of a class that nbdev made by running a cell, whose source is in no file that `inspect` knows; no line is wider than the page."
    from dataclasses import dataclass

    from fastcore import docments
    for name in ('get_dataclass_source', '_fmt_sig', 'docments'): monkeypatch.setattr(docments, name, getattr(docments, name))
    for name in ('__str__', '_fmt_param', '_ret_str'): monkeypatch.setattr(docments.DocmentText, name, getattr(docments.DocmentText, name))
    monkeypatch.syspath_prepend(ROOT/'tools')
    import build_docs
    build_docs.widen_signatures()
    @dataclass
    class Grid:
        "Another class of the same name."
        edges: list
    from immig_research.pdf import Grid as packaged
    from immig_research.verify import Verdict, verify
    monkeypatch.setattr(Verdict, '__module__', '__main__')
    shown = str(docments.DocmentText(Verdict, docstring=False)).splitlines()
    assert shown[0] == 'class Verdict(' and shown[-1] == ')'
    assert '    verdict:str, # One of VERDICTS' in shown and '    text:str,' in shown and '    found_in:str=\'\', # MISATTRIBUTED: the provision that the words stand in' in shown
    assert build_docs.dataclass_source(Grid) == '' != build_docs.dataclass_source(packaged)
    lines = [*shown, *str(docments.DocmentText(verify, docstring=False)).splitlines()]
    assert max(map(len, lines)) <= build_docs.PAGE_WIDTH and any(line.startswith('def verify(') for line in lines)
    from immig_research.losses import head_loss
    from immig_research.polite import Clock, Polite
    from immig_research.records import BadInput
    from immig_research.sources import canary_warnings
    from immig_research.uscis import build_document
    text = lambda o: str(docments.DocmentText(o, docstring=False))
    assert text(BadInput) == 'class BadInput(ValueError)' and text(Clock) == 'class Clock'
    assert 'clock:Clock=Clock(), # The time' in text(Polite) and '0x' not in text(Polite)
    assert 'canaries:tuple=..., # What is usual' in text(canary_warnings) and '**more, # Further fields' in text(build_document)
    assert text(head_loss).endswith('\n): # Scalar tensor: sum of the cross-entropies') # No type is named


def test_helpers_are_told_before_the_cell_that_tries_them(monkeypatch):
    monkeypatch.syspath_prepend(ROOT/'tools')
    from build_docs import helpers_told
    code = lambda i, *source: dict(cell_type='code', id=i, source='\n'.join(source))
    cells = [code('a', '#| export', 'def _half(x):', '    "Half of `x`."', '    return x/2'), code('b', '#| hide', '_half(1)'),
        code('c', 'twice(_half(3)), row._half'), code('d', '_half(5)'), code('e', '#| export', 'def _bare(x): return x'), code('f', '_bare(1)')]
    assert helpers_told(cells) == {'c': '`_half`: Half of `x`.'}


def test_types_on_the_site_go_by_their_own_names(monkeypatch):
    monkeypatch.syspath_prepend(ROOT/'tools')
    from build_docs import short_types
    assert short_types('new:dict[str, immig_research.records.Document] | collections.abc.Iterable[__main__.Version]') == 'new:dict[str, Document] | Iterable[Version]'
    assert short_types('clock:Clock=<immig_research.polite.Clock object at 0x7fb57fa7e390>') == 'clock:Clock=Clock()'
    assert short_types("action:str <What to do>='build'") == "action:str='build'"
    assert short_types("out:str | pathlib.Path | None=None") == 'out:str | Path | None=None' and short_types('a:list=<factory>') == 'a:list=<factory>'


@pytest.mark.slow
def test_every_page_of_the_docs_can_be_read_in_a_browser(tmp_path):
    "No page is wider than its window, loads anything from outside, or has a picture that is missing or has no words."
    from test_report import browser
    chromium, modules = browser()
    subprocess.run([sys.executable, ROOT/'tools'/'build_docs.py'], cwd=ROOT, check=True, capture_output=True, text=True)
    done = subprocess.run(['node', ROOT/'tests'/'browser'/'pages.mjs', chromium, ROOT/'_docs', '-'], capture_output=True, text=True, timeout=900, env={**os.environ, 'NODE_PATH': modules})
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert len(found) > 80
    wrong = {name: {k: v for k, v in seen.items() if k in ('broken', 'wordless', 'comments', 'cut', 'errors', 'outside') and v} | {k: seen[k] for k in ('wide', 'narrow') if seen[k] > 1} for name, seen in found.items()}
    assert {name: bad for name, bad in wrong.items() if bad} == {}
    assert [name for name, seen in found.items() if not seen['title'] or seen['h1'] != 1] == []
