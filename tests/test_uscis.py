"""Manual chapters and form instructions: the odd pages, and the real store where `IMMIG_STORE` names one."""
import hashlib
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest
from tiling import check_tiling, texts

from immig_research.store import RawFile, Reject, read_bytes, read_store, sample_store
from immig_research.uscis import (
    form_name,
    read_alert_text,
    read_form_pdf,
    read_instructions_pdf,
    read_instructions_text,
    read_manual_text,
)

CHAPTER = RawFile('uscis-policy-manual', 'https://www.uscis.gov/policy-manual/volume-12-part-d-chapter-9',
    'pm/volume-12-part-d-chapter-9.txt',
    'text/plain', '', '2026-01-01', 'public domain', as_of='2026-01-01',
        title='Volume 12 - Citizenship / Part D - Requirements / Chapter 9 - Character')
FORM = RawFile('uscis-forms', 'https://www.uscis.gov/i-485instr.pdf', 'uscis-forms/i-485instr.pdf', 'application/pdf', '', '2026-01-01',
    'public domain')


def manual(*lines): return read_manual_text(CHAPTER, '\n'.join(lines).encode())


def test_manual_ids_follow_headings():
    doc = manual('Intro.', '## A. One', 'First.', '### 1. Sub', 'Second.', 'Third.', '## B. Two', 'Fourth.')
    assert [p['id'].removeprefix('12 USCIS-PM D.9') for p in doc.paragraphs] == ['#1', '(A)', '(A)#1', '(A)(1)', '(A)(1)#1', '(A)(1)#2',
        '(B)', '(B)#1']
    assert doc.section_path == ['Volume 12 - Citizenship', 'Part D - Requirements', 'Chapter 9 - Character'] and doc.as_of == '2026-01-01'
    check_tiling(doc)


def test_manual_note_waits_for_the_end_of_list_and_table():
    doc = manual('Two ways:', '- One; or [1]', '[^ 1] Note one.', '- Two.', '| A | B |', '| 1 [2] | 2 |', '[^ 2] Note two.', '| 3 | 4 |',
        'End.')
    assert [p['kind'] for p in doc.paragraphs] == ['text', 'text', 'text', 'note', 'table', 'note', 'text']
    assert texts(doc, 'table') == ['| A | B |\n| 1 | 2 |\n| 3 | 4 |'] and '- One; or\n- Two.' in doc.text
    assert [p['ref'] for p in doc.paragraphs if p['kind'] == 'note'] == ['12 USCIS-PM D.9#2', '12 USCIS-PM D.9#4']
    assert doc.coverage == 1.0
    check_tiling(doc)


def test_manual_keeps_brackets_that_are_no_marks():
    doc = manual('A child [sic] in 2006 [12 USCIS-PM G] and [w]hen filed. [3]', '[^ 3] See.', 'It said [4] so.')
    assert texts(doc, 'text') == ['A child [sic] in 2006 [12 USCIS-PM G] and [w]hen filed.', 'It said [4] so.']


def test_manual_notes_of_one_number_have_two_ids():
    doc = manual('One. [1]', '[^ 1] a.', 'Two. [1]', '[^ 1] b.')
    assert [p['id'] for p in doc.paragraphs if p['kind'] == 'note'] == ['12 USCIS-PM D.9, n. 1', '12 USCIS-PM D.9, n. 1#1']
    check_tiling(doc)


def test_manual_lists_behind_the_chapter_without_buttons():
    doc = manual('## A. Fees', 'A fee is due.', 'Resources', 'Legal Authorities', 'INA 286', 'Updates', 'POLICY ALERT - Fees', 'Read More', '0', 'Next')
    assert [p['id'].removeprefix('12 USCIS-PM D.9') for p in doc.paragraphs][2:] == [', Resources#1', ', Resources#2', ', Resources#3',
        ', Updates#1', ', Updates#2']


def test_manual_long_headings_without_marks():
    long = 'Example: Extraordinary Circumstances When the First Visa Is Available for Less Than 1 Year and the Alien Seeks It After 1 Year of That'
    doc = manual('## A. Visas', 'They are given.', long, 'A visa is given.', 'Fees and Visas for Kin of Members [Reserved]', long.lower())
    assert [p['kind'] for p in doc.paragraphs] == ['heading', 'text', 'heading', 'text', 'heading', 'text']


