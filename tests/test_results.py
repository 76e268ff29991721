"Numbers that are printed stand in a committed result file, and everything that is made from them can be made again."
import json
import re
import runpy
import shutil
from dataclasses import replace
from pathlib import Path

import made_benchmark as made_rows
import numpy as np
import pytest
from PIL import Image

from immig_research.cards import dataset_card, model_card
from immig_research.records import BadInput, Document, append_jsonl, write_atomic, write_jsonl
from immig_research.reproduce import artifacts, loose_figures, read_run, reproduce, runs
from immig_research.tables import all_tables, cells, read_cells, write_cells

ROOT = Path(__file__).resolve().parents[1]
RUNS = [name for name in runs(ROOT) if '2-dataset' in read_run(ROOT, name).record['stages']] # Whole runs; of a benchmark only the cells are kept


@pytest.fixture(scope='module')
def made(): return artifacts(ROOT)


@pytest.fixture
def checkout(tmp_path):
    "What reproduce needs of a checkout, to be damaged."
    for name in ('settings.ini', 'README.md'): shutil.copy(ROOT/name, tmp_path/name)
    for folder in ('results', 'benchmarks/results'): shutil.copytree(ROOT/folder, tmp_path/folder)
    (tmp_path/'nbs').mkdir()
    for page in [*(ROOT/'nbs').glob('*.qmd'), ROOT/'nbs'/'index.ipynb']: shutil.copy(page, tmp_path/'nbs'/page.name)
    if (ROOT/'nbs'/'images').is_dir(): shutil.copytree(ROOT/'nbs'/'images', tmp_path/'nbs'/'images')
    return tmp_path


def test_every_text_that_is_made_from_results_stands_as_made(made):
    differ = [path for path, content in made.items() if isinstance(content, str) and (ROOT/path).read_text(encoding='utf-8') != content]
    assert differ == [], 'run `immig reproduce --offline`'


def test_every_picture_stands_as_made(made, tmp_path):
    "Another version of the drawing library may set an edge a little differently; another number would show."
    for path, content in made.items():
        if not isinstance(content, bytes): continue
        (tmp_path/'new.png').write_bytes(content)
        old, new = (np.asarray(Image.open(p).convert('L'), float) for p in (ROOT/path, tmp_path/'new.png'))
        assert old.shape == new.shape and abs(old - new).mean() < 1, f'{path}: run `immig reproduce --offline`'
        assert (ROOT/path).stat().st_size < 100_000


def test_what_was_damaged_is_restored(checkout):
    reproduce(checkout) # pictures by this machine's libraries
    before = {p.relative_to(checkout): p.read_bytes() for p in checkout.rglob('*') if p.is_file()}
    readme = (checkout/'README.md').read_text()
    figure = re.search(r'<!-- results:headline.*?(\d\.\d\d)', readme, re.S)[1]
    (checkout/'README.md').write_text(readme.replace(figure, '2.99'))
    (checkout/'nbs'/'results.qmd').unlink()
    (checkout/'nbs'/'benchmarks.qmd').write_text('damaged')
    pictures = sorted((checkout/'nbs'/'images').glob('*.png'))[:1] if (checkout/'nbs'/'images').is_dir() else []
    for picture in pictures: picture.write_bytes(picture.read_bytes()[:500])
    assert reproduce(checkout, check=True)['restored'] and (checkout/'nbs'/'benchmarks.qmd').read_text() == 'damaged'
    done = reproduce(checkout)
    assert set(done['restored']) == {'README.md', 'nbs/results.qmd', 'nbs/benchmarks.qmd', *(p.relative_to(checkout).as_posix() for p in pictures)}
    assert {p.relative_to(checkout): p.read_bytes() for p in checkout.rglob('*') if p.is_file()} == before


def test_a_changed_result_changes_what_is_printed(checkout):
    path = checkout/'results'/'laptop.json'
    record = json.loads(path.read_text())
    record['stages']['2-dataset']['pairs'] = 987654
    path.write_text(json.dumps(record))
    assert 'README.md' in reproduce(checkout)['restored'] and '987,654' in (checkout/'README.md').read_text()


