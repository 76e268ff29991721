"""Spellings of citations, one row each: text and the normal forms that must be found in it, in order."""
import pytest

from immig_research.citations import index_documents, ina_to_usc, normalize_citation, parse_citations, resolve, usc_to_ina
from immig_research.records import BadInput, Document

SPELLINGS = [
    # 8 CFR
    ('8 CFR 245.1', ['8 CFR 245.1']),
    ('8 CFR 245.1(a)', ['8 CFR 245.1(a)']),
    ('See 8 C.F.R. § 245.1(c)(2)(i).', ['8 CFR 245.1(c)(2)(i)']),
    ('8 C.F.R. 103.2(a)(7)(ii)(A)', ['8 CFR 103.2(a)(7)(ii)(A)']),
    ('8 C. F. R. §214.2(h)(4)(iii)(A)(1)', ['8 CFR 214.2(h)(4)(iii)(A)(1)']),
    ('8 CFR section 274a.12(c)(9)', ['8 CFR 274a.12(c)(9)']),
    ('8 CFR part 103', ['8 CFR 103']),
    ('8 CFR 232.', ['8 CFR 232']),
    ('8 CFR parts 204 and 245', ['8 CFR 204', '8 CFR 245']),
    ('8 CFR 316.2(a)(6) and 8 CFR 316.5(c)(1)', ['8 CFR 316.2(a)(6)', '8 CFR 316.5(c)(1)']),
    ('8 CFR 316.2(a)(6) and 316.5(c)(1)(ii)', ['8 CFR 316.2(a)(6)', '8 CFR 316.5(c)(1)(ii)']),
    ('8 CFR §§ 1003.1(b), 1003.3', ['8 CFR 1003.1(b)', '8 CFR 1003.3']),
    ('8 CFR 274a.12(a)(16) or (c)(25)', ['8 CFR 274a.12(a)(16)', '8 CFR 274a.12(c)(25)']),
    ('8 CFR 245.1 within 30 days', ['8 CFR 245.1']),
    ('8 CFR 204.5 and 90 days later', ['8 CFR 204.5']),
    ('part 213a of Title 8 of the Code of Federal Regulations', ['8 CFR 213a']),
    ('Title 8, Code of Federal Regulations, section 292.1(a)(3)', ['8 CFR 292.1(a)(3)']),
    ('42 CFR 34', ['42 CFR 34']),
    # U.S. Code
    ('8 U.S.C. 1182', ['8 U.S.C. 1182']),
    ('8 U.S.C. § 1182(a)(9)(B)(i)(II)', ['8 U.S.C. 1182(a)(9)(B)(i)(II)']),
    ('8 USC 1229b(b)(1)', ['8 U.S.C. 1229b(b)(1)']),
    ('8 U. S. C. §1158(a)(2)', ['8 U.S.C. 1158(a)(2)']),
    ('8 U.S.C.A. § 1101', ['8 U.S.C. 1101']),
    ('8 U.S.C. section 1324a', ['8 U.S.C. 1324a']),
    ('8 U.S.C. 1440-1', ['8 U.S.C. 1440-1']),
    ('8 U.S.C. §§ 1421 and 1427(a)', ['8 U.S.C. 1421', '8 U.S.C. 1427(a)']),
    ('8 U.S.C. 1182(a)(2)(A) and (B)', ['8 U.S.C. 1182(a)(2)(A)', '8 U.S.C. 1182(a)(2)(B)']),
    ('8 U.S.C. 1427 and 2020', ['8 U.S.C. 1427']),
    ('28 U.S.C. 2241', ['28 U.S.C. 2241']),
    ('Title 8, United States Code, Section 1255(i)', ['8 U.S.C. 1255(i)']),
    ('section 1182(a)(2) of this title', ['8 U.S.C. 1182(a)(2)']),
    ('sections 1182(a)(2), 1227(a)(2), or 1227(a)(3) of this title', ['8 U.S.C. 1182(a)(2)', '8 U.S.C. 1227(a)(2)', '8 U.S.C. 1227(a)(3)']),
    ('section 1101(a)(15)(H)(i)(b) or (ii)(a) of this title', ['8 U.S.C. 1101(a)(15)(H)(i)(b)', '8 U.S.C. 1101(a)(15)(H)(ii)(a)']),
    ('subparagraph (F), (J), or (M) of section 1101(a)(15) of this title', ['8 U.S.C. 1101(a)(15)']),
    ('section 1229a of this title .', ['8 U.S.C. 1229a']),
    ('section 552a of title 5', ['5 U.S.C. 552a']),
    # the Act
    ('INA 212(a)(9)(B)', ['INA 212(a)(9)(B)']),
    ('INA § 212(a)(9)(B)', ['INA 212(a)(9)(B)']),
    ('INA §212(a)', ['INA 212(a)']),
    ('I.N.A. § 208', ['INA 208']),
    ('INA section 245(i)', ['INA 245(i)']),
    ('INA Sec. 240A(b)', ['INA 240A(b)']),
    ('INA sections 245(a), (c), (d), and/or (e)', ['INA 245(a)', 'INA 245(c)', 'INA 245(d)', 'INA 245(e)']),
    ('INA 316(a) and 319', ['INA 316(a)', 'INA 319']),
    ('INA 328 and 329', ['INA 328', 'INA 329']),
    ('INA Sections 245A or 210', ['INA 245A', 'INA 210']),
    ('INA sections 212(a)(2)(A-C)', ['INA 212(a)(2)(A)', 'INA 212(a)(2)(B)', 'INA 212(a)(2)(C)']),
    ('INA 101(a)(15)(F), (J), or (M)', ['INA 101(a)(15)(F)', 'INA 101(a)(15)(J)', 'INA 101(a)(15)(M)']),
    ('INA 245 and 180 days of status', ['INA 245']),
    ('section 245(a) of the Act', ['INA 245(a)']),
    ('sections 201 through 203 of the Act', ['INA 201', 'INA 203']),
    ('Section 213A of the INA', ['INA 213A']),
    ('section 101(a)(27)(C) of the Immigration and Nationality Act', ['INA 101(a)(27)(C)']),
    ('Immigration and Nationality Act § 316', ['INA 316']),
    ('section 7 of the Act of March 2, 1931', []),
    # Policy Manual
    ('12 USCIS-PM D.3(C)', ['12 USCIS-PM D.3(C)']),
    ('[12 USCIS-PM G]', ['12 USCIS-PM G']),
    ('8 USCIS-PM B.4(C)(3)', ['8 USCIS-PM B.4(C)(3)']),
    ('12 USCIS–PM D.5(A)(4)', ['12 USCIS-PM D.5(A)(4)']),
    ('9 USCIS-PM - Volume 9', ['9 USCIS-PM']),
    ('Volume 7, Part A, Chapter 6', ['7 USCIS-PM A.6']),
    ('Volume 9, Waivers and Other Forms of Relief, Part D, Health-Related Grounds', ['9 USCIS-PM D']),
    # decisions and the Federal Register
    ('Matter of A-B-, 27 I&N Dec. 316 (A.G. 2018)', ['27 I&N Dec. 316']),
    ('19 I. & N. Dec. 749', ['19 I&N Dec. 749']),
    ('16 I & N Dec. 558, 560 (BIA 1978)', ['16 I&N Dec. 558']),
    ('28 I&N Dec. at 307', ['28 I&N Dec. 307']),
    ('89 FR 6194', ['89 Fed. Reg. 6194']),
    ('84 Fed. Reg. 41,292 (Aug. 14, 2019)', ['84 Fed. Reg. 41292']),
    # forms
    ('Form I-485', ['Form I-485']),
    ('(Form N-400)', ['Form N-400']),
    ('Form I\u2013129CW', ['Form I-129CW']),
    ('Forms I-130 and I-485', ['Form I-130', 'Form I-485']),
    ('I-864EZ, G-1055, EOIR-26 and DS-260', ['Form I-864EZ', 'Form G-1055', 'Form EOIR-26', 'Form DS-260']),
    ('Form I-9', ['Form I-9']),
    ('Form I-485 Supplement A', ['Form I-485 Supplement A']),
    ('Form I-485, edition date 01/20/25', ['Form I-485, edition 2025-01-20']),
    ('Form I-130 (edition 04/01/2024)', ['Form I-130, edition 2024-04-01']),
    ('a G-4 or N-8 nonimmigrant with H-1B status', []),
    # nothing at all
    ('5 years, 212 days and section heads', []),
]


