"The whole line: killed anywhere it goes on to the same files, and bad input is told in one line."
import hashlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from immig_research import benchmark, pipeline, plans, recipes
from immig_research.cli import COMMANDS, EXAMPLES, main, parser_of, read_words
from immig_research.records import read_jsonl
from immig_research.store import sample_store

VOLATILE = ('timings', '.journal.')
TOY = ['run', '--recipe', 'toy', '--pairs', '24']


def files(out):
    "Hash of every file of a run folder, volatile ones left out."
    return {str(p.relative_to(out)): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(out.rglob('*'))
            if p.is_file() and not any(v in p.name for v in VOLATILE)}


def start(out):
    code = 'import sys; from immig_research.cli import main; sys.exit(main(sys.argv[1:]))'
    return subprocess.Popen([sys.executable, '-c', code, *TOY, '--out', str(out)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            env={**os.environ, 'OMP_NUM_THREADS': '1', 'IMMIG_DATA': str(out.parent/'data')})


def kill_when(out, pattern):
    "Start the run and kill it as soon as a file that fits `pattern` stands; True if it was killed in time."
    run = start(out)
    while run.poll() is None:
        if any(out.glob(pattern)):
            run.send_signal(signal.SIGKILL); run.wait(); return True
        time.sleep(0.01)
    return False


@pytest.mark.slow
def test_killed_at_each_stage_it_ends_in_the_same_files(tmp_path):
    whole = start(tmp_path/'whole')
    assert whole.wait() == 0, whole.stderr.read()[-2000:]
    broken = tmp_path/'broken'
    places = ['corpus/*', 'stages/1-sources.json', 'dataset/*', 'models/*/checkpoints/*', 'models/*/adapter/*', 'models/*/merged/*',
              'benchmark/predictions-toy.journal.jsonl', 'benchmark/predictions-toy-tuned.journal.jsonl', 'benchmark/judgments.jsonl',
              'benchmark/summary.json', 'benchmark/figures/*']
    killed = [p for p in places if kill_when(broken, p)]
    assert len(killed) >= 8, killed
    last = start(broken)
    assert last.wait() == 0, last.stderr.read()[-2000:]
    assert files(broken) == files(tmp_path/'whole')


@pytest.fixture
def store(tmp_path):
    "A copy of three files of the sample store."
    rows = [r for r in read_jsonl(sample_store()/'manifest.jsonl') if r['source_id'] in ('uscode', 'uscis-policy-manual', 'uscis-forms')]
    rows.sort(key=lambda r: r['path'].count('.print'))
    kinds = {}
    for r in rows: kinds.setdefault(r['media_type'], r)
    folder = tmp_path/'store'
    for r in kinds.values():
        (folder/r['path']).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(sample_store()/r['path'], folder/r['path'])
    (folder/'manifest.jsonl').write_text(''.join(json.dumps(r) + '\n' for r in kinds.values()))
    return folder


def collect(store, tmp_path, capsys):
    code = main(['sources', 'collect', '--store', str(store), '--out', str(tmp_path/'corpus')])
    return code, capsys.readouterr().err.strip().splitlines()


def manifest(store): return read_jsonl(store/'manifest.jsonl')
def write_manifest(store, rows): (store/'manifest.jsonl').write_text(''.join(json.dumps(r) + '\n' for r in rows))


@pytest.mark.parametrize('damage, said', [
    (lambda s: shutil.rmtree(s), 'no raw store'),
    (lambda s: (s/'manifest.jsonl').unlink(), 'manifest.jsonl'),
    (lambda s: (s/'manifest.jsonl').write_text(''), 'empty'),
    (lambda s: (s/'manifest.jsonl').write_text((s/'manifest.jsonl').read_text()[:-30]), 'not JSON'),
    (lambda s: write_manifest(s, [{**r, 'path': '../secret.md'} for r in manifest(s)[:1]]), 'leaves the folder'),
    (lambda s: write_manifest(s, [{k: v for k, v in r.items() if k != 'sha256'} for r in manifest(s)]), 'lacks sha256'),
], ids=['no store', 'no manifest', 'empty store', 'torn line', 'path that climbs out', 'missing column'])
def test_bad_store_is_one_line_and_exit_2(store, tmp_path, capsys, damage, said):
    damage(store)
    code, lines = collect(store, tmp_path, capsys)
    assert code == 2 and said in lines[-1] and lines[-1].startswith('immig: ')
    assert not (tmp_path/'corpus').exists()


def test_damaged_files_are_counted_rejects_and_the_rest_goes_on(store, tmp_path, capsys):
    rows = manifest(store)
    pdf = next(r for r in rows if r['media_type'] == 'application/pdf')
    (store/pdf['path']).write_bytes(b'%PDF-1.7 torn')
    pdf['sha256'] = hashlib.sha256(b'%PDF-1.7 torn').hexdigest()
    text = next(r for r in rows if r['media_type'] == 'text/plain')
    text['sha256'] = '0' * 64
    write_manifest(store, rows)
    code, _ = collect(store, tmp_path, capsys)
    rejects = {r['path']: r['reason'] for r in read_jsonl(tmp_path/'corpus'/'rejects.jsonl')}
    assert code == 0 and set(rejects) == {pdf['path'], text['path']}
    assert 'PDF' in rejects[pdf['path']] and 'sha256' in rejects[text['path']]
    assert {d['raw_path'] for d in read_jsonl(tmp_path/'corpus'/'documents.jsonl')} == {r['path'] for r in rows} - set(rejects)


@pytest.mark.parametrize('argv, said', [
    (['run', '--recipe', 'none'], 'recipe must be one of'), (['run', '--recipe', 'laptop'], '--store'), (['run', '--recipe', 'toy', '--pairs', '0'], '--pairs'),
    (['dataset', 'build', '--generator', 'magic'], 'generator'), (['dataset', 'certify'], '--train'), (['train'], '--dataset'),
    (['judge', '--questions', 'none.jsonl', '--predictions', 'none.jsonl'], 'none.jsonl'), (['infer', '--questions', 'none.jsonl'], 'none.jsonl'),
    (['analyze', '--questions', 'none.jsonl', '--judgments', 'none.jsonl'], 'none.jsonl'), (['sources', 'collect', '--stor'], '--help'),
], ids=lambda v: ' '.join(v) if isinstance(v, list) else None)
def test_wrong_words_are_one_line_and_exit_2(tmp_path, monkeypatch, capsys, argv, said):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('IMMIG_DATA', str(tmp_path))
    assert main(argv) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert said in lines[-1] and lines[-1].startswith('immig: ')


@pytest.fixture
def help_of(capsys, monkeypatch):
    "What `immig COMMAND --help` prints in a terminal of 100 columns."
    def get(command):
        monkeypatch.setenv('COLUMNS', '100')
        with pytest.raises(SystemExit) as stop: main([command, '--help'])
        assert stop.value.code == 0
        return capsys.readouterr().out
    return get


@pytest.mark.parametrize('command', COMMANDS)
def test_help_can_be_read(command, help_of):
    "Each example stands on its own line and is a command; each option has words; what must be given stands first."
    text = help_of(command)
    options, examples = text.split('\nexamples:\n')
    told = examples.replace(' \\\n      ', ' ').splitlines()
    assert [line.strip() for line in told] == EXAMPLES[command] and all(line.startswith('  ') for line in told)
    assert max(map(len, text.splitlines())) <= 100, [line for line in text.splitlines() if len(line) > 100]
    assert '(default: False)' not in text and '_' not in ''.join(w for w in text.split() if w.startswith('--'))
    parser = parser_of(command)
    assert [a.dest for a in parser._actions if not (a.help or '').strip()] == []
    needed = [a.dest for a in parser._actions if a.required and a.option_strings]
    assert ('needed:' in text) == bool(needed) and all(f'--{n.replace("_", "-")}' in text.split('\noptions:')[0].split('needed:')[-1] for n in needed)
    for example in EXAMPLES[command]:
        words = shlex.split(example.split(' | ')[-1])
        at = next(i for i, w in enumerate(words) if w in ('immig', 'immig_research.cli'))
        assert words[at + 1] == command
        read_words(command, words[at + 2:])


@pytest.mark.parametrize('command, allowed', [
    ('run', pipeline.RUN_RECIPES), ('train', recipes.RECIPES), ('benchmark', benchmark.RECIPES), ('sources', plans.SOURCES), ('judge', ('facts', 'overlap', 'bedrock:ID', 'openai:URL#ID')),
    ('dataset', ('rules', 'bedrock:MODEL', 'openai:URL#MODEL')), ('infer', ('seed101', 'scored', 'fast', 'Tokens')), ('publish', ('adapter', 'merged')), ('recall', ('ISO date',)),
], ids=lambda v: v if isinstance(v, str) else '')
def test_help_says_what_is_allowed(command, allowed, help_of):
    text = ' '.join(help_of(command).split('examples:')[0].split())
    assert [name for name in allowed if not re.search(rf'(?<![\w-]){re.escape(name)}(?![\w-])', text)] == []


@pytest.mark.parametrize('command', ['sources', 'dataset', 'train', 'infer', 'judge', 'benchmark', 'analyze', 'publish'])
def test_help_speaks_of_other_fields(command, help_of): assert re.search('nother field|any field', help_of(command))


def test_doctor_prints_json(capsys):
    assert main(['doctor', '--json']) == 0
    assert json.loads(capsys.readouterr().out)['sample store'].endswith('files')


@pytest.mark.slow
def test_the_cards_snippet_runs_on_a_merged_folder(tmp_path):
    "The model card's usage, unchanged but for the path."
    out = tmp_path/'whole'
    assert start(out).wait() == 0
    model_id = str(out/'models/toy-tuned/merged')
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    tokenizer = AutoTokenizer.from_pretrained(model_id)
    model = AutoModelForCausalLM.from_pretrained(model_id, dtype=torch.bfloat16, device_map='auto')
    messages = [{'role': 'system', 'content': 'You answer.'}, {'role': 'user', 'content': 'Who may file Form I-130?'}]
    inputs = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors='pt', return_dict=True).to(model.device)
    said = model.generate(**inputs, max_new_tokens=4)
    assert said.shape[1] > inputs['input_ids'].shape[1]


def test_paths_are_not_written_outside_the_run_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code, _ = collect(sample_store(), tmp_path, capsys)
    assert code == 0 and {p.name for p in tmp_path.iterdir()} == {'corpus'}
    assert Path(tmp_path/'corpus'/'documents.jsonl').stat().st_size > 10_000


def test_a_reader_that_has_enough_ends_the_command_quietly():
    run = subprocess.Popen([sys.executable, '-m', 'immig_research.cli', 'doctor', '--json'], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    run.stdout.close() # As `head` does
    assert (run.stderr.read(), run.wait()) == (b'', 0)
