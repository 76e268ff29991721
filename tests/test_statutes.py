"Tricky numbering, headings and text in own words; and, where IMMIG_STORE is set, every section of the real store."
import os
import re

import pytest

from immig_research.statutes import Mark, read_uscode_markdown, reads_as_heading, resolve_paths, tidy
from immig_research.store import RawFile, read_bytes, read_store

STORE = os.environ.get('IMMIG_STORE')
RAW = RawFile('uscode', 'u', 'uscode/section-9.md', 'text/markdown', '0' * 64, '2026-01-01', 'l', as_of='2025-12-31')
HEAD = '# Title 8— ALIENS\n### CHAPTER 12— VISITS\n#### §\u202f9. Visits\n\n'


def read(body): return read_uscode_markdown(RAW, (HEAD + body.replace('\n', '\n\n')).encode())


def law(body):
    "Kind, place and first words of each paragraph below the head."
    doc = read(body)
    return [(p['kind'], p['id'].removeprefix('8 U.S.C. 9'), doc.text[p['start']:p['end']][:14]) for p in doc.paragraphs[3:]]


def places(*marks): return [''.join(f'({p})' for p in path) for path in resolve_paths([Mark(m) for m in ' '.join(marks).split()])]


@pytest.mark.parametrize('marks, last', [
    ('a b c d e f g h i j', '(j)'),
    ('a b c d e f g h i ii', '(h)(ii)'),
    ('a 1 A i ii iii iv v vi', '(a)(1)(A)(vi)'),
    ('a 1 A B C D E F G H I J K', '(a)(1)(K)'),
    ('1 A B C D E F G H i ii I i ii J', '(1)(J)'),
    ('a b c d e f g h i j k l m n o p q r s t u v', '(v)'),
    ('a 1 A i I II III IV V VI ii', '(a)(1)(A)(ii)'),
    ('1 A B C D E F G H I J K L M N O P Q R S T U i I II III IV ii iii V', '(1)(V)'),
    ('a 1 A i I aa bb cc dd II', '(a)(1)(A)(i)(II)'),
    ('1 A i ii iii I II aa AA BB CC aaa bbb ccc bb', '(1)(A)(iii)(II)(bb)'),
    ('w x y z aa bb', '(bb)'),
    ('c 1 2 3 4 d', '(d)'),
    ('3 13 A B C i ii iii 33', '(33)'),
    ('1 2 4 5', '(5)'),
])
def test_the_most_regular_numbering_wins(marks, last): assert places(marks)[-1] == last


def test_numbering_that_depends_on_what_follows():
    assert places('a b c d e f g h i j')[8] == '(i)'
    assert places('a b c d e f g h i ii')[8] == '(h)(i)'
    assert places('1 A B C D E F G H I J')[9] == '(1)(I)'
    assert places('1 A B C D E F G H I II')[9] == '(1)(H)(I)'


def test_headings_inline_headings_and_text_below_them():
    assert law('##### (a) Who may visit\n(1) In general\nAnyone may visit.\n(2) Except\nthe idle.') == [
        ('heading', '(a)', '(a) Who may vi'), ('heading', '(a)(1)', '(1) In general'), ('text', '(a)(1)#2', 'Anyone may vis'),
        ('text', '(a)(2)', '(2) Except'), ('text', '(a)(2)#2', 'the idle.')]


def test_text_below_a_list_finishes_its_sentence():
    got = law('(a) A guest who\n(1) knocks;\n(2) brings\n(A) bread; or\n(B) salt,\nmay sit down.\n(b) Others may not.')
    assert got[-2] == ('text', '(a)(2)#2', 'may sit down.')  # the narrowest open sentence, since flat text can't tell more
    got = law('(a) A guest may stay if\n(1) it rains; or\n(2) it snows,\nuntil noon.\n(b) Others may not.')
    assert got[-2] == ('text', '(a)#2', 'until noon.')


