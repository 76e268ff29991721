"Both shapes of the eCFR's XML, hard numbering in own words; and, where IMMIG_STORE is set, the real files."
import os
from html import escape

import pytest
from tiling import check_tiling

from immig_research.chunk import chunk_document
from immig_research.coverage import shingle_coverage
from immig_research.ecfr import (
    drop_contents,
    parse_xml,
    read_ecfr_xml,
    split_runs,
    xml_lines,
)
from immig_research.store import RawFile, Reject, read_bytes, read_store

STORE = os.environ.get('IMMIG_STORE')
RAW = RawFile('ecfr', 'https://www.ecfr.gov/api/versioner/v1/full/2025-01-31/title-8.xml?part=9', 'ecfr/p9.xml', 'application/xml', '0' * 64,
    '2026-01-01', 'l', as_of='2020-01-01')


def section(body, n='9.1', head='Visits.'): return f'<DIV8 N="{n}" TYPE="SECTION"><HEAD>§ {n}   {head}</HEAD>{body}</DIV8>'


def read(body): return read_ecfr_xml(RAW, section(body).encode())[0]


def P(*lines): return ''.join(f'<P>{line}</P>' for line in lines)


def law(body):
    "Kind, place and first words of each paragraph below the heading."
    doc = read(body)
    return [(p['kind'], p['id'].removeprefix('8 CFR 9.1'), doc.text[p['start']:p['end']][:16]) for p in doc.paragraphs[1:]]


def places(marks):
    "Where the last of `marks` stands; a star is for italics."
    body = P(*[(f'(<I>{m[:-1]}</I>)' if m.endswith('*') else f'({m})') + ' A guest waits.' for m in marks.split()])
    return [p['id'].removeprefix('8 CFR 9.1') for p in read(body).paragraphs[1:]]


@pytest.mark.parametrize('marks, last', [
    ('a b c d e f g h i j', '(j)'),
    ('a b c d e f g h i ii', '(h)(ii)'),
    ('a b c d e f g h 1 i ii iii i', '(i)'),
    ('a 1 i ii iii iv v vi', '(a)(1)(vi)'),
    ('a b c d e f g h i j k l m n o p q r s t u v w x', '(x)'),
    ('a 1 i A B C D E F G H I J', '(a)(1)(i)(J)'),
    ('a 1 i ii iii iv v vi vii viii ix x A', '(a)(1)(x)(A)'),
    ('h 1 i 2 i A B 1* 2* i* ii* iii* 3* C', '(h)(2)(i)(C)'),
    ('h 1 i 2 i A B 1* 2* i* ii* iii*', '(h)(2)(i)(B)(2)(iii)'),
    ('a 1 i A 1* i* I', '(a)(1)(i)(A)(1)(i)(I)'),
    ('x y z aa bb', '(bb)'),
    ('a 1 i A 1 2 B', '(a)(1)(i)(B)'),           # italics lost
    ('a 2 3 4 c', '(c)'),                        # a slice with gaps
    ('a 1 2 3 4 5 6 7 8 9 10 11', '(a)(11)'),
    ('c 1 i v', '(c)(1)(v)'),
])
def test_the_most_regular_numbering_wins(marks, last): assert places(marks)[-1] == last


def test_an_ambiguous_letter_depends_on_what_follows():
    assert places('a b c d e f g h i j')[8] == '(i)' and places('a b c d e f g h i ii')[8] == '(h)(i)'
    assert places('a 1 i ii iii iv v vi')[6] == '(a)(1)(v)' and places('s t u v w')[3] == '(v)'


@pytest.mark.parametrize('line, want', [
    ('(a) <I>General.</I> (1) <I>Definitions.</I> A guest is a visitor.', ['(a) General.', '(1) Definitions. A guest is a visitor.']),
    ('(b) <I>Methods</I>—(1) <I>General</I>—(i) <I>All.</I> Knock.', ['(b) Methods—', '(1) General—', '(i) All. Knock.']),
    ('(a) General. (1) Definitions. A guest is a visitor.', ['(a) General.', '(1) Definitions. A guest is a visitor.']),
    ('(c) <E T="03">Fees.</E> (1)(i) Pay.', ['(c) Fees.', '(1)(i) Pay.']),
    ('(c) A guest who (1) knocks or (2) rings may wait.', ['(c) A guest who (1) knocks or (2) rings may wait.']),
    ('(c) See § 9.2(a) (1) or (2).', ['(c) See § 9.2(a) (1) or (2).']),
    ('(c) He must pay. (1) Then he waits.', ['(c) He must pay. (1) Then he waits.']),
    ('(d) <I>Fees.</I> (3) Pay.', ['(d) Fees. (3) Pay.']),
    ('<I>(e) Fees.</I> Pay.', ['(e) Fees. Pay.']),
])
def test_paragraphs_that_are_run_together(line, want):
    doc = read(P(line))
    assert [doc.text[p['start']:p['end']] for p in doc.paragraphs[1:]] == want and doc.coverage == 1.0


