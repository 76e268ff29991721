"Edge cases of the rules generator that would bore a reader of the notebook."
import json
import subprocess
import sys

import pytest

from immig_research.clauses import is_plural, main_clause, tidy
from immig_research.filters import fault
from immig_research.frame import plain_words
from immig_research.generate import RULES, generate_rules
from immig_research.records import Chunk, Document
from immig_research.statements import Statement, statements
from immig_research.wording import dangling, fold, plain_heading, resolve_references, split_sentences


def document(lines, citation='8 U.S.C. 1999', source_type='statute', **more):
    "A document from (id suffix, kind, text) lines."
    text, paras = '', []
    for pid, kind, line in lines:
        text += '\n\n' * bool(text)
        paras.append(dict(id=citation + pid, start=len(text), end=len(text) + len(line), kind=kind))
        text += line
    return Document('demo', more.pop('title', 'Waiver of fees'), text, source_type=source_type, citation=citation, paragraphs=paras, **more)


@pytest.mark.parametrize('text, sentences', [
    ('He left the U.S. The officer denied it.', 2),
    ('See 8 U.S.C. 1101(a) and No. 5 of it.', 1),
    ('Under Matter of X, 19 I&N Dec. 749 (BIA 1988). It holds.', 2),
    ('Complete Item Number 3. in Part 2. if it applies.', 1),
    ('He said “no.” She agreed.', 2),
    ('One line without an end', 1),
    ('', 0),
    ('It began in 1996. The law changed.', 2),
])
def test_sentences_are_cut_where_they_end(text, sentences):
    assert len(split_sentences(text)) == sentences


def test_sentence_offsets_give_back_the_text():
    text = '  One.  Two [15] three. [16] Four? '
    assert [text[b:e].strip() for b, e in split_sentences(text)] == ['One.', 'Two [15] three. [16]', 'Four?']


@pytest.mark.parametrize('said, meant', [
    ('this section', '8 U.S.C. 1255'),
    ('subsection (a)', '8 U.S.C. 1255(a)'),
    ('subsection (a) of this section', '8 U.S.C. 1255(a)'),
    ('paragraph (2)', '8 U.S.C. 1255(c)(2)'),
    ('subparagraph (A) or (B)', '8 U.S.C. 1255(c)(1)(A) or (B)'),
    ('this paragraph', '8 U.S.C. 1255(c)(1)'),
    ('section 1182(a)(2) of this title', '8 U.S.C. 1182(a)(2)'),
    ('paragraph (2) or (3) of section 1182(a) of this title', '8 U.S.C. 1182(a)(2) or (3)'),
    ('section 16 of title 18', '18 U.S.C. 16'),
    ('clause (ii) of subparagraph (B)', '8 U.S.C. 1255(c)(1)(B)(ii)'),
    ('paragraph (1) of such section', 'paragraph (1) of such section'),
    ('section 309 of the Illegal Immigration Act', 'section 309 of the Illegal Immigration Act'),
    ('this chapter', 'the Immigration and Nationality Act'),
])
def test_references_are_written_out(said, meant):
    assert resolve_references(said, '8 U.S.C. 1255(c)(1)') == meant


def test_what_cannot_be_known_is_left():
    assert resolve_references('clause (i)', '8 U.S.C. 1255(c)') == 'clause (i)'
    assert dangling('clause (i)') == 'clause ('
    assert resolve_references('this chapter', '8 U.S.C. 1773') == 'this chapter' # Chapter 15 of title 8 is another act


@pytest.mark.parametrize('text, found', [
    ('An alien may file if such alien is present.', ''),
    ('Such evidence is enough.', 'Such evidence'),
    ('This provision is retroactive.', 'This provision'),
    ('The fee described above is due.', 'described above'),
    ('Documents such as a passport are enough.', ''),
    ('If a visa is refused, the officer notes that visa.', ''),
    ('The officer notes that visa.', 'that visa'),
    ('In this country, an alien may work.', ''),
])
def test_what_points_elsewhere(text, found):
    assert dangling(text) == found


