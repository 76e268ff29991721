"Decisions and opinions: pages, notes, later history; and the real opinions where IMMIG_STORE is set."
import os
import re
from dataclasses import replace

import pytest

from immig_research.eoir import (
    court_of,
    cut_long,
    flow_lines,
    history_of,
    html_lines,
    is_heading,
    opinion_blocks,
    read_decision,
    read_decision_index,
    read_opinion,
    reporter_cite,
    split_notes,
    written_date,
)
from immig_research.store import RawFile, Reject, read_bytes, read_store, sample_store
from immig_research.uscis import Line

STORE = os.environ.get('IMMIG_STORE')
OPINION = RawFile('federal-courts', 'https://example.org/', 'opinion-7.txt', 'text/plain', '', '2026-01-01', 'none', title='Doe v. Roe')
INDEX = RawFile('bia', 'https://example.org/', 'i.html', 'text/html', '', '2026-01-01', 'none')


@pytest.mark.parametrize('text, cite', [
    ('Cite as 27 I&N Dec. 316 (A.G. 2018)', ('27 I&N Dec. 316', 'A.G.', '2018')), ('29 I&N Dec. 1 (BIA 2025)', ('29 I&N Dec. 1', 'BIA', '2025')),
    ('9 I & N Dec. 5', ('9 I&N Dec. 5', None, None)), ('27 I&N\xa0Dec. 316', ('27 I&N Dec. 316', None, None)), ('27 F.3d 316', None)])
def test_reporter_cite(text, cite): assert reporter_cite(text) == cite


@pytest.mark.parametrize('text, date', [('Decided May 7, 2019', '2019-05-07'), ('2021-06-16', '2021-06-16'), ('April 31, 2020', None), ('May 2019', None)])
def test_written_date(text, date): assert written_date(text) == date


def test_every_paragraph_of_the_decision_is_cited_by_the_page_it_begins_on():
    store = sample_store()
    raw = next(r for r in read_store(store, ['bia']) if r.path.endswith('.pdf'))
    doc = read_decision(raw, read_bytes(store, raw))
    law = [p for p in doc.paragraphs if p['kind'] == 'text' and 'syllabus' not in p['id']]
    assert all(re.match(rf'27 I&N Dec\. 316, {p["page"]}(#|$)', p['id']) for p in law)
    assert [p['page'] for p in doc.paragraphs] == sorted(p['page'] for p in doc.paragraphs)
    assert doc.text.count('Cite as') == 0 and doc.text.count('Interim Decision') == 0
    assert not any(re.fullmatch(r'31[678]', doc.text[p['start']:p['end']]) for p in doc.paragraphs)
    assert (doc.as_of, doc.valid_from, doc.agency) == ('2018-06-11', '2018-06-11', 'EOIR')


def test_notes_are_the_small_lines_at_the_foot_only():
    lines = [Line('Small head', 0, 0, 700, 9.0), Line('Body', 0, 0, 600, 12.0), Line('1 A note', 0, 0, 60, 9.0)]
    assert [[n.text for n in part] for part in split_notes(lines, 12.0)] == [['Small head', 'Body'], ['1 A note']]


@pytest.mark.parametrize('line, rows', [
    ('Matter of A-B-, 27 I&N Dec. 316 (A.G. 2018), vacated, 28 I&N Dec. 307 (A.G. 2021)', [('vacated', None, '28 I&N Dec. 307')]),
    ('Matter of Q, 20 I&N Dec. 1 (BIA 1990), superseded by statute', [('superseded', None, None)]),
    ('The vacated decision of Matter of Q, 20 I&N Dec. 1', []), ('Overruled decisions', [])])
def test_history_lines(line, rows): assert [(r['status'], r['date'], r['by']) for r in history_of(line)] == rows


def test_a_decision_that_was_law_vacated_and_law_again():
    page = ('<ul><li>Matter of A-B-, 27 I&amp;N Dec. 316 (A.G. 2018), vacated on June 16, 2021, by 28 I&amp;N Dec. 307 (A.G. 2021); '
            'restored on 2025-09-02</li></ul>').encode()
    rows = read_decision_index(INDEX, page)
    assert [(r['status'], r['date']) for r in rows] == [('vacated', '2021-06-16'), ('restored', '2025-09-02')]


def test_html_lines_leave_out_what_is_not_text():
    assert html_lines('<nav>Menu</nav><script>1<2</script><p>One<br>two</p><ol><li><p>three</p></li></ol>') == ['One', 'two', 'three']


@pytest.mark.parametrize('line, heading', [
    ('I.', True), ('II. DISCUSSION', True), ('A. Standard of Review', True), ('ORDER', True), ('Section 1447(b) provides that', False),
    ('The petition is denied.', False), ('I. went home and did not come back, he said', False), ('> Quoted', False), ('8 U.S.C. § 1421(c).', False)])
def test_headings_of_opinions(line, heading): assert is_heading(line) is heading


