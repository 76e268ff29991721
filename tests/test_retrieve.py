"Passages that lose nothing, an index that survives kills and changes of the corpus, and the law of the day before any ranking."
import json
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from immig_research import retrieve as R
from immig_research.cross_encoder import toy_cross_encoder
from immig_research.embed import VectorFile
from immig_research.passages import cut_all, cut_long, named_places, passages_of, split_words, terms
from immig_research.rank import FEATURES, PLACES, SEARCHES, VECTORS, best_in_document, features
from immig_research.records import BadInput, Document
from immig_research.sources import collect, read_corpus
from immig_research.store import sample_store

WORDS = st.text(alphabet='abc .;\n', max_size=300)


@pytest.fixture(scope='module')
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp('corpus')
    collect(sample_store(), folder)
    return folder


@pytest.fixture(scope='module')
def index(corpus): return R.open_index(corpus, vectors=False)


@settings(max_examples=150, deadline=None)
@given(WORDS, st.integers(1, 12))
def test_cuts_keep_every_character(text, size):
    cuts = cut_long(text, size)
    assert ''.join(text[a:b] for a, b in zip(cuts, cuts[1:])) == text and cuts == sorted(set(cuts)) or not text


@given(st.text(max_size=80))
@settings(max_examples=150, deadline=None)
def test_terms_take_any_text(text): assert all(terms(text)) and all(w == w.lower() for w in split_words(text))


def test_passages_are_their_documents(index, corpus):
    documents = read_corpus(corpus).documents
    assert all(documents[p.doc_id].text[p.start:p.end] == p.text for p in index.passages)
    assert {p.doc_id for p in index.passages} >= {d.doc_id for d in documents.values() if len(d.text.split()) > 60 and d.paragraphs}


@pytest.mark.parametrize('question', ['§ § §', '(((', '????', 'section section section', '8 U.S.C.', 'Form', 'é' * 50, 'a' * 5000])
def test_any_question_has_an_answer_or_none(index, question): assert isinstance(R.search(index, question, 3), list)


def other_corpus(corpus, folder):
    "Write `corpus` without its last document to `folder`, and give that document's id."
    gone = json.loads((corpus/'documents.jsonl').read_text().splitlines()[-1])['doc_id']
    for name in ('documents.jsonl', 'chunks.jsonl'):
        lines = (corpus/name).read_text().splitlines(keepends=True)
        (folder/name).write_text(''.join(line for line in lines if json.loads(line)['doc_id'] != gone))
    return gone


def same_corpus(corpus, folder):
    for name in ('documents.jsonl', 'chunks.jsonl'): shutil.copy(corpus/name, folder/name)


ASKED = 'Who may apply for asylum?'


def hits(index): return [h.to_row() for h in R.search(index, ASKED)]


def test_a_later_corpus_changes_the_index(corpus, tmp_path):
    same_corpus(corpus, tmp_path)
    before = R.open_index(tmp_path, vectors=False)
    scores, found = R.bm25_scores(before.words, terms(ASKED)).copy(), hits(before)
    (tmp_path/'index'/'0.vectors.f32').write_bytes(b'dear')
    gone = other_corpus(corpus, tmp_path)
    after = R.open_index(tmp_path, vectors=False)
    assert len(after.passages) < len(before.passages) and gone not in after.documents
    assert np.array_equal(R.bm25_scores(before.words, terms(ASKED)), scores) and hits(before) == found # Who has an index open keeps it
    assert (tmp_path/'index'/'0.vectors.f32').read_bytes() == b'dear' and len([f for f in (tmp_path/'index').iterdir() if f.is_dir()]) == 1


@pytest.mark.parametrize('step', ['bm25_index', 'write_jsonl'])
def test_a_killed_rebuild_leaves_no_half_index(corpus, tmp_path, monkeypatch, step):
    same_corpus(corpus, tmp_path)
    found = hits(R.open_index(tmp_path, vectors=False))
    other_corpus(corpus, tmp_path)
    def killed(*args, **options): raise KeyboardInterrupt
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(R, step, killed)
        R.open_index(tmp_path, vectors=False)
    same_corpus(corpus, tmp_path)
    assert hits(R.open_index(tmp_path, vectors=False)) == found
    other_corpus(corpus, tmp_path)
    assert len(R.open_index(tmp_path, vectors=False).passages) < len(R.open_index(corpus, vectors=False).passages)


def test_an_index_that_lay_in_one_folder_is_made_anew(corpus, tmp_path):
    same_corpus(corpus, tmp_path)
    (tmp_path/'index'/'words').mkdir(parents=True)
    for name in ('index.json', 'passages.jsonl', 'words/x.npy', '0.vectors.f32', '0.keys.txt'): (tmp_path/'index'/name).write_text('{}')
    assert hits(R.open_index(tmp_path, vectors=False)) == hits(R.open_index(corpus, vectors=False))
    left = {f.name for f in (tmp_path/'index').iterdir()}
    assert left >= {'0.vectors.f32', '0.keys.txt'} and not left & {'index.json', 'passages.jsonl', 'words'}