def test_a_new_result_file_shows_up_by_itself(checkout):
    new = dict(name='late', date='2026-12-01', commit='f00', machine=dict(cores=2), note='A file that nobody knew of.',
               rows=[dict(system='ours', metric='calls_per_s', value=1234.5678, unit='calls/s', n=3, odd={'a': [1, 2]}), dict(system='peer', metric='calls_per_s', value=0.5, ratio=2.0)],
               kills=[dict(at='call 3', lost=0)], load=dict(calls=4800, lost=0), text='a | b')
    (checkout/'benchmarks'/'results'/'late.json').write_text(json.dumps(new))
    reproduce(checkout)
    page = (checkout/'nbs'/'benchmarks.qmd').read_text()
    assert all(w in page for w in ('## late', 'A file that nobody knew of', '1,235', 'call 3', '4,800', 'a \\| b', 'odd'))


@pytest.mark.parametrize('page', ['README.md', *sorted(p.relative_to(ROOT).as_posix() for p in (ROOT/'nbs').glob('*.qmd'))])
def test_no_printed_figure_is_without_a_result_file(page, made):
    "A page that is made whole has none by construction; in a page that people write, each figure stands in a block."
    if page in made and page != 'README.md' and '<!-- Made by' in made[page]: return
    assert loose_figures((ROOT/page).read_text(encoding='utf-8')) == []


def test_a_typed_figure_is_found():
    readme = (ROOT/'README.md').read_text()
    for typed in ('Ours has a mean of 1.32.', 'It is right for 61 % of them.', 'On 16,065 pairs.', 'It is 4 × faster.'):
        assert loose_figures(readme + typed) != []


@pytest.mark.parametrize('page', ['README.md', *sorted(p.relative_to(ROOT).as_posix() for p in (ROOT/'nbs').glob('*.qmd'))])
def test_every_picture_of_a_page_is_made_from_results_or_drawn_by_hand(page, made):
    drawn = {p.relative_to(ROOT).as_posix() for p in (ROOT/'nbs'/'images').glob('*.svg')}
    text = (ROOT/page).read_text(encoding='utf-8')
    for alt, target in re.findall(r'!\[(.*?)\]\(([^)\s]+)\)', text):
        path = target.split('/main/')[-1] if target.startswith('http') else ((ROOT/page).parent/target).resolve().relative_to(ROOT).as_posix()
        assert path in made or path in drawn, f'{page}: {target}'
        assert len(alt) > 10, f'{page}: {target} has no words for those who cannot see it'


@pytest.mark.parametrize('name', RUNS)
def test_a_record_agrees_with_itself(name):
    run = json.loads((ROOT/'results'/f'{name}.json').read_text())
    dataset, overall = run['stages']['2-dataset'], run['stages']['6-analyze']['overall']
    assert dataset['train'] + dataset['eval'] == dataset['pairs'] == sum(dataset['by_subdomain'].values())
    assert sum(dataset['rejects_by_reason'].values()) == dataset['rejects'] and dataset['certificate'] is True
    for s in overall:
        assert run['summary']['overall'][s['system']]['mean'] == pytest.approx(s['mean'], abs=5e-4)
        assert 0 <= s['low'] <= s['mean'] <= s['high'] <= 3
    topics = run['summary']['by_subtopic']
    assert sum(t[overall[0]['system']]['n'] for t in topics.values()) == overall[0]['n']


@pytest.mark.parametrize('name', RUNS)
def test_tables_made_again_from_cells_are_those_of_the_run(name):
    run = read_run(ROOT, name)
    if not run.found: return # recorded before cells were kept
    kept = {r['system']: r for r in run.record['stages']['6-analyze']['overall']}
    for r in run.found['overall'].to_dict('records'):
        for k in ('n', 'open', 'mean', 'low', 'high', 'pct_full', 'post_stratified'): assert r[k] == pytest.approx(kept[r['system']][k], abs=2e-6)
    facts = run.record['facts']
    assert facts['dataset']['pairs'] == run.record['stages']['2-dataset']['pairs']
    card, printed = dataset_card(facts['dataset'], 'x')
    assert len(printed) > 40 and model_card(facts['model'], 'a/b', system=facts['system'])[1]


