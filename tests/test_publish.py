"Publishing: what goes up, that it is whole, that it goes on after a stop, and that every figure on a card has its origin."
import json
import re
import subprocess
import sys
from dataclasses import fields, replace

import made_benchmark as made
import pytest
import yaml
from hub_stand_in import Hub

from immig_research.cards import Figures, dataset_card, dataset_facts, write_card
from immig_research.publish import (
    check_croissant,
    clear_folder,
    prepare_dataset,
    prepare_model,
    publish,
    published_files,
    upload,
)
from immig_research.records import BadInput, Document, QAPair, RunFailed, read_jsonl, write_atomic, write_jsonl
from immig_research.tables import cells, write_cells

REPO = 'owner/immigration-qa'


@pytest.fixture
def hub(monkeypatch):
    "A Hub on loopback that the real client talks to, over plain large-file transfer."
    from huggingface_hub import constants
    monkeypatch.setattr(constants, 'HF_HUB_DISABLE_XET', True)
    monkeypatch.setattr(constants, 'HF_HUB_OFFLINE', False)
    monkeypatch.setenv('HF_TOKEN', 'test-token')
    with Hub() as hub: yield hub


@pytest.fixture(scope='module')
def built(tmp_path_factory):
    "A small dataset with a corpus of one document."
    folder = tmp_path_factory.mktemp('built')
    rows = [replace(q, license='public domain', source_doc_id='uscode:1', source_span='say', span_start=0, span_end=3) for q in made.questions()]
    write_jsonl(folder/'train.jsonl', rows[:80])
    write_jsonl(folder/'eval.jsonl', rows[80:])
    write_atomic(folder/'certificate.json', json.dumps(dict(holds=True, shared=dict(sections=[], spans=[], parents=[]), closest=[dict(similarity=0.4321)])))
    paragraph = dict(id='p', start=0, end=3, kind='text', author='a person', license='CC BY-SA 4.0')
    write_jsonl(folder/'documents.jsonl', [Document('uscode:1', 'T', 'say it', license_note='public domain', paragraphs=[paragraph], coverage=1.0)])
    return folder


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    "The folder of a training run, without a training run."
    folder = tmp_path_factory.mktemp('runs')/'tuned'
    report = dict(base='smollm2-135m', steps=63, tokens_seen=146973, train=dict(pairs=1000), eval=dict(pairs=200), eval_before=dict(loss=2.0516, perplexity=7.7802),
                  eval_after=dict(loss=1.6109, perplexity=5.0071), gates=dict(loss='better'), parity=dict(top1_agreement=1.0), prompt_sha256='ab' * 32,
                  data_sha256=dict(train='cd' * 32), versions=dict(torch='2.13.0'))
    write_atomic(folder/'report.json', json.dumps(report))
    write_atomic(folder/'recipe.json', json.dumps(dict(name='laptop', lora_r=16, learning_rate=0.001, target_modules=['q_proj', 'v_proj'])))
    for part in ('adapter', 'merged'):
        write_atomic(folder/part/'model.safetensors', bytes(4000))
        write_atomic(folder/part/'config.json', '{}')
    asked = made.questions()
    write_cells(folder/'cells.csv', cells(asked, made.judgments('base', asked) + made.opened(made.judgments('other', asked), 3) + made.judgments('tuned', asked)))
    return folder


def test_a_dataset_goes_up_whole_and_private(tmp_path, built, hub):
    done = prepare_dataset(built, tmp_path/'out', REPO, corpus=built)
    sent = upload(tmp_path/'out', REPO, 'dataset', endpoint=hub.url)
    assert hub.files(REPO) == {f['path']: (tmp_path/'out'/f['path']).read_bytes() for f in done['files']}
    assert set(hub.repos[REPO]) == {'README.md', 'croissant.json', 'figures.json', 'certificate.json', 'qa/train.parquet', 'qa/eval.parquet', 'corpus/train.parquet'}
    assert sent['files'] == 7 and sent['left'] == [] and hub.private[REPO] and hub.commits == 1


def test_an_upload_that_was_cut_off_goes_on(tmp_path, built, hub):
    prepare_dataset(built, tmp_path/'out', REPO, corpus=built)
    hub.fail += [('/commit/', 500)]
    with pytest.raises(RunFailed, match='goes on where it was'): upload(tmp_path/'out', REPO, 'dataset', endpoint=hub.url)
    assert hub.commits == 0 and hub.repos[REPO] == {} and len(hub.objects) == 3 # nothing half-published
    puts = hub.sent()
    upload(tmp_path/'out', REPO, 'dataset', endpoint=hub.url)
    assert hub.sent() == puts == 3 and hub.commits == 1 and len(hub.files(REPO)) == 7 # no large file was sent twice


