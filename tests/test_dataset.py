"The dataset as others meet it: written by a model over a socket, read by `load_dataset`, certified, reviewed, spread over workers."
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from immig_research.cli import main
from immig_research.dataset import build, certify_split, draft_document, draft_pairs, hand_rows, load_rows, sift
from immig_research.grounding import caught_share, verify_spans
from immig_research.records import BadInput, QAPair, read_jsonl, write_jsonl
from immig_research.review import export_rows, licenses_of, read_sides
from immig_research.sources import collect, read_corpus
from immig_research.split import split_pairs
from immig_research.store import sample_store


@pytest.fixture(scope='module')
def corpus(tmp_path_factory):
    "The folder of the sample's corpus."
    folder = tmp_path_factory.mktemp('corpus')
    collect(sample_store(), folder)
    return folder


@pytest.fixture(scope='module')
def dataset(corpus, tmp_path_factory):
    "The folder of the sample's dataset."
    folder = tmp_path_factory.mktemp('dataset')
    build(corpus, folder, written=sample_store()/'written.jsonl')
    return folder


@pytest.fixture(scope='module')
def drafted(corpus):
    "The sample's documents and the pairs that the rules make of them."
    texts = read_corpus(corpus)
    return texts.documents, draft_pairs(texts, progress=False)[0]


@pytest.fixture(scope='module')
def few(tmp_path_factory):
    "The folder of a small corpus: the sample's statutes."
    folder = tmp_path_factory.mktemp('few')
    collect(sample_store(), folder, ['uscode'])
    return folder


class Author(BaseHTTPRequestHandler):
    "An OpenAI-compatible server that quotes the first sentence of each passage; it breaks after so many calls."
    calls, breaks_after = 0, None

    def do_POST(self):
        cls = type(self)
        cls.calls += 1
        body = json.loads(self.rfile.read(int(self.headers['Content-Length'])))
        if cls.breaks_after is not None and cls.calls > cls.breaks_after: return self.answer(dict(error=dict(message='no such model')), 404)
        said = body['messages'][-1]['content']
        pairs = []
        if '<<<PASSAGE' in said:
            passage, cite = said.split('<<<PASSAGE\n')[1].split('\nPASSAGE>>>')[0], said.split('Citation: ')[1].split('\n')[0]
            quote = passage.split('. ')[0]
            pairs = [dict(question=f'What is the first thing that {cite} tells its readers about the matter?', answer=quote, quote=quote, answer_type='overview'),
                dict(question=f'What else does {cite} tell its readers about it?', answer=f'{quote} and 4,711 days.', quote=quote, answer_type='number'),
                dict(question=f'What does nobody find in {cite}?', answer='Nothing of it.', quote='zebras in a bathtub', answer_type='none')]
        reply = json.dumps(dict(pairs=pairs))
        return self.answer(dict(id='x', choices=[dict(index=0, finish_reason='stop', message=dict(role='assistant', content=reply))], usage=dict(prompt_tokens=9, completion_tokens=9, total_tokens=18)))

    def answer(self, body, status=200):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header('Content-Type', 'application/json'); self.send_header('Content-Length', str(len(data)))
        self.end_headers(); self.wfile.write(data)

    def log_message(self, *args): pass


