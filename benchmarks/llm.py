"""The client of language models against a provider that misbehaves and limits its rate.

    make bench NAME=llm

The provider is the stand-in of tests/standins.py in a process of its own: 100 calls a second are allowed, six of a hundred
first attempts fail in one of nine ways (throttles, 5xx, 408, 424, closed connections, torn bodies, HTML in place of JSON).
`ours` asks it through the real boto3 client with a journal; `seed-way` is the loop that the seed used: one call after the
other, three attempts whatever the failure, and nothing where they fail. A call is lost if its request has no reply in the
end, doubled if the provider gave two whole replies to it. The share of the allowed rate counts requests that the provider
let in, failed ones too, from the first to the last. Peak memory is the client's; it must not grow with the number of calls.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parent.parent/'tests')]
from bench import row, run_child, turns, write_result  # noqa: E402

RATE, SHARE, LATENCY = 100, 0.06, 0.02
MODEL = 'us.anthropic.claude-sonnet-4-6'


def serve():
    "The stand-in, until its input ends."
    from standins import Standin, misbehaving
    box = Standin(misbehaving(SHARE), rate=RATE, burst=RATE // 4, latency=LATENCY)
    print(box.url, flush=True)
    sys.stdin.read()


def requests(n):
    "So many questions, each with about the length of a judge's prompt."
    from immig_research.calls import Request
    return (Request(f'Question {i}. ' + 'The applicant has lived in the United States for five years. ' * 30, max_tokens=150) for i in range(n))


def ours(url, n):
    from immig_research.bedrock import Bedrock
    from immig_research.llm import Rules, complete_each
    from immig_research.pace import Limits
    engine = Bedrock(MODEL, endpoint_url=url, timeout=10)
    with tempfile.TemporaryDirectory() as folder:
        stream = complete_each(requests(n), engine, journal=Path(folder)/'replies.jsonl', concurrency=16, rules=Rules(limits=Limits(requests=60 * RATE)))
        return sum(reply.status == 'ok' for reply in stream)


def seed_way(url, n):
    import boto3

    from immig_research.bedrock import converse_body
    client, found = boto3.client('bedrock-runtime', endpoint_url=url), 0
    for request in requests(n):
        for _ in range(3):
            try: client.converse(modelId=MODEL, **converse_body(request))['output']['message']['content'][0]['text']; found += 1; break
            except Exception: continue # noqa: S112 (the seed's way, shown as it is)
    return found


def child(system, what):
    "One measurement; what the provider saw goes into the units."
    n, server = int(what), subprocess.Popen([sys.executable, __file__, '--serve'], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    url = server.stdout.readline().strip()
    def work():
        found = (ours if system == 'ours' else seed_way)(url, n)
        seen = json.loads(urllib.request.urlopen(f'{url}/standin').read())
        return dict(calls=n, lost=n - found, doubled=seen['doubled'], refused=seen['refused'],
                    share=(seen['calls'] - seen['refused']) / seen['seconds'] / RATE, replies_per_s=seen['replies'] / seen['seconds'])
    try: run_child(work)
    finally: server.stdin.close(); server.wait(10)


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument('--child', nargs=2)
    ap.add_argument('--serve', action='store_true')
    ap.add_argument('--repeats', type=int, default=3)
    ap.add_argument('--calls', type=int, nargs=2, default=(1000, 10_000))
    ap.add_argument('--out', type=Path)
    args = ap.parse_args()
    if args.serve: return serve()
    os.environ |= dict(AWS_ACCESS_KEY_ID='testing', AWS_SECRET_ACCESS_KEY='testing', AWS_DEFAULT_REGION='us-east-1', AWS_EC2_METADATA_DISABLED='true')
    if args.child: return child(*args.child)
    load, (few, many) = os.getloadavg()[0], map(str, args.calls)
    found, rows = turns(__file__, [('seed-way', few), ('ours', few), ('ours', many)], args.repeats), []
    units = dict(calls='calls', lost='calls', doubled='calls', refused='calls', replies_per_s='1/s')
    for (system, what), ms in found.items():
        base = [m['units']['share'] for m in found['seed-way', few]] if (system, what) == ('ours', few) else None
        rows += [row(system, what, metric, [m['units'][metric] for m in ms], unit) for metric, unit in units.items()]
        rows.append(row(system, what, 'share_of_allowed_rate', [m['units']['share'] for m in ms], 'share', base))
        rows.append(row(system, what, 'peak_mb', [m['peak_mb'] for m in ms], 'MB'))
    note = f'a stand-in that allows {RATE} calls a second, fails {SHARE:.0%} of first attempts and takes {LATENCY * 1000:g} ms; client and stand-in on one machine; load average at the start {load:.1f}'
    write_result('llm', rows, ('boto3', 'openai', 'jsonschema'), note, **({} if args.out is None else dict(folder=args.out)))


if __name__ == '__main__': main()