def test_a_dropped_connection_and_a_server_error_are_healed_by_the_client(tmp_path, built, hub):
    prepare_dataset(built, tmp_path/'out', REPO)
    hub.fail += [('/lfs/', 'drop'), ('/lfs/', 503), ('/preupload/', 503)] # the first two hit the batch call or a file
    upload(tmp_path/'out', REPO, 'dataset', endpoint=hub.url)
    assert hub.fail == [] and hub.commits == 1 and 'qa/eval.parquet' in hub.files(REPO)


def test_the_same_again_makes_no_commit_and_a_change_sends_only_itself(tmp_path, built, hub):
    prepare_dataset(built, tmp_path/'out', REPO)
    first = upload(tmp_path/'out', REPO, 'dataset', endpoint=hub.url)
    again = upload(tmp_path/'out', REPO, 'dataset', endpoint=hub.url)
    assert hub.commits == 1 and again['commit'] == first['commit']
    before = hub.sent()
    (tmp_path/'out'/'coverage.md').write_text('new')
    upload(tmp_path/'out', REPO, 'dataset', endpoint=hub.url)
    assert hub.commits == 2 and hub.sent() == before


def test_what_the_repository_has_besides_is_told_and_kept(tmp_path, built, hub):
    prepare_dataset(built, tmp_path/'out', REPO, corpus=built)
    upload(tmp_path/'out', REPO, 'dataset', endpoint=hub.url)
    prepare_dataset(built, tmp_path/'out', REPO)
    assert upload(tmp_path/'out', REPO, 'dataset', endpoint=hub.url)['left'] == ['corpus/train.parquet']


def test_a_bad_token_is_one_clear_line(tmp_path, built, hub, monkeypatch):
    monkeypatch.setenv('HF_TOKEN', 'hf_someone_elses')
    prepare_dataset(built, tmp_path/'out', REPO)
    with pytest.raises(RunFailed, match=r'refused \(401\): set HF_TOKEN') as caught: upload(tmp_path/'out', REPO, 'dataset', endpoint=hub.url)
    assert 'someone_elses' not in str(caught.value) and hub.repos == {}


def test_offline_is_said(tmp_path, built, monkeypatch):
    from huggingface_hub import constants
    monkeypatch.setattr(constants, 'HF_HUB_OFFLINE', True)
    prepare_dataset(built, tmp_path/'out', REPO)
    with pytest.raises(BadInput, match='HF_HUB_OFFLINE'): upload(tmp_path/'out', REPO, 'dataset', endpoint='http://127.0.0.1:9')


def test_a_killed_upload_goes_on_in_a_new_process(tmp_path, built, hub):
    prepare_dataset(built, tmp_path/'out', REPO, corpus=built)
    code = ('import os, huggingface_hub._commit_api as api\n'
            'from immig_research.publish import upload\n'
            'def die(**k): os._exit(9)\n'
            'api._send_commit = die # killed after the files, before the commit\n'
            f'upload({str(tmp_path/"out")!r}, {REPO!r}, "dataset", endpoint={hub.url!r})\n')
    env = dict(PATH='/usr/bin:/bin', HF_TOKEN='test-token', HF_HUB_DISABLE_XET='1', HF_HUB_OFFLINE='0', HOME=str(tmp_path))
    died = subprocess.run([sys.executable, '-c', code], env=env, capture_output=True, text=True)
    assert died.returncode == 9, died.stderr[-1500:]
    assert hub.commits == 0 and len(hub.objects) == 3
    upload(tmp_path/'out', REPO, 'dataset', endpoint=hub.url)
    assert hub.sent() == 3 and hub.commits == 1


def test_dry_run_asks_nobody_and_leaves_what_would_go_up(tmp_path, built, trained):
    done = publish('dataset', built, REPO, tmp_path/'d', dry_run=True, corpus=built)
    assert done['files'] == published_files(tmp_path/'d') and 'upload' not in done
    done = publish('model', trained, 'owner/tuned', tmp_path/'m', dry_run=True, weights='merged')
    assert [f['path'] for f in done['files']] == ['README.md', 'config.json', 'figures.json', 'model.safetensors', 'training/recipe.json', 'training/report.json']


