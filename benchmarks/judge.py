"""The benchmark runner under load and kills, and how fast the facts judge is.

    make bench NAME=judge

The provider is the stand-in of tests/standins.py in a process of its own: 100 calls a second are allowed, and six of a
hundred first attempts fail. Two systems answer a made sample of the published shape, and a third call judges each answer.
`ours` is `run_benchmark` with the card's recipe; `seed-way` is the loop that the seed used: one call after the other, three
attempts, a result row a question, resumed by the question's id. `killed` stops the run ten times by SIGKILL at a random
moment and starts it again; `whole` lets it go through. A cell is lost if it has no score in the end (the seed writes -1), a
call doubled if the provider gave two whole replies to the same request. The share of the allowed rate counts requests that
the provider let in, from the first to the last. `facts` and `overlap` judge the labelled answers without any model.
"""
import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parent.parent/'tests')]
from bench import row, run_child, turns, write_result  # noqa: E402

RATE, SHARE, LATENCY, KILLS = 100, 0.06, 0.02, 10
MODELS = 'meta.llama3-8b-instruct-v1:0', 'us.anthropic.claude-sonnet-4-6'
KEYS = dict(AWS_ACCESS_KEY_ID='AKIA' + 'TESTING0' * 2, AWS_SECRET_ACCESS_KEY='for-tests-only', AWS_DEFAULT_REGION='us-east-1', AWS_EC2_METADATA_DISABLED='true')


def serve():
    "The stand-in, until its input ends."
    from standins import Standin, misbehaving
    box = Standin(misbehaving(SHARE), rate=RATE, burst=RATE // 4, latency=LATENCY)
    print(box.url, flush=True)
    sys.stdin.read()


def ours(folder, sample):
    "The card's recipe with one of its baselines asked under another prompt, as the stand-in can't tell models apart."
    from dataclasses import replace

    from immig_research.benchmark import RECIPES, run_benchmark
    from immig_research.llm import Rules
    from immig_research.pace import Limits
    from immig_research.rubric import Asking
    card = RECIPES['card']
    asking = Asking(temperature=0.1, max_tokens=150, structured=True, concurrency=16, rules=Rules(limits=Limits(requests=60 * RATE)))
    recipe = replace(card, systems=(replace(card.systems[0], prompt='immig'), card.systems[1]), sample=sample, asking=asking)
    return run_benchmark(recipe, folder/'run', folder/'eval.jsonl')['open']


def seed_way(folder, sample):
    "The seed's loop: what fails three times is -1, and a question with a row is done."
    import boto3

    from immig_research.infer import select
    from immig_research.prompts import PROMPTS
    from immig_research.records import QAPair, read_jsonl
    client, path = boto3.client('bedrock-runtime'), folder/'seed.jsonl'
    def say(model, text, system=None):
        for _ in range(3):
            try:
                return client.converse(modelId=model, messages=[dict(role='user', content=[dict(text=text)])], inferenceConfig=dict(temperature=.1),
                                       **(dict(system=[dict(text=system)]) if system else {}))['output']['message']['content'][0]['text']
            except Exception: continue # noqa: S112 (the seed's way, shown as it is)
        return None
    stand = [json.loads(line) for line in path.read_text().splitlines() if line.endswith('}')] if path.exists() else []
    path.write_text(''.join(json.dumps(r) + '\n' for r in stand)) # The seed would stop at a torn line; here it is forgiven
    done = {r['qa_id'] for r in stand}
    for q in select(read_jsonl(folder/'eval.jsonl', QAPair), sample):
        if q.qa_id in done: continue
        scores = {}
        for model, prompt in zip(MODELS, ('immig', 'seed'), strict=True):
            answer = say(model, q.question, PROMPTS[prompt].system) or '[ENDPOINT_ERROR]'
            grade = say(MODELS[1], f'Grade by JSON schema. Question: {q.question}\nReference: {q.answer}\nAnswer of {model}: {answer}')
            scores[model] = -1 if grade is None or answer == '[ENDPOINT_ERROR]' else 1
        with open(path, 'a') as f: f.write(json.dumps(dict(qa_id=q.qa_id, scores=scores)) + '\n')
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return sum(s == -1 for r in rows for s in r['scores'].values())


def go(system, folder, sample, kills):
    "The run in a process of its own, killed so many times; the cells that are open in the end."
    rng = random.Random(7)
    command = [sys.executable, __file__, '--go', system, str(folder), sample]
    for _ in range(kills):
        run = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        before = calls_so_far()
        while calls_so_far() == before and run.poll() is None: time.sleep(.02)
        time.sleep(rng.uniform(0, .5)); run.kill(); run.wait()
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1])