@pytest.fixture
def run_folder(tmp_path):
    "The folder of a whole run as `immig run` leaves it, made without a model."
    out, asked = tmp_path/'run', made_rows.questions()
    rows = [replace(q, license='public domain', source_span='say', span_start=0, span_end=3) for q in asked]
    tuned = out/'models'/'tuned'
    for name, part in dict(train=rows[:80], eval=rows[80:]).items(): write_jsonl(out/'dataset'/f'{name}.jsonl', part)
    write_atomic(out/'dataset'/'certificate.json', json.dumps(dict(holds=True, shared=dict(sections=[], spans=[], parents=[]), closest=[dict(similarity=0.4321)])))
    write_jsonl(out/'corpus'/'documents.jsonl', [Document('made:1', 'T', 'say it', license_note='public domain', paragraphs=[])])
    evals = [dict(step=0, loss=2.0516, perplexity=7.7802), dict(step=63, loss=1.6109, perplexity=5.0071)]
    report = dict(base='smollm2-135m', steps=63, tokens_seen=146973, train=dict(pairs=80), eval=dict(pairs=21, rows=21), eval_before=dict(evals[0], rows=21), eval_after=dict(evals[1], rows=21),
                  gates=dict(loss='better'), parity=dict(top1_agreement=1.0), prompt_sha256='ab' * 32, data_sha256=dict(train='cd' * 32), versions=dict(torch='2.13.0'))
    write_atomic(tuned/'report.json', json.dumps(report))
    write_atomic(tuned/'recipe.json', json.dumps(dict(name='laptop', lora_r=16, learning_rate=0.001)))
    write_jsonl(tuned/'curve.jsonl', [dict(step=k, loss=2.0 - k / 100, kept='no') for k in range(1, 64)])
    write_jsonl(tuned/'evals.jsonl', evals)
    write_jsonl(tuned/'timings.jsonl', [dict(what='train', wall_s=1.5)])
    write_cells(out/'benchmark'/'cells.csv', cells(asked, made_rows.judgments('base', asked) + made_rows.judgments('tuned', asked)))
    overall = all_tables(read_cells(out/'benchmark'/'cells.csv'), population=None)['overall'].to_dict('records')
    write_atomic(out/'benchmark'/'summary.json', json.dumps(dict(judge_model='made', generated_at='now')))
    results = {'1-sources': dict(documents=1), '2-dataset': dict(pairs=101, train=80, eval=21), '3-train': report, '6-analyze': dict(overall=overall)}
    for name, result in results.items():
        write_atomic(out/'stages'/f'{name}.json', json.dumps(dict(name=name, result=result), default=str))
        append_jsonl(out/'timings.jsonl', [dict(stage=name, wall_s=1.0, peak_mb=9)])
    return out


def test_a_recorded_run_makes_the_pages_of_both_cards(checkout, run_folder):
    "From the folder of a run over its record to the data card and the model card of the docs, with pictures, and back when damaged."
    tool = runpy.run_path(str(ROOT/'tools'/'record_run.py'))
    record = {**tool['record'](run_folder), 'date': '2999-01-02'}
    (checkout/'results'/'late.json').write_text(json.dumps(record))
    shutil.copy(run_folder/'benchmark'/'cells.csv', checkout/'results'/'late.cells.csv')
    pictures = reproduce(checkout)['restored']
    assert 'run `late`' not in (checkout/'nbs'/'data_card.qmd').read_text() # a newer run of fewer pairs changes no card
    record['stages']['2-dataset']['pairs'] = 10 ** 6
    (checkout/'results'/'late.json').write_text(json.dumps(record))
    shutil.copy(run_folder/'benchmark'/'cells.csv', checkout/'results'/'late.cells.csv')
    done = reproduce(checkout)
    data, model = ((checkout/'nbs'/f'{name}.qmd').read_text() for name in ('data_card', 'model_card'))
    for page, words in ((data, ('run `late` of 2999-01-02', '| train | 80 |', '`certificate.json` proves it', '0.43', '| asylum |', 'public domain')),
                        (model, ('run `late` of 2999-01-02', 'HuggingFaceTB/SmolLM2-135M-Instruct', 'tuned minus base', '| tuned | made | 101 |', 'perplexity 7.78 and 5.01', '| lora_r | 16 |'))):
        assert [w for w in words if w not in page] == []
    for page in (data, model, (checkout/'nbs'/'results.qmd').read_text()):
        for alt, target in re.findall(r'!\[(.*?)\]\((images/late[^)\s]+)\)', page): assert len(alt) > 10 and 1000 < (checkout/'nbs'/target).stat().st_size < 100_000
    assert {'nbs/images/late-dataset.png', 'nbs/images/late-training.png'} <= {*pictures, *done['restored']}
    (checkout/'nbs'/'model_card.qmd').write_text(model.replace('5.01', '4.01'))
    (checkout/'nbs'/'images'/'late-dataset.png').unlink()
    assert set(reproduce(checkout)['restored']) == {'nbs/model_card.qmd', 'nbs/images/late-dataset.png'} and (checkout/'nbs'/'model_card.qmd').read_text() == model


def test_where_there_are_no_results_it_says_so(tmp_path):
    with pytest.raises(BadInput, match='in no checkout'): reproduce(tmp_path)
