"USLM in own words: notes, footnotes, repealed places, odd numbers; and, where IMMIG_STORE is set, the real excerpt."
import os

import pytest
from tiling import check_tiling

from immig_research.chunk import chunk_document
from immig_research.store import RawFile, Reject, read_bytes, read_store
from immig_research.uslm import parse_identifier, read_uslm_xml

STORE = os.environ.get('IMMIG_STORE')
RAW = RawFile('uscode', 'u', 'uscode/t8.xml', 'application/xml', '0' * 64, '2026-01-01', 'l', as_of='2025-12-31')
NS = 'xmlns="http://xml.house.gov/schemas/uslm/1.0"'


def file(sections, chapter='<num value="12">CHAPTER 12—</num><heading>VISITS</heading>'):
    return (f'<uscDoc identifier="/us/usc/t8" {NS}><meta><docNumber>8</docNumber></meta><main><title identifier="/us/usc/t8"><num value="8">Title 8—</num>'
        f'<heading>ALIENS</heading><toc><tocItem>Contents</tocItem></toc><chapter identifier="/us/usc/t8/ch12">{chapter}{sections}</chapter></title></main></uscDoc>').encode()


def section(body, n='9', attrs='', head='Visits'):
    return f'<section {attrs} identifier="/us/usc/t8/s{n}"><num value="{n}">§\u202f{n}.</num><heading> {head}</heading>{body}</section>'


def read(body, **k): return read_uslm_xml(RAW, file(section(body, **k)))[0]


def level(tag, path, body, attrs=''):
    mark = path.split('/')[-1]
    return f'<{tag} {attrs} identifier="/us/usc/t8/s9/{path}"><num value="{mark}">({mark})</num>{body}</{tag}>'


def law(body):
    doc = read(body)
    return [(p['kind'], p['id'].removeprefix('8 U.S.C. 9'), doc.text[p['start']:p['end']]) for p in doc.paragraphs[1:]]


def test_heading_chapeau_list_and_continuation():
    body = level('subsection', 'a', '<heading> Who</heading><chapeau>A guest who—</chapeau>' + level('paragraph', 'a/1', '<content> knocks; or</content>')
        + level('paragraph', 'a/2', '<content> rings,</content>') + '<continuation>may wait.</continuation>')
    assert law(body) == [('heading', '(a)', '(a) Who'), ('text', '(a)#2', 'A guest who—'), ('text', '(a)(1)', '(1) knocks; or'),
        ('text', '(a)(2)', '(2) rings,'), ('text', '(a)#3', 'may wait.')]
    assert read(body).coverage == 1.0


def test_numbers_without_text_open_the_level_below():
    inner = level('subparagraph', 'a/1/A', '<chapeau> A guest—</chapeau>' + level('clause', 'a/1/A/i', '<content> knocks.</content>'))
    assert law(level('subsection', 'a', level('paragraph', 'a/1', inner)))[0] == ('text', '(a)(1)(A)', '(a)(1)(A) A guest—')


def test_an_empty_content_is_no_law():
    assert law(level('subsection', 'a', '<content/>') + level('subsection', 'b', '<content><p>Knock.</p><p>Wait.</p></content>')) == [
        ('note', '(a)', '(a)'), ('text', '(b)', '(b) Knock.'), ('text', '(b)#2', 'Wait.')]


@pytest.mark.parametrize('status, kinds', [('repealed', ['note', 'note']), ('omitted', ['note', 'note']), ('notYetEffective', ['heading', 'text'])])
def test_the_status_of_a_level_is_kept(status, kinds):
    doc = read(level('subsection', 'a', '<heading> Fees</heading><content>Pay.</content>', f'status="{status}"') + level('subsection', 'b', '<content>Go.</content>'))
    assert [(p['kind'], p.get('status')) for p in doc.paragraphs] == [('heading', None), *[(k, status) for k in kinds], ('text', None)]


def test_a_section_that_is_gone_keeps_its_heading_and_notes():
    doc = read('<notes type="uscNote"><note topic="removalDescription"><p>It was about visits.</p></note></notes>', n='1...18', attrs='status="repealed"', head='Gone')
    assert (doc.doc_id, doc.citation, doc.title) == ('uscode:1', '8 U.S.C. 1 to 18', '8 U.S.C. 1 to 18: Gone [repealed]')
    assert [p['kind'] for p in doc.paragraphs] == ['heading', 'note'] and chunk_document(doc) == []


def test_dash_and_narrow_space():
    doc = read('<content>Knock.</content>', n='1440–1')
    assert (doc.doc_id, doc.citation, doc.section_path[-1]) == ('uscode:1440-1', '8 U.S.C. 1440-1', '§ 1440–1. Visits')
    assert '\u202f' not in doc.text


def test_footnotes_stand_behind_their_paragraph():
    got = law(level('subsection', 'a', '<content> A visit<ref class="footnoteRef" idref="f">1</ref><note type="footnote" id="f"><num>1</num> So in '
        '<ref href="/x">original</ref>.</note> of one day.</content>'))
    assert got == [('text', '(a)', '(a) A visit[^1] of one day.'), ('note', '(a)#2', '[^1] So in original.')]


