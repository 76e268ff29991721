"Edge cases of the typed facts."
import pytest

from immig_research.facts import KINDS, compare_facts, extract_facts, parse_number, same_fact
from immig_research.records import BadInput


def values(text, *kinds): return [(f.kind, f.value, f.unit) for f in extract_facts(text, kinds or KINDS)]


@pytest.mark.parametrize('text, value, unit', [
    ('five years', '5', 'year'), ('a 5-year period', '5', 'year'), ('one hundred eighty days', '180', 'day'),
                                               ('one hundred and eighty days', '180', 'day'), ('ninety (90) days', '90', 'day'),
    ('not less than two years', '2', 'year'), ('the 180th day', '180', 'day'), ('ten consecutive business days', '10', 'business day'),
                                               ('twenty-four months', '24', 'month'), ('within a year', '1', 'year'),
    ('twelve weeks', '12', 'week'), ('7.7 years', '7.7', 'year'), ('a six-month stay', '6', 'month')])
def test_durations(text, value, unit): assert values(text, 'duration') == [('duration', value, unit)]


@pytest.mark.parametrize('text, value', [('$1,440', '1440.00'), ('$ 85', '85.00'), ('$85.50', '85.50'), ('US$30', '30.00'),
                                         ('fifty dollars', '50.00'), ('$1.05 million', '1050000.00'), ('$800 thousand', '800000.00')])
def test_money(text, value): assert values(text, 'money') == [('money', value, 'USD')]


@pytest.mark.parametrize('text, value', [('under 21 years of age', '21'), ('at least 18 years old', '18'), ('age 14', '14'),
                                         ('children under 21', '21'), ('50 or older', '50'), ('her 16th birthday', '16'),
                                         ('a 21-year-old', '21')])
def test_ages(text, value): assert values(text, 'age') == [('age', value, 'year')]


@pytest.mark.parametrize('text', ['one of them', 'Part 3', 'section 5', '(2) the alien', 'page 12 of 42', 'no one', 'the second time',
                                  'H-1B', 'an F-1 student', 'Volume 7', 'chapter 4', 'Class 3'])
def test_labels_are_no_counts(text): assert values(text, 'count') == ([] if text != 'page 12 of 42' else [('count', '42', '')])


@pytest.mark.parametrize('a, b, same', [
    ('1 year', '12 months', True), ('24 hours', '1 day', True), ('180 days', '6 months', False), ('365 days', '1 year', False),
                                        ('2 weeks', '14 days', True), ('10 business days', '10 days', False),
    ('November 2009', 'November 28, 2009', True), ('November 28, 2009', 'November 29, 2009', False),
                                        ('INA § 212(a)(2)', '8 U.S.C. 1182(a)(2)', True), ('8 U.S.C. 1182', '8 U.S.C. 1182(a)(2)', True),
    ('8 U.S.C. 1182(a)(2)', '8 U.S.C. 1182(a)(9)', False), ('8 U.S.C. 1182(a)(1)', '8 U.S.C. 1182(a)(10)', False),
                                        ('Form I-130', 'an I-130', True), ('I-130', 'I-140', False), ('125 percent', '125%', True),
    ('$1,050,000', '$1.05 million', True), ('is not eligible', 'is ineligible', True), ('must not file', 'may not file', True),
                                        ('may file', 'cannot file', False), ('50 years of age', '50 years', True)])
def test_same(a, b, same): assert same_fact(extract_facts(a)[0], extract_facts(b)[0]) is same


@pytest.mark.parametrize('ref, bad', [('The fee is $85.', 'The fee is $95.'), ('File within 180 days of entry.', 'File within 365 days of '
                                                            'entry.'), ('Use Form I-130.', 'Use Form I-140.'),
                                      ('Income of 125 percent is enough.', 'Income of 150 percent is enough.'),
    ('You must be at least 18 years old.', 'You must be at least 21 years old.'),
                                      ('It begins on May 5, 2011.', 'It begins on May 6, 2011.'),
                                      ('The officer must approve it.', 'The officer must not approve it.'),
                                      ('Bring 3 copies of it.', 'Bring 2 copies of it.')])
def test_contradictions(ref, bad):
    assert compare_facts(ref, bad).contradicted and not compare_facts(ref, ref).contradicted and not compare_facts(ref, ref).missing


def test_offsets_order_and_no_overlap():
    text = ('On Nov. 28, 2009, İ paid $85 (ninety-five percent) for Form I-90 under 8 CFR 264.5(b) within 30 or 60 days; 65,000 visas. '
            'You may not file at age 17.\n') * 3
    facts = extract_facts(text)
    assert all(text[f.start:f.end] == f.text for f in facts) and facts == sorted(facts, key=lambda f: f.start)
    hard = [f for f in facts if f.kind != 'polarity']
    assert all(a.end <= b.start for a, b in zip(hard, hard[1:])) and {f.kind for f in facts} == set(KINDS)


@pytest.mark.parametrize('text', ['', ' ', '§', '$', '8 U.S.C.', '((((', 'one ' * 2000, '1' * 3000, 'twenty ' * 500, 'May ' * 500,
                                  '\x00\ufffd', 'İ' * 100])
def test_odd_text_is_read_in_time(text): assert isinstance(extract_facts(text), list)


def test_bad_number():
    with pytest.raises(BadInput, match='not a number'): parse_number('several')