def test_manual_typesetting_and_line_ends():
    doc = read_manual_text(CHAPTER, '\ufeffThe o\ufb03cer\u00a0may\r\n\r\nnot  natu\u00adralize.\r\n'.encode())
    assert doc.text.split('\n\n') == ['The officer may', 'not naturalize.']


@pytest.mark.parametrize('data, reason', [(b'', 'empty file'), (b'\n \n', 'empty file'), (b'[Reserved]', 'reserved'),
    (b'\xff\xfea', 'not UTF-8')])
def test_manual_rejects(data, reason):
    with pytest.raises(Reject, match=reason): read_manual_text(CHAPTER, data)


@pytest.mark.parametrize('path, name', [('a/i-765instr.pdf', 'I-765'), ('i-485supjinstr.pdf', 'I-485 Supplement J'),
    ('n-400instr.txt', 'N-400'), ('i-129finstr.txt', 'I-129F'),
    ('eoir-26instr.pdf', 'EOIR-26'), ('i-140.pdf', None), ('i-765.print.pdf', None), ('20221219-PublicChargeFinalRule.txt', None)])
def test_form_name(path, name): assert form_name(path) == name


# --- PDFs made here: a writer of pages with text in two fonts, locked in the old way (RC4, 40 bits) where a password is given

PAD = bytes.fromhex('28BF4E5E4E758A4164004E56FFFA01082E2E00B6D0683E802F0CA9FE6453697A')


def rc4(key, data):
    box, j, out = list(range(256)), 0, bytearray()
    for i in range(256): j = (j + box[i] + key[i % len(key)]) % 256; box[i], box[j] = box[j], box[i]
    i = j = 0
    for byte in data:
        i = (i + 1) % 256; j = (j + box[i]) % 256; box[i], box[j] = box[j], box[i]
        out.append(byte ^ box[(box[i] + box[j]) % 256])
    return bytes(out)


def padded(password): return (password.encode() + PAD)[:32]


def md5(data): return hashlib.md5(data, usedforsecurity=False).digest()


def pdf(pages, user=None):
    "A PDF of `pages`, lists of (x, y, text, bold, size); with a `user` password it is encrypted."
    streams = [''.join(f'BT /{"FB" if bold else "FR"} {size} Tf {x} {y} Td ({text}) Tj ET\n' for x, y, text, bold, size in page).encode()
        for page in pages]
    owner = rc4(md5(padded('owner'))[:5], padded(user or ''))
    key = md5(padded(user or '') + owner + (-4 & 0xFFFFFFFF).to_bytes(4, 'little') + b'0123456789abcdef')[:5]
    kids = ' '.join(f'{5 + 2*i} 0 R' for i in range(len(pages)))
    objects = [b'<< /Type /Catalog /Pages 2 0 R >>', f'<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>'.encode(),
        b'<< /Type /Font /Subtype /Type1 /BaseFont /Times-Roman >>', b'<< /Type /Font /Subtype /Type1 /BaseFont /Times-Bold >>']
    for i, stream in enumerate(streams):
        if user is not None: stream = rc4(md5(key + (6 + 2*i).to_bytes(3, 'little') + b'\0\0')[:10], stream)
        objects.append(f'<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {6 + 2*i} 0 R /Resources << /Font << /FR 3 0 R '
            f'/FB 4 0 R >> >> >>'.encode())
        objects.append(b'<< /Length %d >>\nstream\n%s\nendstream' % (len(stream), stream))
    lock = f'/Encrypt << /Filter /Standard /V 1 /R 2 /P -4 /O <{owner.hex()}> /U <{rc4(key, PAD).hex()}> >>' if user is not None else ''
    out, places = b'%PDF-1.4\n', []
    for n, obj in enumerate(objects, 1): places.append(len(out)); out += b'%d 0 obj\n%s\nendobj\n' % (n, obj)
    table = ''.join(f'{place:010} 00000 n \n' for place in places)
    end = f'xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}'
    end += f'trailer << /Size {len(objects) + 1} /Root 1 0 R /ID [<{b"0123456789abcdef".hex()}> <00>] {lock} >>\n'
    return out + end.encode() + f'startxref\n{len(out)}\n%%EOF'.encode()