def test_a_heading_that_runs_in_keeps_its_own_place():
    assert law(P('(b) <I>Methods</I>—(1) <I>General.</I> Knock.', '(2) <I>Bells.</I> Ring.', '(i) Once.')) == [
        ('heading', '(b)', '(b) Methods—'), ('text', '(b)(1)', '(1) General. Kno'), ('text', '(b)(2)', '(2) Bells. Ring.'),
        ('text', '(b)(2)(i)', '(i) Once.')]


def test_reserved_places_are_notes():
    assert law(P('(a) Knock.', '(b) [Reserved]', '(c)-(e) [Reserved]', '(f) Ring.')) == [('text', '(a)', '(a) Knock.'),
        ('note', '(b)', '(b) [Reserved]'), ('note', '(e)', '(c)-(e) [Reserve'), ('text', '(f)', '(f) Ring.')]


def test_definitions_begin_their_own_lists():
    got = law(P('(a) In this part:', '<I>Guest</I> means one who:', '(1) Knocks; or', '(2) Rings.', '<I>Host</I> means', '(1) An owner.',
        '(i) Or two.', '(b) Others wait.'))
    assert [g[1] for g in got] == ['(a)', '(a)#2', '(a)(1)', '(a)(2)', '(a)#3', '(a)(1)#2', '(a)(1)(i)', '(b)']


def test_lines_without_a_number():
    got = law(P('(a) A guest waits if:', '(1) It rains; or', '(2) It snows,') + '<FP>until noon.</FP>' + P('(b) Say:', 'I wait.', '(c) Go.', 'Or stay.'))
    assert [g[1] for g in got] == ['(a)', '(a)(1)', '(a)(2)', '(a)#2', '(b)', '(b)#2', '(c)', '(c)#2']


def test_what_stands_beside_the_law():
    body = (P('(a) Knock.<SU>1</SU>') + '<EXTRACT><HD1>Oath</HD1><P>(1) I knock.</P></EXTRACT><FTNT><P><SU>1</SU> Softly.</P></FTNT>'
        '<CROSSREF><HED>Cross Reference:</HED><P>See § 9.2.</P></CROSSREF><SECAUTH>(5 U.S.C. 552)</SECAUTH><CITA TYPE="N">[60 FR 1]</CITA>'
        '<EDNOTE><HED>Note:</HED><PSPACE>Old.</PSPACE><P>More.</P></EDNOTE>' + P('(b) Ring.'))
    assert law(body) == [('text', '(a)', '(a) Knock.[^1]'), ('note', '#2', 'Oath'), ('note', '#3', '(1) I knock.'), ('note', '#4', '[^1] Softly.'),
        ('note', '#5', 'Cross Reference:'), ('note', '#6', '(5 U.S.C. 552)'), ('note', '#7', '[60 FR 1]'), ('note', '#8', 'Note: Old.'),
        ('note', '#9', 'More.'), ('text', '(b)', '(b) Ring.')]
    assert read(body).coverage == 1.0


def test_tables_of_both_kinds():
    gpo = '<GPOTABLE><TTITLE>Fees</TTITLE><BOXHD><CHED H="1">Form</CHED><CHED H="1">Fee</CHED></BOXHD><ROW><ENT I="01">I-9</ENT><ENT>$5</ENT></ROW></GPOTABLE>'
    html = '<DIV><TABLE><CAPTION><P>Fees</P></CAPTION><TR><TH>Form</TH><TH>Fee</TH></TR><TR><TD>I-9</TD><TD>$5</TD></TR></TABLE></DIV>'
    for table in (gpo, html):
        doc = read(P('(a) The fees are:') + table + P('(b) Pay.'))
        cut = [(p['kind'], p['id'], doc.text[p['start']:p['end']]) for p in doc.paragraphs]
        assert cut[2] == ('table', '8 CFR 9.1(a)#2', 'Fees\n| Form | Fee |\n| I-9 | $5 |') and doc.coverage == 1.0
        check_tiling(doc, own=True)


def test_a_table_of_contents_goes_and_a_list_stays():
    heads = ['(a) <I>Who may knock.</I>', '(b) <I>When.</I>', '(c) <I>How.</I>', '(d) <I>Fees.</I>']
    doc = read(P(*heads, *[h + ' All may.' for h in heads]))
    assert [p['id'] for p in doc.paragraphs] == ['8 CFR 9.1', *[f'8 CFR 9.1({x})' for x in 'abcd']] and doc.coverage == 1.0
    assert len(read(P('Contents', *heads, *[h + ' All may.' for h in heads])).paragraphs) == 5
    for lines in (['(1) One;', '(2) Two;', '(3) Three.'], [*heads, *[h + ' All may.' for h in heads[:3]]]):
        assert len(read(P(*lines)).paragraphs) == len(lines) + 1
    assert drop_contents([]) == []