def test_a_model_goes_up_with_its_scores(tmp_path, trained, hub):
    prepare_model(trained, tmp_path/'out', 'owner/tuned', cells=trained/'cells.csv', dataset=REPO)
    upload(tmp_path/'out', 'owner/tuned', 'model', endpoint=hub.url)
    files = hub.files('owner/tuned')
    entries = yaml.safe_load(files['.eval_results/immigration-law.yaml'])
    scores = [made.score('tuned', q.qa_id) for q in made.questions()]
    assert [e['value'] for e in entries] == [round(sum(scores) / 101, 4)] and entries[0]['dataset'] == dict(id=REPO, task_id='qa')
    meta = yaml.safe_load(files['README.md'].decode().split('---\n')[1])
    values = {r['metrics'][0]['type']: r['metrics'][0]['value'] for r in meta['model-index'][0]['results']} if len(meta['model-index'][0]['results']) > 1 else {
        m['type']: m['value'] for m in meta['model-index'][0]['results'][0]['metrics']}
    assert values == dict(mean_score=round(sum(scores) / 101, 4), fully_correct=round(100 * scores.count(3) / 101, 2)) and meta['base_model'] == 'HuggingFaceTB/SmolLM2-135M-Instruct'
    from huggingface_hub import ModelCard
    assert ModelCard(files['README.md'].decode()).data.eval_results[0].metric_value in values.values()


def test_an_open_score_is_on_no_leaderboard(tmp_path, trained):
    folder = trained.parent/'other'
    if not folder.exists(): folder.symlink_to(trained)
    prepare_model(folder, tmp_path/'out', 'owner/other', cells=trained/'cells.csv', dataset=REPO)
    card = (tmp_path/'out'/'README.md').read_text()
    assert '(open)' in card and 'model-index' not in card
    assert yaml.safe_load((tmp_path/'out'/'.eval_results'/'immigration-law.yaml').read_text()) == []


@pytest.mark.parametrize('which', ['dataset', 'model'])
def test_every_figure_on_a_card_has_its_origin(tmp_path, built, trained, which):
    if which == 'dataset': prepare_dataset(built, tmp_path/'out', REPO, corpus=built)
    else: prepare_model(trained, tmp_path/'out', 'owner/tuned', cells=trained/'cells.csv', dataset=REPO)
    kept = json.loads((tmp_path/'out'/'figures.json').read_text())
    for f in kept['figures']: assert Figures(kept['facts']).value(f['path']) == f['value'] or f['printed'] == '–'
    text = (tmp_path/'out'/'README.md').read_text().split('---\n\n', 1)[1]
    text = re.sub(r'`[^`]*`|```.*?```|\(https?:[^)]*\)', '', text, flags=re.S)
    printed = {n for f in kept['figures'] for n in re.findall(r'\d[\d,]*\.?\d*', f['printed'])}
    names = {n for v in (kept['facts'].get('sources') or []) for n in re.findall(r'\d+', str(v['as_of_first']) + str(v['as_of_last']))}
    constants = {'0', '3', '95'} if which == 'model' else set() # the scale and the level of the intervals, which the template defines
    strange = set(re.findall(r'\d[\d,]*\.?\d*(?<![,.])', re.sub(r'SmolLM2-135M|torch [\d.]+|Apache 2.0', '', text))) - printed - names - constants
    assert strange == set()
    assert kept['facts']['files'], 'the files that the facts came from are named'


def test_a_card_changes_with_its_facts(built):
    facts = dataset_facts(built, built)
    card, _ = dataset_card(facts, 'x')
    changed, _ = dataset_card({**facts, 'train': 12345, 'certificate': {**facts['certificate'], 'holds': False}}, 'x')
    assert '| train | 80 |' in card and '| train | 12,345 |' in changed and 'does NOT hold' in changed and '0.43' in card


@pytest.mark.parametrize('folder', [False, True])
def test_a_card_says_what_is_there(built, folder):
    "A built folder's card and the published one are one text; each names the files that stand beside it, and every column."
    card, _ = dataset_card(dataset_facts(built, None if folder else built), 'x', folder=folder)
    files = yaml.safe_load(card.split('---\n')[1])['configs']
    assert [c['config_name'] for c in files] == (['qa'] if folder else ['qa', 'corpus'])
    assert files[0]['data_files'][0]['path'] == ('train.jsonl' if folder else 'qa/train.parquet')
    assert ('figures.json' in card) == ('croissant.json' in card) == ('`corpus`' in card) == (not folder)
    named = set(re.findall(r'`(\w+)`', card.split('## Columns')[1].split('## Uses')[0]))
    assert {f.name for f in fields(QAPair)} <= named and (folder or {f.name for f in fields(Document)} <= named)


