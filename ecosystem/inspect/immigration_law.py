"""U.S. immigration law as an Inspect task, scored 0-3 by the facts judge.

    inspect eval ecosystem/inspect/immigration_law.py --model hf/local -M model_path=MODEL -M do_sample=false
"""
import sys
from pathlib import Path

from inspect_ai import Task, task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import GenerateConfig
from inspect_ai.scorer import Score, mean, scorer, stderr
from inspect_ai.solver import generate, system_message

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import scoring  # noqa: E402


def sample(question):
    "One question as Inspect has it; errors are clustered by source document, as in our own tables."
    metadata = dict(row=scoring.pack(question), subdomain=question.immigration_subtopic, document=question.source_doc_id or question.qa_id)
    return Sample(id=question.qa_id, input=question.question.strip(), target=question.answer, metadata=metadata)


@scorer(metrics=[mean(), stderr(cluster='document')])
def facts_judge():
    "The benchmark's own judge; an answer that it could not score is an error of the run, not a zero."
    async def score(state, target):
        found = scoring.score(scoring.unpack(state.metadata['row']), state.output.completion.strip())
        if found.score is None: raise RuntimeError(f'{state.sample_id} could not be scored: {found.reason}')
        return Score(value=found.score, answer=state.output.completion.strip(), explanation=found.reason)
    return score


@task
def immigration_law():
    "The questions that IMMIG_QUESTIONS names, else those of the packaged sample."
    return Task(dataset=MemoryDataset([sample(q) for q in scoring.questions()], name='immigration_law'),
                solver=[system_message(scoring.system_prompt()), generate()], scorer=facts_judge(),
                config=GenerateConfig(temperature=0.0, max_tokens=scoring.MAX_NEW_TOKENS), version=1)