@pytest.mark.parametrize('sentence, subject, aux, negative', [
    ('An alien who is present and has applied may work.', 'An alien who is present and has applied', 'may', False),
    ('Any alien who at any time after admission is convicted of fraud is deportable.', 'Any alien who at any time after admission is convicted of fraud', 'is', False),
    ('No court shall have jurisdiction.', 'No court', 'shall', True),
    ('If a form is late, USCIS rejects it.', 'USCIS', 'does', False),
    ('Notwithstanding subsection (a), the Secretary may not waive it.', 'the Secretary', 'may', True),
    ('The Secretary (in consultation with those who may object) may decide.', 'The Secretary (in consultation with those who may object)', 'may', False),
])
def test_sentences_are_taken_apart(sentence, subject, aux, negative):
    clause = main_clause(sentence)
    assert (clause.subject, clause.aux, clause.negative) == (subject, aux, negative)


@pytest.mark.parametrize('sentence', ['', 'See 8 CFR 316.5.', 'Aliens in the United States', 'and may file', '(1)', 'if he is'])
def test_what_cannot_be_taken_apart_is_none(sentence):
    assert main_clause(sentence) is None


def test_plurals_headings_acronyms():
    assert is_plural('applicants') and not is_plural('the status of aliens') and not is_plural('USCIS')
    assert plain_heading('2. Form N-470 and the United States') == 'Form N-470 and the United States'
    assert plain_words('Does an LPR need an RFE, and may the LPR wait?').count('(LPR)') == 1
    assert tidy('the fee ; and') == 'The fee.'
    assert fold('a “b” – c [^ 3]') == 'a "b" - c'


STATUTE = document([('', 'heading', '§ 1999. Waiver of fees'), ('(a)', 'heading', '(a) In general'),
    ('(a)#2', 'text', 'The Secretary of Labor may waive the fee for an application under this section if the applicant'),
    ('(a)(1)', 'text', '(1) is under 18 years of age; and'), ('(a)(2)', 'text', '(2) is unable to pay.'),
    ('(b)', 'heading', '(b) Deadline for requests'), ('(b)#2', 'text', 'An applicant shall request the waiver within 30 days after the filing of the application.'),
    ('(c)', 'text', '(c) Such decision is final. See paragraph (9).')], license_note='public domain', as_of='2026-01-01')


def test_a_statute_gives_a_list_a_deadline_and_no_riddles():
    rejects = []
    pairs = list(generate_rules(STATUTE, rejects=rejects))
    by_type = {p.answer_type: p for p in pairs}
    assert '(1) is under 18' in by_type['condition'].answer and '(2) is unable to pay' in by_type['condition'].answer
    assert '8 U.S.C. 1999' in by_type['condition'].answer
    assert by_type['deadline'].question.lower().startswith(('under ', 'within', 'by when', 'according to'))
    assert not any('Such decision' in p.answer for p in pairs)
    assert all(set(r) == {'doc_id', 'start', 'end', 'rule', 'reason', 'question'} for r in rejects)


def test_every_pair_is_exact_dated_and_licensed():
    for p in generate_rules(STATUTE):
        assert STATUTE.text[p.span_start:p.span_end] == p.source_span
        assert (p.as_of, p.license, p.source_doc_id) == ('2026-01-01', 'public domain', 'demo')
        assert p.qa_id.startswith('qa-') and len(p.qa_id) == 15


def test_chunks_name_the_place():
    half = STATUTE.text.index('(b) Deadline')
    chunks = [Chunk('c:0', 'demo', 0, half, ''), Chunk('c:1', 'demo', half, len(STATUTE.text), '')]
    assert {p.chunk_id for p in generate_rules(STATUTE, chunks)} == {'c:0', 'c:1'}


def test_limits_hold():
    assert len(list(generate_rules(STATUTE, per_statement=1))) <= len(list(statements(STATUTE)))