@pytest.fixture
def author():
    "A running server and its handler class."
    handler = type('Fresh', (Author,), dict(calls=0, breaks_after=None))
    server = ThreadingHTTPServer(('127.0.0.1', 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield handler, f'openai:http://127.0.0.1:{server.server_port}/v1#toy'
    server.shutdown(); server.server_close(); thread.join()


def test_a_model_writes_over_every_chunk_and_only_the_proven_stays(few, author, tmp_path):
    handler, engine = author
    built = build(few, tmp_path/'out', generator=engine)
    rows = [p for side in read_sides(tmp_path/'out').values() for p in side]
    texts = read_corpus(few)
    assert verify_spans(rows, texts.documents) == [] and built['certificate'] and len(rows) > 30
    asked = {c.doc_id for c in texts.chunks}
    assert {p.source_doc_id for p in rows} <= asked and len({p.source_doc_id for p in rows}) > 12
    reasons = {r['reason'] for r in read_jsonl(tmp_path/'out'/'rejects.jsonl')}
    assert 'quote not in the passage' in reasons and any('4711' in r or '4,711' in r for r in reasons)


def test_a_broken_run_goes_on_and_ends_like_a_whole_one(few, author, tmp_path):
    handler, engine = author
    whole = build(few, tmp_path/'whole', generator=engine)
    calls, handler.calls, handler.breaks_after = handler.calls, 0, 20
    with pytest.raises(RuntimeError, match='not_found'): build(few, tmp_path/'broken', generator=engine)
    assert not (tmp_path/'broken'/'train.jsonl').exists()
    done, handler.breaks_after, handler.calls = handler.calls, None, 0
    assert build(few, tmp_path/'broken', generator=engine) == whole
    assert handler.calls < calls and done >= 20
    for name in ('train.jsonl', 'eval.jsonl', 'rejects.jsonl', 'certificate.json', 'coverage.md', 'coverage.png', 'README.md'):
        assert (tmp_path/'whole'/name).read_bytes() == (tmp_path/'broken'/name).read_bytes(), name


def test_load_dataset_reads_the_built_and_the_exported_folder(dataset, tmp_path, monkeypatch):
    datasets = pytest.importorskip('datasets')
    monkeypatch.setattr(datasets.config, 'HF_DATASETS_CACHE', tmp_path/'cache')
    sides = read_sides(dataset)
    licence = next(iter(licenses_of(sides['train'])))
    counts = export_rows(dataset, tmp_path/'export', [licence])
    found = datasets.load_dataset(str(tmp_path/'export'), cache_dir=str(tmp_path/'cache'))
    assert {n: len(rows) for n, rows in found.items()} == {'train': counts['train'], 'eval': counts['eval']}
    assert set(found['train']['license']) == {licence} and found['train'][0]['qa_id']
    whole = datasets.load_dataset(str(dataset), cache_dir=str(tmp_path/'cache2'))
    assert {n: len(rows) for n, rows in whole.items()} == {s: len(rows) for s, rows in sides.items()}
    assert [p.qa_id for p in load_rows(tmp_path/'export', 'eval')] == [p.qa_id for p in read_sides(tmp_path/'export')['eval']]
    assert certify_split(dataset)['holds'] and certify_split(tmp_path/'export')['holds']


def test_a_published_split_is_certified_without_offsets(dataset, tmp_path, capsys):
    published = ('qa_id question answer answer_type extraction_type source_doc_id source_url source_span authority_level topic_tags immigration_subtopic generation_mode '
        'review_status time_sensitive').split()
    for side, rows in read_sides(dataset).items(): write_jsonl(tmp_path/f'{side}.jsonl', [{c: p.to_row()[c] for c in published} for p in rows])
    code = main(['dataset', 'certify', '--train', str(tmp_path/'train.jsonl'), '--eval', str(tmp_path/'eval.jsonl'), '--out', str(tmp_path/'certificate.json')])
    certificate = json.loads((tmp_path/'certificate.json').read_text())
    assert certificate['holds'] == (code == 0) and certificate['shared']['sections'] # by document and address, where there is no citation
    assert 'shared sections' in capsys.readouterr().err


@pytest.mark.parametrize('source', ['nobody/nothing', '/nowhere/at/all'])
def test_what_is_no_dataset_is_bad_input(source, monkeypatch):
    pytest.importorskip('datasets')
    monkeypatch.setenv('HF_HUB_OFFLINE', '1')
    with pytest.raises(BadInput): certify_split(source)


def test_review_and_export_on_the_command_line(dataset, tmp_path, capsys):
    folder = tmp_path/'copy'
    folder.mkdir()
    for name in ('train.jsonl', 'eval.jsonl', 'rejects.jsonl'): (folder/name).write_bytes((dataset/name).read_bytes())
    assert main(['dataset', 'review', '--dataset', str(folder), '--n', '6', '--out', str(tmp_path/'review')]) == 0
    table = (tmp_path/'review'/'review.csv').read_text('utf-8-sig').splitlines()
    first = table[1].split(',')[0]
    (tmp_path/'verdicts.csv').write_text(f'qa_id,verdict,note\n{first},good,\n')
    assert main(['dataset', 'review', '--dataset', str(folder), '--verdicts', str(tmp_path/'verdicts.csv')]) == 0
    assert [p.review_status for rows in read_sides(folder).values() for p in rows if p.qa_id == first] == ['reviewed']
    assert main(['dataset', 'export', '--dataset', str(folder), '--licenses', 'none such', '--out', str(tmp_path/'x')]) == 2
    capsys.readouterr()


def test_paraphrases_stay_with_their_parents_and_add_no_facts(dataset):
    sides = read_sides(dataset)
    where = {p.qa_id: side for side, rows in sides.items() for p in rows}
    rows = [p for side in sides.values() for p in side]
    others = [p for p in rows if p.parent_id]
    parents = {p.qa_id: p for p in rows}
    assert others and all(where[p.qa_id] == where[p.parent_id] for p in others)
    assert all((p.extraction_type, p.source_span) == ('paraphrase', parents[p.parent_id].source_span) for p in others)
    assert max(sum(q.parent_id == p for q in others) for p in parents) <= 2
    assert not {p.question for p in others} & {p.question for p in parents.values() if not p.parent_id}


def test_falsified_answers_are_caught_reworded_ones_too(drafted):
    documents, pairs = drafted
    for some in (pairs, [p for p in pairs if p.parent_id]):
        caught, n = (sum(x) for x in zip(*caught_share(some, documents).values()))
        assert n > 200 and caught / n >= 0.97, (caught, n)


def test_a_double_takes_its_paraphrases_along():
    parent = QAPair('a', 'May I file?', 'You may file it at any time of the year.', rule='x', source_span='You may file it at any time of the year.')
    double = QAPair('b', 'May I file ?', 'You may.', rule='y')
    kept, gone = sift([parent, double, QAPair('c', 'Am I allowed to file?', 'You may.', parent_id='b')])
    assert [p.qa_id for p in kept] == ['a'] and [g['reason'] for g in gone] == ['same question as a', 'made from b, which was dropped']


def test_hand_written_tests_are_kept_out_of_training(drafted):
    assert hand_rows(None) == ([], [])
    pairs = drafted[1]
    wanted = [p.qa_id for p in pairs[::400]]
    train, held_out = split_pairs(pairs, apart=wanted)
    assert set(wanted) <= {p.qa_id for p in held_out} and not set(wanted) & {p.qa_id for p in train}


@pytest.mark.slow
def test_two_workers_give_what_one_process_gives(corpus):
    distributed = pytest.importorskip('distributed')
    texts = read_corpus(corpus)
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        there = draft_pairs(texts, progress=False, scheduler=cluster.scheduler_address)
    assert there == draft_pairs(texts, progress=False) and len(there[0]) > 100


def test_one_document_is_a_record_of_its_own(corpus):
    texts = read_corpus(corpus)
    doc = next(d for d in texts.documents.values() if d.source_type == 'statute' and len(d.text) > 1000)
    chunks = [c for c in texts.chunks if c.doc_id == doc.doc_id]
    pairs, rejects = draft_document((doc, chunks))
    assert {p.source_doc_id for p in pairs} == {doc.doc_id} and all(p.chunk_id for p in pairs) and draft_document((doc, chunks)) == (pairs, rejects)