def test_the_card_of_a_folder_is_read_by_load_dataset(tmp_path, built):
    datasets = pytest.importorskip('datasets')
    for side in ('train', 'eval'): write_atomic(tmp_path/f'{side}.jsonl', (built/f'{side}.jsonl').read_bytes())
    write_jsonl(tmp_path/'rejects.jsonl', [dict(reason='other columns')])
    write_card(tmp_path)
    rows = datasets.load_dataset(str(tmp_path), cache_dir=str(tmp_path/'cache'))
    assert {side: len(part) for side, part in rows.items()} == dict(train=80, eval=21)


def test_the_cards_command_is_one(tmp_path, trained):
    from immig_research.cli import read_words
    prepare_model(trained, tmp_path/'out', 'owner/tuned')
    words = re.search(r'^immig (.+)$', (tmp_path/'out'/'README.md').read_text(), re.M)[1].split()
    assert read_words(words[0], words[1:])['model'] == 'owner/tuned'


def test_croissant_is_valid_and_reads_the_rows(tmp_path, built):
    import mlcroissant
    prepare_dataset(built, tmp_path/'out', REPO, corpus=built)
    assert check_croissant(tmp_path/'out'/'croissant.json') == {'qa-train': 26, 'qa-eval': 26, 'corpus-train': 21}
    described = mlcroissant.Dataset(jsonld=str(tmp_path/'out'/'croissant.json'))
    rows = list(described.records('qa-eval'))
    want = read_jsonl(built/'eval.jsonl')
    assert [r['qa-eval/qa_id'].decode() for r in rows] == [r['qa_id'] for r in want] and [r['qa-eval/span_end'] for r in rows] == [3] * len(want)
    assert {k for k in json.loads((tmp_path/'out'/'croissant.json').read_text()) if k.startswith('rai:')} >= {'rai:dataBiases', 'rai:dataLimitations', 'rai:personalSensitiveInformation'}


def test_croissant_notices_a_changed_file(tmp_path, built):
    import mlcroissant
    prepare_dataset(built, tmp_path/'out', REPO)
    path = tmp_path/'out'/'qa'/'eval.parquet'
    path.write_bytes((tmp_path/'out'/'qa'/'train.parquet').read_bytes())
    described = json.loads((tmp_path/'out'/'croissant.json').read_text())
    import hashlib
    assert hashlib.sha256(path.read_bytes()).hexdigest() != described['distribution'][1]['sha256']
    assert mlcroissant.Dataset(jsonld=str(tmp_path/'out'/'croissant.json')).metadata.name == 'immigration-qa'


def test_rows_come_back_as_they_went(tmp_path, built):
    import pyarrow.parquet as pq
    prepare_dataset(built, tmp_path/'out', REPO, corpus=built)
    back = [QAPair.from_row(r) for r in pq.read_table(tmp_path/'out'/'qa'/'train.parquet').to_pylist()]
    assert back == read_jsonl(built/'train.jsonl', QAPair)
    paragraph = pq.read_table(tmp_path/'out'/'corpus'/'train.parquet').to_pylist()[0]['paragraphs'][0]
    assert json.loads(paragraph['more']) == dict(author='a person', license='CC BY-SA 4.0') # the attribution goes along


def test_rows_without_a_licence_are_refused(tmp_path, built):
    rows = read_jsonl(built/'eval.jsonl', QAPair)
    write_jsonl(tmp_path/'eval.jsonl', [replace(rows[0], license=''), *rows[1:]])
    write_jsonl(tmp_path/'train.jsonl', rows)
    with pytest.raises(BadInput, match='1 of 21 rows name no licence'): prepare_dataset(tmp_path, tmp_path/'out', REPO)


def test_a_strange_file_is_never_published(tmp_path, built):
    (tmp_path/'out').mkdir()
    (tmp_path/'out'/'secret.txt').write_text('x')
    with pytest.raises(BadInput, match='secret.txt'): prepare_dataset(built, tmp_path/'out', REPO)
    clear_folder(tmp_path/'fresh')
    (tmp_path/'fresh'/'old.txt').write_text('x')
    prepare_dataset(built, tmp_path/'fresh', REPO)
    assert 'old.txt' not in [f['path'] for f in published_files(tmp_path/'fresh')]
