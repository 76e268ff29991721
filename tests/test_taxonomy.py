"""The fourteen strata: names, tables and telling phrases, one row each."""
import pytest

from immig_research.records import BadInput
from immig_research.taxonomy import SUBDOMAINS, classify, explain, subdomain_of

PLACES = [
    ('8 U.S.C. 1158', 'asylum'), ('8 U.S.C. 1255(i)', 'adjustment of status'), ('8 U.S.C. 1159(b)', 'adjustment of status'),
    ('8 U.S.C. 1182(a)(2)(A)', 'admissibility'), ('8 U.S.C. 1182(n)(1)', 'nonimmigrant visas'), ('8 U.S.C. 1182(d)(5)(A)', 'humanitarian'),
    ('8 U.S.C. 1182(d)(51)', 'admissibility'), ('8 U.S.C. 1427(a)', 'naturalization'), ('8 U.S.C. 1440-1', 'naturalization'),
    ('8 U.S.C. 1227(a)', 'removal'), ('8 U.S.C. 1229a(b)', 'removal'), ('8 U.S.C. 1229a(c)(7)(A)', 'appeals'),
        ('8 U.S.C. 1252(a)', 'appeals'),
    ('8 U.S.C. 1252c', 'removal'), ('8 U.S.C. 1184(c)', 'nonimmigrant visas'), ('8 U.S.C. 1187', 'nonimmigrant visas'),
    ('8 U.S.C. 1101(a)(15)(H)(i)', 'nonimmigrant visas'), ('8 U.S.C. 1101(a)(42)', 'asylum'), ('8 U.S.C. 1153(b)(5)', 'employment-based'),
    ('8 U.S.C. 1153(a)', 'family-based immigration'), ('8 U.S.C. 1154(b)', 'family-based immigration'),
        ('8 U.S.C. 1186a', 'family-based immigration'),
    ('8 U.S.C. 1186b', 'employment-based'), ('8 U.S.C. 1183a(a)', 'family-based immigration'),
        ('8 U.S.C. 1324a(b)', 'employment authorization'),
    ('8 U.S.C. 1324(a)', 'removal'), ('8 U.S.C. 1157', 'humanitarian'), ('8 U.S.C. 1254a', 'humanitarian'),
        ('8 U.S.C. 1203', 'travel documents'),
    ('8 U.S.C. 1376', 'statistics'), ('8 U.S.C. 1551', 'general'),
    ('12 USCIS-PM D.3(C)#2', 'naturalization'), ('7 USCIS-PM A.7', 'adjustment of status'), ('8 USCIS-PM B.4', 'admissibility'),
    ('9 USCIS-PM B', 'admissibility'), ('10 USCIS-PM A.2', 'employment authorization'), ('11 USCIS-PM F.2', 'travel documents'),
    ('6 USCIS-PM B.1', 'family-based immigration'), ('6 USCIS-PM G.2', 'employment-based'), ('3 USCIS-PM C.1', 'humanitarian'),
    ('4 USCIS-PM C.1', 'asylum'), ('2 USCIS-PM D.4', 'nonimmigrant visas'), ('1 USCIS-PM B.2', 'general'),
    ('Form I-130 Instructions', 'family-based immigration'), ('Form I-129F Instructions, Fees#1', 'family-based immigration'),
    ('Form I-129 Instructions', 'nonimmigrant visas'), ('Form I-485 Supplement A Instructions', 'adjustment of status'),
    ('Form I-290B Instructions', 'appeals'), ('Form N-400 Instructions', 'naturalization'), ('Form G-28 Instructions', 'general'),
]


@pytest.mark.parametrize('citation, subdomain', PLACES, ids=[c for c, _ in PLACES])
def test_place(citation, subdomain):
    assert classify(citation, '', 'The officer reads the record.') == subdomain


@pytest.mark.parametrize('text, subdomain', [
    ('The alien may appeal to the Board of Immigration Appeals within 30 days.', 'appeals'),
    ('There is no judicial review of this decision.', 'appeals'),
    ('A reentry permit is valid for two years.', 'travel documents'),
    ('Without advance parole the application is abandoned.', 'travel documents'),
    ('The Secretary shall submit an annual report to Congress.', 'statistics'),
    ('An applicant for asylum shows a well-founded fear of persecution.', 'asylum'),
    ('The employer files a labor certification for the advanced degree worker.', 'employment-based'),
    ('As the Court of Appeals for the Ninth Circuit held, the bar is permanent.', 'naturalization'),
    ('Appeals aside, ' + 'the applicant lives in the district and keeps a home there. ' * 12, 'naturalization'),
])
def test_telling_phrase_beats_place_where_it_is_dense(text, subdomain):
    assert classify('12 USCIS-PM D.3', '', text) == subdomain


def test_rule_is_told():
    assert explain('', 'Naturalization', 'Live here for five years.').rule == 'keywords'
    assert explain('8 U.S.C. 1158(a)', '', 'x').rule == 'statute'
    assert explain('', '', '').rule == 'default'


@pytest.mark.parametrize('text', SUBDOMAINS)
def test_published_spellings(text):
    for spelling in (text.title(), text.upper(), text.replace(' ', '-'), text.replace('-', ' '), f' {text} ',
        f'{text} (EB)'): assert subdomain_of(spelling) == text


def test_unknown_subdomain():
    assert subdomain_of(None) is None
    with pytest.raises(BadInput, match="got 'tax'"): subdomain_of('tax')
