"The benchmark's own questions and judge, for other harnesses: the same files, the same prompt, the same score."
import json
import os
import tempfile
from pathlib import Path

from immig_research.judge import judge
from immig_research.prompts import find_prompt
from immig_research.records import Judgment, Prediction, QAPair, read_jsonl
from immig_research.store import sample_store

MAX_NEW_TOKENS = 128 # As `immig infer` has it by default


def questions_file():
    "The questions that IMMIG_QUESTIONS names (rows as in the published dataset), else those of the packaged sample."
    return Path(os.environ.get('IMMIG_QUESTIONS') or sample_store()/'written.jsonl')


def questions():
    "The questions as records, in file order."
    return read_jsonl(questions_file(), QAPair)


def system_prompt(): return find_prompt('immig').system


def score(question, answer, system='harness'):
    "The facts judge's judgment of one answer, made by the benchmark's own code."
    with tempfile.TemporaryDirectory() as folder:
        judge([question], [Prediction(question.qa_id, system, answer)], folder)
        return read_jsonl(Path(folder)/'judgments.jsonl', Judgment)[0]


def pack(question): return json.dumps(question.to_row(), ensure_ascii=False)
def unpack(text): return QAPair.from_row(json.loads(text))