def line(x, y, text, bold=False, size=11): return x, y, text, bold, size


def stamp(*words): return [line(200, 530 - 70*i, word, size=60) for i, word in enumerate(words)]


def footer(page): return [line(36, 22, 'Form I-485 Instructions 01/20/25'), line(500, 22, f'Page {page} of 2')]


TWO_PAGES = [
    [*stamp('Draft', 'Not for', 'Reproduction', '10/17/2023'), *footer(1),
        line(150, 740, 'Instructions for Application to Register', True, 14),
        *[line(510, 740 - 12*i, text) for i, text in enumerate(('USCIS', 'Form I-485', 'OMB No. 1615-0023', 'Expires 10/31/2027'))],
        line(42, 650, 'Who May File Form I-485?', True, 12), line(36, 626,
            'You may file if you are in the United States and you take no means-'),
        line(36, 613, 'tested benefits. You need not go abroad, since a person who was')],
    [*stamp('DRAFT', 'NOT FOR', 'PRODUCTION', '02/18/2025'), *footer(2), line(36, 740, 'inspected may stay.'),
        line(36, 718, '1. Bring the'), line(54, 705, 'passport; and'),
        line(36, 692, '2. Sign.'), line(42, 660, 'Where To File?', True, 12), line(36, 640, 'Look at the web page.')]]


def test_pdf_without_stamp_and_furniture():
    doc = read_instructions_pdf(FORM, pdf(TWO_PAGES))
    assert texts(doc) == ['Instructions for Application to Register', 'Who May File Form I-485?',
        'You may file if you are in the United States and you take no means-tested benefits. You need not go abroad, since a person who '
            'was inspected may stay.',
        '1. Bring the passport; and', '2. Sign.', 'Where To File?', 'Look at the web page.']
    assert doc.as_of == '2025-01-20' and doc.section_path == ['Form I-485', 'Instructions',
        'Edition 01/20/25'] and doc.doc_id == 'uscis-forms:i-485-instructions'
    assert doc.paragraphs[3]['id'] == 'Form I-485 Instructions, Who May File Form I-485?#2'
    check_tiling(doc)


def test_pdf_in_two_columns_drawn_in_any_order():
    page = [line(x, 700 - 13*i, f'{side} line {i} goes on') for i in reversed(range(12)) for x, side in ((320, 'right'), (36, 'left'))]
    text = read_instructions_pdf(FORM, pdf([page])).text
    order = re.findall(r'(left|right) line (\d+)', text)
    assert order == [(side, str(i)) for side in ('left', 'right') for i in range(12)]


def test_pdf_encrypted_with_an_empty_password_is_read():
    data = pdf(TWO_PAGES, user='')
    assert b'/Encrypt' in data and b'Where To File?' not in data
    assert read_instructions_pdf(FORM, data).text == read_instructions_pdf(FORM, pdf(TWO_PAGES)).text


def test_pdf_locked_with_a_password_is_rejected():
    with pytest.raises(Reject, match='not a readable PDF'): read_instructions_pdf(FORM, pdf(TWO_PAGES, user='secret'))


@pytest.mark.parametrize('data', [b'', b'%PDF-1.4', b'<html></html>', bytes(range(256)) * 8])
def test_pdf_that_is_none(data):
    with pytest.raises(Reject, match='not a readable PDF'): read_instructions_pdf(FORM, data)