def test_nothing_is_lost_in_an_unknown_tag():
    doc = read('loose <NEW><LI>inside <I>it</I></LI>tail</NEW><P>(a) Law <MATH>x</MATH> on.</P>')
    assert doc.coverage == 1.0 and all(w in doc.text for w in ('loose', 'inside it', 'tail', 'x', 'on.'))
    check_tiling(doc, own=True)


def test_coverage_sees_a_dropped_line():
    lines = xml_lines(parse_xml(section(P('(a) One two three four five six.', '(b) Seven eight nine ten eleven.')).encode()))
    assert shingle_coverage(lines, '\n'.join(lines)) == 1.0 and shingle_coverage(lines, '\n'.join(lines[:-1])) < .75


def whole_title(sections): return ('<?xml version="1.0" encoding="UTF-8"?><ECFR><AMDDATE>March 17, 2015</AMDDATE><VOLUME N="1" AMDDATE="2015-03-17"/>'
    '<DIV1 N="8" TYPE="TITLE"><HEAD>Title 8—Aliens</HEAD><DIV3 N="I" TYPE="CHAPTER"><HEAD> CHAPTER I—DHS</HEAD><NOTE><HED>Note:</HED><P>Of chapter I.</P></NOTE>'
    '<DIV5 N="9" TYPE="PART" VOLUME="1"><HEAD>PART 9—VISITS</HEAD><AUTH><HED>Authority:</HED><PSPACE>5 U.S.C. 1.</PSPACE></AUTH>'
    f'<DIV6 N="A" TYPE="SUBPART"><HEAD>Subpart A—All</HEAD><SOURCE><HED>Source:</HED><P>1 FR 1.</P></SOURCE>{sections}</DIV6></DIV5></DIV3></DIV1></ECFR>')


def slice_of(sections):
    meta = escape(escape('{"path":"/on/_SUBSTITUTE_DATE_/title-8/part-9","citation":"8 CFR Part 9"}'))
    return (f'<?xml version="1.0"?><DIV5 N="9" TYPE="PART" hierarchy_metadata="{meta}"><HEAD>PART 9—VISITS</HEAD>'
        '<AUTH><HED>Authority:</HED><PSPACE>5 U.S.C. 1.</PSPACE></AUTH>'
        f'<DIV6 N="A" TYPE="SUBPART"><HEAD>Subpart A—All</HEAD><SOURCE><HED>Source:</HED><P>1 FR 1.</P></SOURCE>{sections}</DIV6></DIV5>')


def test_both_shapes_give_the_same_documents():
    body = section(P('(a) Knock.', '(1) Twice.')) + section('', '9.2-9.9', '[Reserved]')
    whole = read_ecfr_xml(RAW, whole_title(body).encode())
    part = read_ecfr_xml(RAW, slice_of(body.replace('   ', ' ').replace('§', '&#xA7;')).encode())
    assert [d.doc_id for d in whole] == ['ecfr:8-chapter-I', 'ecfr:8-9', 'ecfr:8-9.1', 'ecfr:8-9.2-9.9']
    for a, b in zip(whole[1:], part, strict=True):
        assert (a.doc_id, a.citation, a.title, a.text, a.paragraphs, a.url) == (b.doc_id, b.citation, b.title, b.text, b.paragraphs, b.url)
    assert whole[2].section_path == ['Title 8', 'CHAPTER I—DHS', 'PART 9—VISITS', 'Subpart A—All', '§ 9.1 Visits.']
    assert part[1].section_path == ['Title 8', 'PART 9—VISITS', 'Subpart A—All', '§ 9.1 Visits.']
    assert {d.as_of for d in whole} == {'2025-01-31'} and 'Source: 1 FR 1.' in whole[1].text and '2015' not in ''.join(d.text for d in whole)
    assert whole[3].title == '8 CFR 9.2-9.9: [Reserved]' and [p['kind'] for p in whole[3].paragraphs] == ['heading']
    for doc in whole: check_tiling(doc, own=True)


def test_appendices_and_the_immigration_courts():
    doc, = read_ecfr_xml(RAW, '<DIV9 N="Appendix A to Part 1235" TYPE="APPENDIX"><HEAD>Appendix A to Part 1235—Oath</HEAD><P>I swear.</P></DIV9>'.encode())
    assert (doc.citation, doc.agency, doc.title) == ('8 CFR Appendix A to Part 1235', 'EOIR', '8 CFR Appendix A to Part 1235: Oath')
    assert doc.url.endswith('/title-8/appendix-Appendix%20A%20to%20Part%201235') and read('').agency == 'DHS'