def test_a_cut_sentence_is_joined_across_its_page_and_notes_wait():
    lines = ['x ' * 400 + 'the agency', '[^ 1] A note.', 'must decide. It did not.']
    assert [kind for kind, _ in flow_lines(lines)] == ['text', 'note']
    assert flow_lines(lines)[0][1].endswith('the agency must decide. It did not.')


@pytest.mark.parametrize('words', [5, 40, 180, 10_000])
def test_cutting_loses_no_word(words):
    text = 'The court denies it. See Smith v. Jones, 1 F.3d 2 (6th Cir. 2001). “It is so.” Then 8 U.S.C. § 1447(b) applies to all of them. ' * 12
    assert ' '.join(cut_long(text.strip(), words)).split() == text.split()


def test_paragraphs_are_numbered_without_gaps():
    ids = [b.place for b in opinion_blocks(['A.', 'One.', '[^ 1] n', 'Two.', '> Three.'], 'c') if b.kind == 'text']
    assert ids == ['c, ¶ 1', 'c, ¶ 2', 'c, ¶ 3']


@pytest.mark.parametrize('head, court', [
    ('United States Court of Appeals For the Eighth Circuit No. 21-2852 A v. B', ('8th Cir.', '21-2852')),
    ('FOR PUBLICATION UNITED STATES COURT OF APPEALS FOR THE NINTH CIRCUIT A, No. 16-15858', ('9th Cir.', '16-15858')),
    ('UNITED STATES DISTRICT COURT FOR THE EASTERN DISTRICT OF MICHIGAN No. 1:07-cv-10870', ('Eastern District of Michigan', '1:07-cv-10870')),
    ('ORDER GERSHON, District Judge.', (None, None))])
def test_court_of(head, court): assert court_of(head) == court


def test_a_form_is_no_decision():
    store = sample_store()
    raw = next(r for r in read_store(store) if r.path.endswith('instr.pdf'))
    with pytest.raises(Reject, match='no precedent decision'): read_decision(replace(raw, source_id='bia'), read_bytes(store, raw))


def test_page_heads_line_numbers_and_leftovers_of_markup_are_no_text():
    words = 'courts judges parties officers guests kin'.split()
    lines = [f'{k} Opinion of the Court 21-107 the {w} say that see law.Case.Schema.Body:v1">id. at {k}; so' for k, w in enumerate(words, 2)]
    doc = read_opinion(OPINION, '\n'.join(lines).encode())
    law = [doc.text[p['start']:p['end']] for p in doc.paragraphs if p['kind'] == 'text']
    assert law[0].startswith('the courts say that see id. at 2; so the judges say') and 'Opinion' not in ' '.join(law)
    assert doc.paragraphs[-1]['kind'] == 'note' and doc.text.count('Opinion of the Court') == 6
    same = [f'1 the {w} say so' for w in words]
    assert '1' not in read_opinion(OPINION, '\n'.join(same).encode()).text
    items = [f'{k}. The {w} say so.' for k, w in enumerate(words, 1)]
    assert [b.text for b in opinion_blocks(items, 'c')] == items


def test_bare_marks_are_taken_only_where_no_mark_has_brackets():
    lines = ['It is so. 1 Then it ends. 2', '[^ 1] See Doe.', '[^ 2] See Roe.']
    assert [(b.text, b.marks) for b in opinion_blocks(lines, 'c')][0] == ('It is so. Then it ends.', ('1', '2'))
    assert opinion_blocks(['It is so. 1 Then. [1]', *lines[1:]], 'c')[0].text == 'It is so. 1 Then.'
    assert opinion_blocks(['It is so. 2 Then it ends.', *lines[1:]], 'c')[0].text == 'It is so. 2 Then it ends.'


@pytest.mark.skipif(not STORE, reason='IMMIG_STORE is not set: the real store is not on this machine')
def test_real_opinions_are_whole_and_cited():
    docs = [read_opinion(r, read_bytes(STORE, r)) for r in read_store(STORE, ['federal-courts'])]
    assert len({d.doc_id for d in docs}) == 25 and all(d.coverage >= .98 and d.as_of for d in docs)
    for d in docs:
        numbers = [int(p['id'].split('¶ ')[1]) for p in d.paragraphs if p['kind'] == 'text']
        assert numbers == list(range(1, len(numbers) + 1)) and len({p['id'] for p in d.paragraphs}) == len(d.paragraphs)
        assert sum(len(d.text[p['start']:p['end']].split()) > 400 for p in d.paragraphs if p['kind'] == 'text') == 0
    assert sum('Cir.' in d.citation for d in docs) >= 8
    law = {d.doc_id: ' '.join(d.text[p['start']:p['end']] for p in d.paragraphs if p['kind'] == 'text') for d in docs}
    assert 'Opinion of the Court' not in law['federal-courts:7798407'] and 'physical or developmental' in law['federal-courts:4565506']
    assert 'Schema' not in ''.join(law.values())