def test_a_form_is_asked_in_the_first_person():
    form = document([(', Lost Cards', 'heading', 'Lost Cards'), (', Lost Cards#1', 'text', 'You must submit a police report with this application within 30 days of the theft of your card. '
        'We may reject your application without one.')], 'Form I-90 Instructions', 'form_instructions', title='Form I-90 Instructions')
    pair = next(p for p in generate_rules(form) if p.rule == 'permission')
    assert 'must I submit a police report' in pair.question and 'theft of my card' in pair.question and 'Form I-90' in pair.question
    assert 'with Form I-90' in pair.answer and pair.generation_mode == 'form'
    assert all('We ' not in p.answer for p in generate_rules(form))


def test_examples_notes_and_empty_documents_give_nothing():
    manual = document([('(A)', 'heading', 'Example'), ('(A)#1', 'text', 'An applicant must wait for 5 years.'), ('#n1', 'note', 'An applicant may appeal.')],
        '12 USCIS-PM Z.1', 'policy_manual', section_path=['Volume 12', 'Part Z', 'Chapter 1'])
    assert list(generate_rules(manual)) == [] and list(generate_rules(document([]))) == []


def test_rules_survive_any_text():
    odd = ['', '(', ')))', '"', 'If', 'If if if, the the may', '| a |', '∎ §', 'who who who may may', '(1)', 'A' * 3000, 'the ' * 400 + 'may go.']
    lines = [(f'({c})', kind, t) for c, t in zip('abcdefghijkl', odd) for kind in ('text', 'heading', 'table')]
    for source in ('statute', 'policy_manual', 'form_instructions'):
        doc = document(lines, {'statute': '8 U.S.C. 1', 'policy_manual': '12 USCIS-PM A.1', 'form_instructions': 'Form I-90 Instructions'}[source], source)
        for p in generate_rules(doc): assert doc.text[p.span_start:p.span_end] == p.source_span


def test_the_same_text_gives_the_same_pairs_in_another_process():
    code = '''import json
from tests.test_generate import STATUTE
from immig_research.generate import generate_rules
print(json.dumps([p.to_row() for p in generate_rules(STATUTE)], sort_keys=True))'''
    import pathlib
    root = pathlib.Path(__file__).parent.parent
    runs = [subprocess.run([sys.executable, '-c', code.replace('from tests.test_generate', 'import sys; sys.path.insert(0, "tests")\nfrom test_generate')], cwd=root,
        capture_output=True, text=True, env={'PYTHONHASHSEED': seed, 'PATH': '', 'PYTHONPATH': str(root)}, check=True).stdout for seed in ('1', '2')]
    assert runs[0] == runs[1] and json.loads(runs[0])


@pytest.mark.parametrize('question, answer, said', [
    ('Under USCIS policy, must an applicant for a waiver pay a fee?', 'Yes. The applicant must pay a fee.', ''),
    ('For Form I-485, what must I do if I am married?', 'Select Item Number 1.b. if you are married.', 'without its part'),
    ('What must I submit with Form I-485 to prove my marriage?', 'Certificate number; - Date of the marriage; - Place.', 'fragment'),
    ('Under USCIS policy, may an NIW physician work at a clinic?', 'Yes. An NIW physician may work at a clinic.', 'NIW'),
    ('Under USCIS policy, must an applicant submit the documents?', 'Yes. You must submit the documents below.', 'above or below'),
    ('Under USCIS policy, must USCIS use their A-Number here?', 'Yes. USCIS uses their A-Number to identify records.', 'pronoun'),
])
def test_what_needs_its_page_is_turned_down(question, answer, said):
    fault_said = fault(question, answer, Statement(answer, answer, 0, 0, '12 USCIS-PM A.1', '', 'policy_manual'))
    assert said in fault_said and bool(said) == bool(fault_said)


def test_rules_have_names_of_their_own():
    assert len({r.__name__ for r in RULES}) == len(RULES) and all(r.__name__.endswith('_rule') for r in RULES)