def test_a_second_paragraph_of_an_item():
    got = law('(a) Rules\n(1) The first rule is kept.\nIt binds all.\n(2) The second is not.')
    assert [g[1] for g in got] == ['(a)', '(a)(1)', '(a)(1)#2', '(a)(2)']


def test_two_enumerators_on_one_line_and_bare_ones():
    assert law('(a)(1) One.\n(2) (A) Two.\n(B) Three.\n(b)\n(1)\nFour.') == [
        ('text', '(a)(1)', '(a)(1) One.'), ('text', '(a)(2)(A)', '(2) (A) Two.'), ('text', '(a)(2)(B)', '(B) Three.'),
        ('text', '(b)(1)', '(b)(1) Four.')]


def test_a_repeated_heading_is_dropped_and_does_not_move_the_place():
    got = law('##### (a) Fees\n(1)\n(A) A.\n##### (a) Fees\n######## (B) B who\n(i) b.\n##### (a) Fees\n(2) C.')
    assert [g[1] for g in got] == ['(a)', '(a)(1)(A)', '(a)(1)(B)', '(a)(1)(B)(i)', '(a)(2)']


def test_the_same_heading_twice_in_its_own_right_is_kept():
    got = law('##### (a) Fees\n(1)\n######## (A) A guest who\n(i) b.\n(2)\n######## (A) A guest who\n(i) c.')
    assert [g[1] for g in got] == ['(a)', '(a)(1)(A)', '(a)(1)(A)(i)', '(a)(2)(A)', '(a)(2)(A)(i)']


def test_quoted_definitions():
    assert law('(1) “Guest” defined\nThe term “guest” means a visitor.\n(2) The term “host” means one who opens.') == [
        ('heading', '(1)', '(1) “Guest” de'), ('text', '(1)#2', 'The term “gues'), ('text', '(2)', '(2) The term “')]


def test_text_without_any_enumerator():
    assert law('Anyone may visit.\nNobody must.') == [('text', '#2', 'Anyone may vis'), ('text', '#3', 'Nobody must.')]


def test_notes_credits_and_places_that_are_gone():
    body = '(a) Law.\n(b) Repealed. Pub. L. 1–1.\n(c), (d) Omitted\n(e) More law.\n' \
        '(June 27, 1952, ch. 477, 66 Stat. 163.)\nAmendments\n1996—Cut.'
    assert [g[0] for g in law(body)] == ['text', 'note', 'note', 'text', 'note', 'note', 'note']
    assert [g[1] for g in law('(a) Law.\n(b) to (d) Repealed. Pub. L. 1–1.\n(e) More law.')] == ['(a)', '(d)', '(e)']


@pytest.mark.parametrize('heading, doc_id, citation', [
    ('#### §§\u202f117, 118. Omitted', 'uscode:117', '8 U.S.C. 117, 118'),
    ('#### §§ 175 to 181. Repealed. June 27, 1952', 'uscode:175', '8 U.S.C. 175 to 181'),
    ('#### § 606. Transferred', 'uscode:606', '8 U.S.C. 606'),
    ('#### [§ 1205. Repealed. Pub. L. 87–301]', 'uscode:1205', '8 U.S.C. 1205'),
])
def test_sections_that_are_gone_hold_no_law(heading, doc_id, citation):
    doc = read_uscode_markdown(RAW, f'# Title 8— ALIENS\n### CHAPTER 6— OLD\n{heading}\nSUBCHAPTER II— DUES\nSee elsewhere.'.encode())
    assert (doc.doc_id, doc.citation) == (doc_id, citation)
    assert [p['kind'] for p in doc.paragraphs] == ['heading'] * 4 + ['note'] and doc.coverage == 1.0


def test_the_heading_of_the_next_part_is_a_note():
    assert law('(a) Law.\n(1) An item.\nSUBCHAPTER II— DUES\nPart III— More Visits')[-2:] == [
        ('note', '#next', 'SUBCHAPTER II—'), ('note', '#next-2', 'Part III— More')]