def test_law_of_the_day_is_filtered_before_ranking(index):
    q = 'How long is a reentry permit valid under 8 CFR 223.3?'
    old, new = (R.search(index, q, 30, day) for day in ('2022-01-01', '2025-01-01'))
    versions = lambda hits: {(h.doc_id, h.as_of) for h in hits if h.citation.startswith('8 CFR 223.3')}
    assert versions(old) and versions(new) and not versions(old) & versions(new)


@pytest.mark.parametrize('day', ['2024-13-01', 'today', '', '2024-1-1'])
def test_a_day_is_a_date(index, day):
    with pytest.raises(BadInput, match='a date like'): R.search(index, 'asylum', as_of=day)


def test_forms_and_sections_are_found_by_name(index):
    on = R.documents_on(index.verify_index, None)
    assert {d for d, *_ in named_places('Where do I send Form I-765?', on)} <= {d for d in index.documents if 'i-765' in d}
    assert named_places('INA 208(a)(2)(B)', on)[0][0] == 'uscode:1158'


def test_vector_file_survives_a_kill_at_any_byte(tmp_path):
    whole = VectorFile(tmp_path/'a', 'm', dim=3)
    whole.add(list('abcd'), np.arange(12.).reshape(4, 3))
    rows, names = whole.rows.read_bytes(), whole.names.read_bytes()
    for cut in range(0, len(rows) + 1, 5):
        for keys in (names, names[:3], names[:2]):
            whole.rows.write_bytes(rows[:cut]); whole.names.write_bytes(keys)
            again = VectorFile(tmp_path/'a', 'm', dim=3)
            assert len(again.keys) == min(cut // 12, keys.count(b'\n'))
            kept = list(again.keys)
            again.add(['new'], np.ones((1, 3)))
            assert np.array_equal(VectorFile(tmp_path/'a', 'm', dim=3).take([*kept, 'new'])[-1], np.ones(3))


WRITER = """
import sys, numpy as np
from immig_research.cross_encoder import toy_cross_encoder
from immig_research.embed import VectorFile
file, first = VectorFile(sys.argv[1], 'm', dim=3), int(sys.argv[2])
print('open', flush=True); sys.stdin.readline()
for n in range(first, first + 60): file.add([f'k{n}'], np.full((1, 3), n))
"""


def test_two_processes_fill_one_vector_file(tmp_path):
    both = [subprocess.Popen([sys.executable, '-c', WRITER, tmp_path, str(first)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for first in (0, 30)]
    for p in both: assert p.stdout.readline() == 'open\n'
    for p in both: p.stdin.write('\n'); p.stdin.flush()
    assert [p.wait(60) for p in both] == [0, 0]
    file = VectorFile(tmp_path, 'm', dim=3)
    assert len(file.keys) == 90 and file.rows.stat().st_size == 90 * 12 # Those that both added stand there once
    assert all((file.take([f'k{n}']) == n).all() for n in range(90))


def test_a_text_is_made_once_for_all_who_read_it(index, monkeypatch):
    made, real = [], R.text_of
    monkeypatch.setattr(R, 'text_of', lambda index, p: made.append((p.doc_id, p.start)) or real(index, p))
    R.search(replace(index, cross=(toy_cross_encoder(), toy_cross_encoder())), ASKED, 40)
    assert len(made) == len(set(made)) == R.READ


def test_features_are_finite_for_empty_scores():
    from immig_research.passages import Passage
    zero = {n: np.zeros(2) for n in (*SEARCHES, *VECTORS, *PLACES)}
    x = features('', [Passage('a', 0, 0, ''), Passage('b', 0, 0, '')], np.array([0, 1]), zero, {}, np.array([0, 1]))
    assert x.shape == (2, len(FEATURES)) and np.isfinite(x).all()


@given(st.lists(st.tuples(st.floats(-1, 1), st.integers(0, 3)), min_size=1, max_size=20))
@settings(max_examples=50, deadline=None)
def test_best_in_document_is_the_maximum(rows):
    scores, document = np.array([s for s, _ in rows]), np.array([d for _, d in rows])
    assert all(best_in_document(scores, document)[i] == scores[document == d].max() for i, d in enumerate(document))


def test_no_passage_twice(index):
    seen = [(p.doc_id, p.context, p.text) for p in index.passages]
    assert len(seen) == len(set(seen))
    doc = next(iter(index.documents.values()))
    assert cut_all([doc, doc]) == [p for p in cut_all([doc])] and passages_of(Document('gone', 'Gone', '')) == []


def test_reading_back_gives_the_same(index, corpus):
    assert hits(R.open_index(corpus, vectors=False)) == hits(index) != []
