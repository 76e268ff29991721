"A made benchmark of the published shape: 101 questions, two systems, scores without a model. Used by several test files."
from dataclasses import replace

from immig_research.records import Judgment, Prediction, QAPair, content_hash
from immig_research.taxonomy import SUBDOMAINS

SIZES = {'travel documents': 6, 'employment-based': 4, 'appeals': 3}


def questions():
    "Eight questions a subdomain, or 6, 4 and 3; every third one shares its document with the one before."
    out = []
    for name in SUBDOMAINS:
        for k in range(SIZES.get(name, 8)):
            out.append(QAPair(f'{name.replace(" ", "-")}-{k}', f'What does rule {k} of {name} say?', f'It says that {k + 2} years are needed.',
                              source_doc_id=f'made:{name}-{k * 2 // 3}', immigration_subtopic=name, citation=f'Rule {k}', span_start=10, span_end=30, as_of='2025-01-03'))
    return out


def score(system, qa_id): return int(content_hash([system, qa_id])[:6], 16) % 4


def answers(system, asked): return [Prediction(q.qa_id, system, f'{q.answer} ({system})', status='ok') for q in asked]


def judgments(system, asked, judge='made'):
    return [Judgment(q.qa_id, system, judge, score(system, q.qa_id), f'made reason for {q.qa_id}') for q in asked]


def opened(rows, *places, status='judge_error'):
    "`rows` with the cells at `places` opened."
    return [replace(j, score=None, status=status) if i in places else j for i, j in enumerate(rows)]