def test_notes_tables_and_quoted_law_are_apart():
    body = level('subsection', 'a', '<content>Knock.</content>') + '''<sourceCredit>(<ref>Pub. L. 1–1</ref>, <date>May 1, 1990</date>.)</sourceCredit>
        <notes><note topic="amendments"><heading>Amendments</heading><p>1990—Subsec. (a) changed.</p><quotedContent><section identifier="/us/usc/t8/s99"><num>§ 99.</num>
        <content>Quoted.</content></section></quotedContent></note></notes>
        <table><tr><th>Day</th><th>Fee</th></tr><tr><td>1</td><td>$5</td></tr></table>'''
    got = law(body)
    assert [g[0] for g in got] == ['text', 'note', 'note', 'note', 'note', 'table'] and got[1][2] == '(Pub. L. 1–1, May 1, 1990.)'
    assert got[-1][2] == '| Day | Fee |\n| 1 | $5 |' and len(read_uslm_xml(RAW, file(section(body)))) == 1 and read(body).coverage == 1.0


def test_notes_above_the_sections_make_a_document():
    chapter = '<num value="12">CHAPTER 12—</num><heading>VISITS</heading><notes><note><p>Of the chapter.</p></note></notes>'
    docs = read_uslm_xml(RAW, file(section('<content>Knock.</content>'), chapter))
    assert [(d.doc_id, d.citation) for d in docs] == [('uscode:chapter-12', '8 U.S.C. chapter 12'), ('uscode:9', '8 U.S.C. 9')]
    assert docs[0].text == 'CHAPTER 12— VISITS\n\nOf the chapter.' and [p['kind'] for p in docs[0].paragraphs] == ['heading', 'note']


def test_a_number_that_stands_twice_makes_two_documents():
    docs = read_uslm_xml(RAW, file(section('<content>Old.</content>') + section('<content>New.</content>')))
    assert [d.doc_id for d in docs] == ['uscode:9', 'uscode:9#2']


def test_a_level_without_an_identifier_is_cited_by_its_number():
    assert law('<subsection><num>(c)</num><content>Knock.</content></subsection>') == [('text', '(c)', '(c) Knock.')]


def test_document_fields():
    doc = read(level('subsection', 'a', '<content>Knock.</content>'))
    assert (doc.source_name, doc.source_type, doc.agency, doc.as_of) == ('U.S. Code, Title 8', 'statute', 'Congress', '2025-12-31')
    assert doc.section_path == ['Title 8', 'Chapter 12', '§ 9. Visits']
    assert (doc.raw_path, doc.raw_sha256, doc.license_note) == (RAW.path, RAW.sha256, 'l')
    assert chunk_document(doc)[0].citation == '8 U.S.C. 9(a)'


@pytest.mark.parametrize('identifier, want', [
    ('/us/usc/t8/s1814/b/1/A', ('8', '1814', ('b', '1', 'A'))), ('/us/usc/t8/s1101/a/15/V/ii/II', ('8', '1101', ('a', '15', 'V', 'ii', 'II'))),
    ('/us/usc/t8/s1255a', ('8', '1255a', ())), ('/us/usc/t8/s1440–1/a', ('8', '1440-1', ('a',))), ('/us/usc/t8/s175...181', ('8', '175 to 181', ())),
    ('/us/usc/t8', ('8', '', ())), ('/us/usc/t8/ch12/schII/ptIX', ('8', '', ())),
])
def test_identifiers(identifier, want): assert parse_identifier(identifier) == want


@pytest.mark.parametrize('data, reason', [
    (b'<!DOCTYPE x [<!ENTITY a "b">]><uscDoc>&a;</uscDoc>', 'document type'), (b'<html/>', 'not a USLM file'), (b'<uscDoc>', 'not well-formed'),
    (b'<uscDoc><main/></uscDoc>', 'no section'), (b'<uscDoc><main><section/></main></uscDoc>', 'not of the U.S. Code'),
])
def test_files_that_are_refused(data, reason):
    with pytest.raises(Reject, match=reason): read_uslm_xml(RAW, data)


@pytest.mark.skipif(not STORE, reason='IMMIG_STORE is not set: the real store is not on this machine')
def test_the_real_excerpt():
    raw = next(r for r in read_store(STORE, only=['uscode']) if r.media_type == 'application/xml')
    docs = {d.doc_id: d for d in read_uslm_xml(raw, read_bytes(STORE, raw))}
    assert list(docs) == ['uscode:title-8', 'uscode:1', 'uscode:1814', 'uscode:1815']
    for doc in docs.values():
        check_tiling(doc, own=True)
        assert doc.coverage >= .98 and doc.as_of == '2026-07-01'
    ids = {p['id'] for p in docs['uscode:1814'].paragraphs}
    assert {'8 U.S.C. 1814(b)(1)(A)', '8 U.S.C. 1814(d)(1)(C)', '8 U.S.C. 1814(e)'} <= ids
    assert {p['status'] for p in docs['uscode:1'].paragraphs} == {'repealed'} and docs['uscode:1'].citation == '8 U.S.C. 1 to 18'
    assert docs['uscode:1814'].section_path == ['Title 8', 'Chapter 16', '§ 1814. Fee for aliens ordered removed in absentia']
