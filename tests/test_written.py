"""Anchors of the written set: found again after a reader's change, refused after a change of the law."""
import os
import random
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from immig_research.records import Document
from immig_research.sources import read_all
from immig_research.store import Reject, read_store, sample_store
from immig_research.written import (
    anchor_of,
    documents_by_path,
    find_anchor,
    fingerprint,
    packaged_written,
    read_reviews,
    read_written,
    resolve_anchor,
)

TEXT = 'Part one.\nA person may apply within 1 year. The “clock” starts on the day of arrival – not earlier.\nPart two.\nA fee of $85 is due.'


def document(text, cuts=None):
    "A document whose lines are its paragraphs."
    paragraphs, at = [], 0
    for i, line in enumerate(text.split('\n')):
        paragraphs.append(dict(id=f'p{i}', start=at, end=at + len(line), kind='text')); at += len(line) + 1
    return Document('doc', 'Title', text, raw_path='a.txt', paragraphs=paragraphs)


CHANGES = dict(
    prefix=lambda t: 'A new banner.\n' + t,
    blanks=lambda t: t.replace(' ', '  '),
    joined=lambda t: t.replace('\n', ' '),
    broken=lambda t: t.replace('. ', '.\n'),
    quotes=lambda t: t.replace('“', '"').replace('”', '"').replace('–', '-'),
    before=lambda t: t.replace('Part one.', 'Part one. A sentence that another reader keeps.'))


@pytest.mark.parametrize('change', CHANGES)
@pytest.mark.parametrize('quote', ['A person may apply within 1 year.', 'The “clock” starts on the day of arrival – not earlier.', 'A fee of $85 is due'])
def test_found_again_after_a_readers_change(change, quote):
    doc = document(TEXT)
    anchor = anchor_of(doc, TEXT.index(quote), TEXT.index(quote) + len(quote))
    new = document(CHANGES[change](TEXT))
    start, end, how = find_anchor(anchor, new)
    assert fingerprint(new.text[start:end]) == fingerprint(quote)
    assert how in ('exact', 'moved')


@pytest.mark.parametrize('old, new', [('1 year', '2 years'), ('may apply', 'must apply'), ('$85', '$95')])
def test_a_change_of_the_law_is_not_found(old, new):
    quote = 'A person may apply within 1 year.' if old != '$85' else 'A fee of $85 is due.'
    doc = document(TEXT)
    anchor = anchor_of(doc, TEXT.index(quote), TEXT.index(quote) + len(quote))
    with pytest.raises(Reject, match='stand nowhere'): find_anchor(anchor, document(TEXT.replace(old, new)))


def test_the_nearest_of_several_places_is_taken():
    text = 'Same words here.\n' * 5
    doc = document(text.strip())
    p = doc.paragraphs[3]
    anchor = anchor_of(doc, p['start'], p['end'])
    shifted = document('x\n' + text.strip())
    start, _, _ = find_anchor(anchor | dict(paragraph_id='gone'), shifted)
    assert start in (shifted.paragraphs[3]['start'], shifted.paragraphs[4]['start'])


@settings(max_examples=150, deadline=None)
@given(st.lists(st.text('abc “”.,–$1\n', min_size=1, max_size=12), min_size=3, max_size=12), st.randoms())
def test_any_stretch_is_found_again_behind_any_prefix(parts, rnd):
    text = re.sub(r'^\s+|\s+$', '', ' '.join(parts))
    words = list(re.finditer(r'\S+', text))
    if len(words) < 2: return
    i = rnd.randrange(len(words)); j = rnd.randrange(i, len(words))
    anchor = anchor_of(document(text), words[i].start(), words[j].end())
    new = document('prefix  ' + text.replace(' ', '\n'))
    start, end, _ = find_anchor(anchor, new)
    assert fingerprint(new.text[start:end])[1] == anchor['span_sha256']


def test_every_paragraph_of_the_sample_is_found_after_a_shift():
    docs, _ = read_all(sample_store(), read_store(sample_store(), ['uscode', 'uscis-policy-manual']))
    rnd = random.Random(3)
    for doc in docs:
        for p in rnd.sample(doc.paragraphs, min(4, len(doc.paragraphs))):
            anchor = anchor_of(doc, p['start'], p['end'])
            moved = replace(doc, text='Inserted.\n' + doc.text, paragraphs=[q | dict(start=q['start'] + 10, end=q['end'] + 10) for q in doc.paragraphs])
            start, end, how = find_anchor(anchor, moved)
            assert how == 'moved' and fingerprint(moved.text[start:end])[1] == anchor['span_sha256']


needs_set = pytest.mark.skipif(not packaged_written().exists(), reason='the written set is not there')


@needs_set
def test_the_set_is_as_large_and_as_spread_as_its_card_says():
    pairs, traps = read_written(), read_written(traps=True)
    strata = {s: sum(r.immigration_subtopic == s for r in pairs) for s in {r.immigration_subtopic for r in pairs}}
    assert len(pairs) >= 1200 and len(traps) >= 150 and len(strata) == 14
    assert min(strata.values()) >= 40, strata
    assert len({r.raw_path for r in pairs}) >= 250
    assert len({r.question.lower() for r in pairs}) == len(pairs)
    assert {r.qa_id for r in pairs + traps} <= {r['qa_id'] for r in read_reviews()}


@needs_set
def test_the_set_holds_no_text_of_a_source():
    assert not any('source_span' in r.to_row() or 'quote' in r.to_row() for r in read_written(traps=None))


@needs_set
@pytest.mark.skipif('IMMIG_STORE' not in os.environ, reason='IMMIG_STORE names no real store')
def test_every_anchor_stands_in_the_real_store():
    store = Path(os.environ['IMMIG_STORE'])
    rows = [r for r in read_written(traps=None) if r.span_sha256]
    paths = {r.raw_path for r in rows}
    docs, _ = read_all(store, [r for r in read_store(store) if r.path in paths])
    documents, by_path = {d.doc_id: d for d in docs}, documents_by_path(docs)
    lost = []
    for r in rows:
        try: resolve_anchor(r.to_row(), documents, by_path)
        except Reject as e: lost.append((r.qa_id, e.reason))
    assert not lost, lost[:5]