def test_pdf_torn_in_the_middle():
    data = pdf(TWO_PAGES)
    try: doc = read_instructions_pdf(FORM, data[:len(data) // 2])
    except Reject as e: assert e.reason
    else: check_tiling(doc)


def test_pdf_of_pictures_is_rejected():
    with pytest.raises(Reject, match='PDF without text'): read_instructions_pdf(FORM, pdf([[]]))


def test_text_twin_has_the_same_key():
    twin = replace(FORM, path='uscis-forms/i-485instr.txt', media_type='text/plain', as_of='2026-06-01')
    lines = ['Draft', 'Not for ', 'Production', '02/21/2025', 'USCIS', ' Form I-485', 'OMB No. 1615-0023', 'Expires 10/31/2027',
        'Who May File Form I-485?',
        'You may file if you are in the United States and take no means-', 'tested benefits.',
            'V AWA self-petitioners: Y ou sign your own form.']
    doc = read_instructions_text(twin, '\n'.join(lines).encode())
    assert (doc.doc_id, doc.citation, doc.as_of) == ('uscis-forms:i-485-instructions', 'Form I-485 Instructions', '2026-06-01')
    assert texts(doc) == ['Who May File Form I-485?', 'You may file if you are in the United States and take no means-tested benefits.',
        'VAWA self-petitioners: You sign your own form.']
    check_tiling(doc)


def test_alert_number_raised_and_note_below():
    raw = replace(FORM, path='uscis-forms/alert.txt', media_type='text/plain')
    lines = ['December 19, 2022 PA-2022-27', 'Policy Alert', 'SUBJECT: Public Charge', 'Background',
        'The rule says what the agency means by the words that the statute uses and does not define.', '1',
        'It takes effect on the day after.', '2 For', 'cases filed before, the old guidance goes on.', 'Policy Highlights', '1 See 8 CFR 212.21(a).', '2 See 64 FR 28689.',
        '• Describes the rule.']
    doc = read_alert_text(raw, '\n'.join(lines).encode())
    assert [p['id'] for p in doc.paragraphs if p['kind'] == 'note'] == ['PA-2022-27, n. 1', 'PA-2022-27, n. 2']
    assert all(p['ref'].startswith('PA-2022-27, Background') for p in doc.paragraphs if p['kind'] == 'note')
    assert 'after. For cases filed before' in doc.text and texts(doc)[-1] == '• Describes the rule.'
    check_tiling(doc)


def test_alert_goes_on_behind_the_foot_of_a_page():
    raw = replace(FORM, path='uscis-forms/alert.txt', media_type='text/plain')
    lines = ['December 19, 2022 PA-2022-27', 'Policy Alert', 'SUBJECT: Public Charge', 'Background', 'It takes effect on the day after.1',
        'Policy Highlights', '1 See 8 CFR 212.21(a).', 'To say what you think of it, write to the office.', 'PA-2022-27: Public Charge', 'Page: 2',
        'It tells officers what to look at.']
    doc = read_alert_text(raw, '\n'.join(lines).encode())
    ids = [p['id'].removeprefix('PA-2022-27') for p in doc.paragraphs]
    assert ids[-5:] == [', Background#1', ', n. 1', ', Policy Highlights', ', Policy Highlights#1', '#1']
    assert doc.paragraphs[-1]['kind'] == 'note' and doc.paragraphs[-4]['ref'] == 'PA-2022-27, Background#1'


def test_instructions_of_an_extraction_with_torn_words_and_glued_items():
    raw = replace(FORM, path='uscis-forms/i-9instr.txt', media_type='text/plain')
    wide = 'Give the name that stands in the birth certificate of your kin, or another paper of the same kind that you have.'
    lines = ['Part 1. About Y ou', wide, 'Item Number 1. Name. Give the whole name of your kin', 'Item Number 2. Y our Date of Birth.',
        'T ype or print it as you type your own name . ' + wide, 'Mailing Address. Give the one that you use.',
        'Part 2. Contact Information, Declaration, Certification, and Signature of the Person Preparing This Form, if Other Than the',
        'Sponsor Alone', wide, 'AND', '2. ALL of this is true of you:']
    doc = read_instructions_text(raw, '\n'.join(lines).encode())
    got = texts(doc)
    assert [t[:6] for t in got] == ['Part 1', 'Give t', 'Item N', 'Item N', 'Type o', 'Mailin', 'Part 2', 'Give t', 'AND', '2. ALL']
    assert 'Type or print it as you type your own name.' in doc.text and 'Your Date' in doc.text and doc.coverage == 1.0
    assert [p['level'] for p in doc.paragraphs if p['kind'] == 'heading'] == [2, 2] and got[-2:] == ['AND', '2. ALL of this is true of you:']


# --- whole stores

STORES = [sample_store()] + ([Path(os.environ['IMMIG_STORE'])] if os.environ.get('IMMIG_STORE') else [])


@pytest.mark.parametrize('store', STORES, ids=lambda s: s.name)
def test_every_chapter_and_instruction_of_a_store(store):
    count = {'manual': 0, 'forms': 0}
    for raw in read_store(store):
        text = raw.media_type == 'text/plain'
        if raw.source_id == 'uscis-policy-manual' and text: kind, read, floor = 'manual', read_manual_text, 0.98
        elif raw.source_id == 'uscis-forms' and form_name(raw.path):
            kind, read, floor = 'forms', read_instructions_text if text else read_instructions_pdf, 0.95
        else: continue
        doc = read(raw, read_bytes(store, raw)); count[kind] += 1
        check_tiling(doc)
        assert doc.coverage >= floor, raw.path
        assert not re.search(r'not for\s+(?:re)?production|^OMB No\.|Page \d+ of \d+|\[\^', doc.text, re.I | re.M), raw.path
        assert re.fullmatch(r'\d{4}-\d\d-\d\d', doc.as_of) and doc.as_of != '2027-10-31'
    assert min(count.values()) > 0


@pytest.mark.skipif(len(STORES) < 2, reason='IMMIG_STORE is not set: the real store is not on this machine')
def test_manual_places_of_the_real_store():
    found = {}
    for name in ('volume-1-part-e-chapter-6.txt', 'volume-12-part-d-chapter-2.txt', 'policy-manual-vol8-partB-ch4-medical.txt'):
        raw = next(r for r in read_store(STORES[-1]) if r.path.endswith(f'/{name}'))
        doc = read_manual_text(raw, read_bytes(STORES[-1], raw))
        found |= {p['id']: (p['kind'], doc.text[p['start']:p['end']]) for p in doc.paragraphs}
    assert found['1 USCIS-PM E.6(G)(2)#4'][0] == found['12 USCIS-PM D.2(C)(2)#5'][0] == 'heading'
    assert '8 USCIS-PM B.4, Updates#2' in found and '8 USCIS-PM B.4, Resources#17' not in found
    assert not {'Read More', 'Previous', 'Next', '0'} & {text for _, text in found.values()}


def place(name, end):
    "Text at the place of the real store's instructions or form `name` whose id ends in `end`."
    raw = next(r for r in read_store(STORES[-1]) if r.path.endswith(f'/{name}'))
    read = read_form_pdf if not form_name(raw.path) else read_instructions_pdf if name.endswith('pdf') else read_instructions_text
    doc = read(raw, read_bytes(STORES[-1], raw))
    return next(doc.text[p['start']:p['end']] for p in doc.paragraphs if p['id'].endswith(end))


@pytest.mark.skipif(len(STORES) < 2, reason='IMMIG_STORE is not set: the real store is not on this machine')
@pytest.mark.parametrize('name, end, begins', [
    ('i-864instr.txt', 'Part 3. Information About the Principal Immigrant#6', 'Item Number 5.'),
    ('i-864instr.txt', 'if Other Than the Sponsor#1', 'Item Numbers 1. - 6.'),
    ('i-864instr.txt', 'Size#4', 'Item Number 3. Type or'),
    ('i-864ainstr.txt', 'Household Member)#7', 'Item Number 8.'),
    ('i-485supainstr.txt', 'Using Supplement A?#13', '2. ALL of'),
    ('i-130instr.pdf', 'Form I-130?#15', '3. If you'),
    ('i-130instr.pdf', 'Where To File?#6', 'Alaska, American Samoa, Arizona,'),
    ('i-130instr.pdf', 'Where To File?#17', 'USCIS PO Box'),
    ('i-821instr.pdf', 'Children (if any)#1', 'Item Numbers 1.a.'),
    ('i-765instr.pdf', 'Spouses and Children)#11', '6. Asylum and'),
    ('g-28.pdf', 'Part 4. Item 1.b#1', 'NOTE: If your notice'),
])
def test_places_of_the_real_store(name, end, begins): assert place(name, end).startswith(begins)