@pytest.mark.parametrize('text, normal', SPELLINGS, ids=[t for t, _ in SPELLINGS])
def test_spelling(text, normal):
    found = parse_citations(text)
    assert [c.normal for c in found] == normal
    assert all(text[c.start:c.end] == c.text for c in found)


@pytest.mark.parametrize('text, normal', SPELLINGS, ids=[t for t, _ in SPELLINGS])
def test_spelling_amid_prose(text, normal):
    padded = f'The officer relied on {text}, as the applicant knew.'
    assert [c.normal for c in parse_citations(padded)] == normal


def test_normal_form_is_a_fixed_point():
    forms = {n for _, many in SPELLINGS for n in many}
    assert {normalize_citation(n) for n in forms} == forms


def test_crosswalk_goes_both_ways():
    assert ina_to_usc('INA 240A(b)(1)') == '8 U.S.C. 1229b(b)(1)'
    assert usc_to_ina('8 U.S.C. 1255(i)') == 'INA 245(i)'
    assert usc_to_ina('8 U.S.C. 1601') is None
    with pytest.raises(BadInput, match='is wanted'): ina_to_usc('8 CFR 245.1')


def document(citation, ids):
    text = '\n\n'.join(f'text of {i}' for i in ids)
    starts = [text.index(f'text of {i}\n' if k < len(ids) - 1 else f'text of {i}') for k, i in enumerate(ids)]
    return Document(f'doc:{citation}', citation, text, citation=citation,
        paragraphs=[dict(id=i, start=s, end=s + len(f'text of {i}'), kind='text') for i, s in zip(ids, starts, strict=True)])