def test_what_closes_a_list_gets_a_line_and_the_place_of_the_list():
    assert law('(a) A guest who\n(1) knocks; or\n(2) rings, is let in. The host may refuse.\n(b) It ends.')[2:4] == [
        ('text', '(a)(2)', '(2) rings, is '), ('text', '(a)#2', 'The host may r')]
    assert law('(a) If a guest\n(1) knocks; and\n(2) rings; the host shall open.')[-1] == ('text', '(a)#2', 'the host shall')
    inner = law('(a) The host opens to\n(1) a guest who\n(A) knocks; or\n(B) rings. For this a bell is enough.\n(2) kin.')
    assert inner[-2] == ('text', '(a)(1)#2', 'For this a bel')


@pytest.mark.parametrize('body', [
    '(a) Dues\n(1) Guests pay. They pay once.\n(2) Kin pay half. They pay twice.',    # the items are sentences
    '(a) A guest who\n(1) knocks. He may ring too;\n(2) rings. He may knock too.',     # each item has its own
    '(a) A guest who\n(1) rings. He may knock too;\n(2) knocks.',                      # not the last item
    '(a) A guest under the Act of 1950 (42 U.S.C. 4 et seq.) who\n(1) is kin (as in the Act, 42 U.S.C. 4 et seq.)',
])
def test_what_is_an_items_own_stays_with_it(body): assert len(law(body)) == body.count('\n') + 1


def test_two_places_of_one_name_are_told_apart():
    got = [pid for _, pid, _ in law('##### (t) Dues\n(1) x\n##### (u) Kin\n##### (t) Rooms\n(1) y\n(2) z\n(A) zz')]
    assert got == ['(t)', '(t)(1)', '(u)', '(t)#2', '(t)(1)#2', '(t)(2)#2', '(t)(2)(A)#2']


def test_document_fields():
    doc = read('(a) Anyone may visit.')
    assert (doc.title, doc.section_path) == ('8 U.S.C. 9: Visits', ['Title 8', 'Chapter 12', '§ 9. Visits'])
    assert (doc.as_of, doc.valid_from, doc.agency, doc.source_type) == ('2025-12-31', None, 'Congress', 'statute')
    assert doc.authority_level == 'primary_official'
    assert (doc.raw_path, doc.raw_sha256, doc.license_note, doc.jurisdiction) == (RAW.path, RAW.sha256, 'l', 'US')


@pytest.mark.parametrize('raw, clean', [
    ('who is\u202f 5 at least 18 , or', 'who is at least 18, or'),
    ('of title 50 (or any other statute). 1', 'of title 50 (or any other statute).'),
    ('66 Stat. 12', '66 Stat. 12'), ('(2) 5 members shall serve', '(2) 5 members shall serve'),
    ('until Sept. 30, 2030 , 3 in order', 'until Sept. 30, 2030, in order'), ('in 5 , 10 and 15 years', 'in 5, 10 and 15 years'),
    ('until it is paid.. 1 At the door', 'until it is paid.. At the door'), ('under paragraph (2) , 2 or', 'under paragraph (2), or'),
    ('of this title , 1  section 4', 'of this title, section 4'), ('in subsection (d), 4 an owner', 'in subsection (d), an owner'),
    ('(as in section 7 of this title 2 pending the end', '(as in section 7 of this title pending the end'),
    ('( 8 U.S.C. 9(a) ),, 2 shall be let in', '(8 U.S.C. 9(a)), shall be let in'), ('guests, 3 shall be kin', 'guests, 3 shall be kin'),
    ('(i) 1 upon a finding', '(i) upon a finding'), ('(i) 60 days', '(i) 60 days'), ('after 6 months, 2 or 3 visits', 'after 6 months, 2 or 3 visits'),
    ('or, 2 or more rooms', 'or, 2 or more rooms'), ('title 50 for 2 years', 'title 50 for 2 years'),
])
def test_tidy(raw, clean): assert tidy(raw) == clean


