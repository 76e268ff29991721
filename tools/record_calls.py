"""Record the cassettes that the notebooks play: `python tools/record_calls.py`.

No paid service is asked. Bedrock, a batch, a SageMaker endpoint and an OpenAI-compatible server are the stand-ins of
`tests/standins.py`, spoken to over HTTP by the real boto3 and OpenAI clients; the local model is the embedded one. Each
cassette says so in its first line.
"""
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT/'tests')]

from standins import Standin  # noqa: E402

from immig_research.batch import BatchPlace, BedrockBatch  # noqa: E402
from immig_research.bedrock import Bedrock  # noqa: E402
from immig_research.calls import Request  # noqa: E402
from immig_research.endpoint import SageMakerEndpoint  # noqa: E402
from immig_research.local import LocalModel  # noqa: E402
from immig_research.prompts import messages  # noqa: E402
from immig_research.replay import record  # noqa: E402
from immig_research.servers import OpenAIServer  # noqa: E402

BY = 'a stand-in on loopback (tests/standins.py), no model'
QUESTIONS = ['Who may file Form I-485?', 'How old must an applicant for naturalization be?']


def requests(): return [Request(messages(question), max_tokens=60) for question in QUESTIONS]


def named(engine, name):
    "`engine` under a name that says that no provider stands behind it."
    engine.name, engine.family = name, 'stand-in'
    return engine


def main():
    os.environ |= dict(AWS_ACCESS_KEY_ID='testing', AWS_SECRET_ACCESS_KEY='testing', AWS_DEFAULT_REGION='us-east-1', AWS_EC2_METADATA_DISABLED='true')
    with Standin() as box:
        place = BatchPlace('s3://stand-in', 'role', at_least=2, poll=0.01)
        engines = dict(bedrock=(named(Bedrock('stand-in', endpoint_url=box.url), 'stand-in:bedrock'), BY),
                       batch=(named(BedrockBatch('stand-in', place, endpoint_url=box.url), 'stand-in:bedrock-batch'), BY),
                       sagemaker=(named(SageMakerEndpoint('stand-in', endpoint_url=f'{box.url}'), 'stand-in:sagemaker'), BY),
                       server=(named(OpenAIServer(box.url + '/v1', 'stand-in'), 'stand-in:openai'), BY),
                       local=(LocalModel('smollm2-135m'), 'SmolLM2-135M-Instruct, 4-bit weights, greedy in float32 on a CPU'))
        for name, (engine, by) in engines.items():
            kept = record(requests(), engine, ROOT/'nbs'/'cassettes'/f'{name}.jsonl', by=by, command='python tools/record_calls.py')
            print(f'{name:10} {kept} replies of {engine.name}')


if __name__ == '__main__': main()