def test_a_number_that_stands_twice_makes_two_documents():
    docs = read_ecfr_xml(RAW, slice_of(section(P('Old.')) + section(P('New.'))).encode())
    assert [d.doc_id for d in docs] == ['ecfr:8-9', 'ecfr:8-9.1', 'ecfr:8-9.1#2'] and docs[1].citation == docs[2].citation
    assert read_ecfr_xml(RAW, f'<DIV5 N="9"><DIV8 N="9.0"/>{section("")}</DIV5>'.encode())[0].doc_id == 'ecfr:8-9.1'  # what is empty is no document


def test_document_fields():
    doc = read(P('(a) Knock.'))
    assert (doc.source_name, doc.source_type, doc.license_note, doc.raw_path) == ('Code of Federal Regulations, Title 8', 'regulation', 'l', RAW.path)
    assert (doc.valid_from, doc.valid_to, doc.authority_level) == (None, None, 'primary_official')
    assert doc.url == 'https://www.ecfr.gov/on/2025-01-31/title-8/section-9.1'
    chunk, = chunk_document(doc)
    assert (chunk.citation, chunk.text) == ('8 CFR 9.1(a)', doc.text)


@pytest.mark.parametrize('data, reason', [
    (b'<!DOCTYPE x [<!ENTITY a "b">]><DIV5 N="9">&a;</DIV5>', 'document type'), (b'<!DOCTYPE x SYSTEM "file:///etc/passwd"><DIV5/>', 'document type'),
    (b'<DIV5 N="9">', 'not well-formed'), (b'', 'not well-formed'), (b'<html><body>Request Access</body></html>', 'not an eCFR file'),
    (b'<DIV8 TYPE="SECTION"><HEAD>x</HEAD></DIV8>', 'a section without a number'), (b'<ECFR><DIV1 N="8"/></ECFR>', 'no section'),
    (b'<DIV5>' * 200 + b'</DIV5>' * 200, '100 deep'),
])
def test_files_that_are_refused(data, reason):
    with pytest.raises(Reject, match=reason): read_ecfr_xml(RAW, data)


def test_no_title_anywhere_is_refused():
    with pytest.raises(Reject, match='no title number'): read_ecfr_xml(RawFile('ecfr', 'u', 'p', 'm', '', '', ''), section('').encode())


def test_a_section_name_is_never_cut_by_a_bracket_in_a_word():
    assert [b.text for b in split_runs('(DHS) or (USCIS) decides.')] == ['(DHS) or (USCIS) decides.']


real = pytest.mark.skipif(not STORE, reason='IMMIG_STORE is not set: the real store is not on this machine')


def real_docs(name):
    raw = next(r for r in read_store(STORE, only=['ecfr']) if r.path.endswith(name))
    return read_ecfr_xml(raw, read_bytes(STORE, raw))


@real
@pytest.mark.parametrize('name, n', [('title-1-part-51-2024-05-17.xml', 7), ('title-3-full-2024-05-17.xml', 31), ('title-3-part-101-2024-05-17.xml', 8)])
def test_real_files_arrive_whole(name, n):
    docs = real_docs(name)
    assert len(docs) == n and all(d.coverage == 1.0 and d.as_of == '2024-05-17' for d in docs)
    for doc in docs: check_tiling(doc, own=True)


@real
def test_real_places():
    ids = {p['id'] for name in ('title-1-part-51-2024-05-17.xml', 'title-3-full-2024-05-17.xml') for d in real_docs(name) for p in d.paragraphs}
    assert {'1 CFR 51.3(a)(1)', '1 CFR 51.3(a)(2)', '1 CFR 51.7(a)(2)(i)', '1 CFR 51.9(c)(1)#2', '3 CFR 102.150(b)', '3 CFR 102.150(b)(1)',
        '3 CFR 102.130(b)(1)(v)', '3 CFR 102.170(i)', '3 CFR 102.170(j)', '3 CFR 102.103(4)(iii)', '3 CFR 102.103(4)#2',
        '3 CFR 102.160(a)(1)(ii)', '1 CFR 51#3'} <= ids


@real
def test_a_real_part_is_the_same_in_both_shapes():
    whole = {d.doc_id: d for d in real_docs('title-3-full-2024-05-17.xml')}
    for doc in real_docs('title-3-part-101-2024-05-17.xml'):
        assert (doc.text, doc.paragraphs, doc.url) == (whole[doc.doc_id].text, whole[doc.doc_id].paragraphs, whole[doc.doc_id].url)