@pytest.mark.parametrize('text, follows, in_list, want', [
    ('Special rule for guests', 'In general', True, True), ('A guest who', 'Has come', True, False), ('Guests', 'who knock', True, False),
    ('No review', 'There is none.', False, True), ('In general.', 'There is none.', False, True), ('It ends.', '', False, False),
    ('The host shall', 'Open the door.', True, False), ('Crimes of', 'Theft.', False, False),
])
def test_reads_as_heading(text, follows, in_list, want): assert reads_as_heading(text, follows, in_list=in_list) is want


@pytest.mark.skipif(not STORE, reason='IMMIG_STORE is not set: the real store is not on this machine')
def test_every_section_of_the_real_store():
    docs = {}
    for raw in read_store(STORE, only=['uscode']):
        if raw.media_type != 'text/markdown': continue
        data = read_bytes(STORE, raw)
        doc = read_uscode_markdown(raw, data)
        docs[doc.doc_id] = doc
        ids = [p['id'] for p in doc.paragraphs]
        assert len(ids) == len(set(ids)) and all(i.startswith(doc.citation) for i in ids), doc.doc_id
        at = 0
        for p in doc.paragraphs:
            assert at <= p['start'] < p['end'], (doc.doc_id, p)
            part, at = doc.text[p['start']:p['end']], p['end']
            assert part == part.strip() and doc.text[at:p['start']].strip() == ''
        words, seen = [], set()
        for line in data.decode().splitlines():    # the words in order, a heading that is repeated left out
            if not (line.startswith('#####') and tidy(line) in seen): words += re.findall(r'\w+', tidy(line).lower())
            seen.add(tidy(line))
        assert words == re.findall(r'\w+', doc.text.lower()), doc.doc_id
        assert doc.coverage >= .98
    assert len(docs) == 282
    law = sum(p['kind'] == 'text' for d in docs.values() for p in d.paragraphs)
    gone = [d for d in docs.values() if all(p['kind'] != 'text' for p in d.paragraphs)]
    assert law > 5500 and len(gone) == 12
    deep = {p['id'] for d in docs.values() for p in d.paragraphs}
    assert {'8 U.S.C. 1229b(b)(1)(A)', '8 U.S.C. 1101(a)(15)(V)(ii)(II)', '8 U.S.C. 1154(a)(1)(A)(iii)(II)(aa)(CC)(bbb)',
        '8 U.S.C. 1101(a)(43)(U)',
        '8 U.S.C. 1182(a)(9)(B)(i)(II)', '8 U.S.C. 1158(b)(2)(A)(ii)', '8 U.S.C. 1440-1(c)', '8 U.S.C. 1101(i)(2)'} <= deep
    closing = {'1255(i)(1)#2', '1255(l)(1)#2', '1231(b)(3)(B)#3', '1324a(b)(1)(A)#3', '1357(a)(5)#2', '1367(a)#3', '1408(4)#2', '1641(c)#3',
        '1645#3'}
    assert {f'8 U.S.C. {c}' for c in closing} <= deep
    assert {'8 U.S.C. 1382#next-2', '8 U.S.C. 1182(t)(2)(B)#2'} <= deep and '8 U.S.C. 1182(t)(2)(B)' not in deep
    text = {p['id']: d.text[p['start']:p['end']] for d in docs.values() for p in d.paragraphs}
    for place in ('1189(c)(3)(D)', '1227(a)(7)(A)(i)', '1229a(c)(7)(C)(iv)(I)', '1231(c)(3)(A)#2', '1232(d)(4)(A)#2', '1255(l)(2)(B)', '1429#2'):
        assert not re.search(r'(?:,|^\(\w+\)) \d ', text[f'8 U.S.C. {place}']), place