def seen(): return json.loads(urllib.request.urlopen(f'{os.environ["AWS_ENDPOINT_URL_BEDROCK_RUNTIME"]}/standin').read())
def calls_so_far(): return seen()['calls']


def runner(system, what):
    "One run against a stand-in of its own."
    from made_benchmark import questions

    from immig_research.records import write_jsonl
    server = subprocess.Popen([sys.executable, __file__, '--serve'], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    os.environ.update(KEYS, AWS_ENDPOINT_URL_BEDROCK_RUNTIME=server.stdout.readline().strip())
    def work():
        with tempfile.TemporaryDirectory() as folder:
            write_jsonl(Path(folder)/'eval.jsonl', questions())
            lost = go(system, Path(folder), 'seed101', KILLS if what == 'killed' else 0)
        found = seen()
        return dict(calls=found['calls'], lost=lost, doubled=found['doubled'], share=(found['calls'] - found['refused']) / found['seconds'] / RATE)
    try: run_child(work)
    finally: server.stdin.close(); server.wait(10)


def rules(system, what):
    "Judge all labelled answers without a model."
    from immig_research.facts_judge import calibration_rows
    from immig_research.judge import find_judge
    from immig_research.records import Prediction, QAPair
    cells = [(QAPair(r['qa_id'], r['question'], r['reference']), 's', Prediction(r['qa_id'], 's', r['answer']), 0) for r in calibration_rows()]
    run_child(lambda: dict(answers=sum(v.score is not None for v in find_judge(system).grade(cells, None))))


def child(system, what): (rules if what == 'labelled' else runner)(system, what)


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument('--child', nargs=2)
    ap.add_argument('--go', nargs=3)
    ap.add_argument('--serve', action='store_true')
    ap.add_argument('--repeats', type=int, default=3)
    args = ap.parse_args()
    if args.serve: return serve()
    if args.go:
        system, folder, sample = args.go
        print((ours if system == 'ours' else seed_way)(Path(folder), sample))
        return
    if args.child: return child(*args.child)
    plan = [(s, w) for w in ('whole', 'killed') for s in ('seed-way', 'ours')] + [('overlap', 'labelled'), ('facts', 'labelled')]
    found, rows = turns(__file__, plan, args.repeats), []
    for system, what in plan:
        units = [m['units'] for m in found[system, what]]
        base = [m['units'] for m in found['seed-way' if what != 'labelled' else 'overlap', what]]
        if what == 'labelled':
            mine, naive = ([m['units']['answers'] / m['seconds'] for m in found[name, what]] for name in (system, 'overlap'))
            rows.append(row(system, what, 'answers_per_s', mine, 'answers/s', naive))
            continue
        for metric, unit in (('calls', 'calls'), ('lost', 'cells'), ('doubled', 'calls'), ('share', 'share')):
            if metric == 'share' and what == 'killed': continue
            against = [u[metric] for u in base] if all(u[metric] for u in base) else None
            rows.append(row(system, what, 'share_of_allowed_rate' if metric == 'share' else metric, [u[metric] for u in units], unit, against))
    note = (f'{KILLS} kills in each killed run; 202 answers and their grades wanted; what is in flight at a kill is asked again, so up to 16 calls '
            "a kill are doubled for ours and one for the seed's loop; other work ran on the machine")
    write_result('judge', rows, ('immig_research', 'boto3', 'scipy'), note)


if __name__ == '__main__': main()