INDEX = index_documents([
    document('8 U.S.C. 1182', ['8 U.S.C. 1182(a)', '8 U.S.C. 1182(a)(9)', '8 U.S.C. 1182(a)(9)(A)', '8 U.S.C. 1182(a)(9)(B)',
        '8 U.S.C. 1182(b)']),
    document('8 U.S.C. 1182d', ['8 U.S.C. 1182d(a)']),
    document('12 USCIS-PM D.3', ['12 USCIS-PM D.3(C)(1)', '12 USCIS-PM D.3(C)(1)#1', '12 USCIS-PM D.3, n. 15', '12 USCIS-PM D.3(C)(2)']),
    document('Form I-485 Instructions', ['Form I-485 Instructions, Who May File Form I-485?',
        'Form I-485 Instructions, Who May File Form I-485?#1']),
])


@pytest.mark.parametrize('citation, first, last', [
    ('8 U.S.C. 1182(a)(9)', '8 U.S.C. 1182(a)(9)', '8 U.S.C. 1182(a)(9)(B)'),
    ('INA 212(a)(9)(B)', '8 U.S.C. 1182(a)(9)(B)', '8 U.S.C. 1182(a)(9)(B)'),
    ('12 USCIS-PM D.3(C)', '12 USCIS-PM D.3(C)(1)', '12 USCIS-PM D.3(C)(2)'),
    ('12 USCIS-PM D.3, n. 15', '12 USCIS-PM D.3, n. 15', '12 USCIS-PM D.3, n. 15'),
    ('Form I-485 Instructions, Who May File Form I-485?', 'Form I-485 Instructions, Who May File Form I-485?',
        'Form I-485 Instructions, Who May File Form I-485?#1'),
])
def test_resolve(citation, first, last):
    doc_id, start, end = resolve(citation, INDEX)
    doc = next(d for d in INDEX.values() if d.doc_id == doc_id)
    assert doc.text[start:end].startswith(f'text of {first}') and doc.text[start:end].endswith(f'text of {last}')


def test_resolve_whole_documents_and_nothing():
    assert resolve('8 U.S.C. 1182d', INDEX)[0] == 'doc:8 U.S.C. 1182d'
    assert resolve('Form I-485, edition 2025-01-20', INDEX)[0] == 'doc:Form I-485 Instructions'
    for absent in ('8 U.S.C. 1182(c)', '8 U.S.C. 118', '12 USCIS-PM D', '8 CFR 245.1', 'INA 999', 'no citation at all'):
        assert resolve(absent, INDEX) is None
