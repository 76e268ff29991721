"What the task's YAML calls."
import sys
from pathlib import Path

import datasets

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
import scoring  # noqa: E402


def load(**_):
    "The questions as a test split."
    rows = [dict(qa_id=q.qa_id, question=q.question, answer=q.answer, subdomain=q.immigration_subtopic, row=scoring.pack(q)) for q in scoring.questions()]
    return dict(test=datasets.Dataset.from_list(rows))


def process_results(doc, results):
    "Score the answer; one that the judge could not score stops the run, since it is not a zero."
    found = scoring.score(scoring.unpack(doc['row']), results[0].strip())
    if found.score is None: raise RuntimeError(f"{doc['qa_id']} could not be scored: {found.reason}")
    return dict(mean_score=found.score, fully_correct=float(found.score == 3))
