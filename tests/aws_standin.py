"""SageMaker and CloudWatch Logs over HTTP on loopback, beside the S3 of `standins`, for the real boto3.

Every request is checked against botocore's own service model, its patterns, lengths and enumerations included; every reply
against its output shape. A training job walks through its states, and can be run for real: its program is unpacked and
started in a folder laid out as /opt/ml.
"""
import io
import json
import os
import re
import subprocess
import sys
import tarfile
import time
from pathlib import Path

from standins import Handler, Standin, check_shape, operation

WALK = ('InProgress/Starting', 'InProgress/Downloading', 'InProgress/Training', 'InProgress/Uploading', 'Completed/Completed')


def plain(pattern):
    "A pattern of the service model, its Unicode classes written as Python's `re` knows them."
    for theirs, ours in {r'\p{L}': 'A-Za-z', r'\p{Z}': ' ', r'\p{N}': '0-9'}.items(): pattern = pattern.replace(theirs, ours)
    return pattern


def check_value(shape, value, where):
    "Raise unless `value` keeps what the model says of its pattern, length and words."
    kind, said = shape.type_name, shape.metadata
    if kind == 'structure':
        for name, part in value.items(): check_value(shape.members[name], part, f'{where}.{name}')
    elif kind == 'list':
        for part in value: check_value(shape.member, part, where)
    elif kind == 'map':
        assert said.get('max') is None or len(value) <= said['max'], (where, len(value))
        for k, part in value.items(): check_value(shape.key, k, f'{where}.key'); check_value(shape.value, part, f'{where}[{k}]')
    elif kind == 'string':
        if 'enum' in said: assert value in said['enum'], (where, value)
        if said.get('max'): assert len(value) <= said['max'], (where, len(value))
        if said.get('pattern'): assert re.fullmatch(plain(said['pattern']), value, re.S), (where, value, said['pattern'])
    elif kind in ('integer', 'long'):
        assert said.get('max') is None or value <= said['max'], (where, value)


def check_request(service, name, body):
    "Raise unless `body` is what botocore's model says that the operation takes."
    from botocore.validate import ParamValidator
    shape = operation(service, name).input_shape
    report = ParamValidator().validate(body, shape)
    assert not report.has_errors(), f'{service} {name}: {report.generate_report()}'
    check_value(shape, body, name)
    return body


class Cloud(Standin):
    "The server. `refuse` holds errors that the next calls of an operation get; `walks` the states of the next jobs; `work(job)` makes their models."
    def __init__(self, work=None):
        super().__init__()
        self.httpd.RequestHandlerClass.__bases__ = (CloudHandler,)
        self.refuse, self.walks, self.work = {}, [], work or (lambda job: {'model.tar.gz': tar_of({'report.json': b'{"steps": 1}'})})
        self.training, self.requests, self.made, self.endpoint_states = {}, [], {}, ['Creating', 'InService']

    def count(self, name): return sum(n == name for n, _ in self.requests)


def tar_of(members):
    "The bytes of a .tar.gz with `members`."
    body = io.BytesIO()
    with tarfile.open(fileobj=body, mode='w:gz') as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return body.getvalue()


class CloudHandler(Handler):
    def do_POST(self):
        target = self.headers.get('x-amz-target')
        if not target: return super().do_POST()
        service = dict(SageMaker='sagemaker', Logs_20140328='logs')[target.split('.')[0]]
        name = target.split('.')[1]
        body = check_request(service, name, json.loads(self.body()))
        self.box.requests.append((name, body))
        if self.box.refuse.get(name):
            code, status = self.box.refuse[name].pop(0)
            return self.error(code, 'as scripted', status)
        reply = getattr(self, name)(body)
        if reply is not None: self.give(200, check_shape(service, name, reply) if reply else {}, 'application/x-amz-json-1.1')

    def error(self, code, message, status=400):
        self.give(status, dict(__type=code, message=message), 'application/x-amz-json-1.1')

    def CreateTrainingJob(self, body):
        name = body['TrainingJobName']
        if name in self.box.training: return self.error('ResourceInUse', 'Training job names must be unique')
        states = self.box.walks.pop(0) if self.box.walks else WALK
        self.box.training[name] = dict(body, states=list(states), lines=0)
        return dict(TrainingJobArn=f'arn:aws:sagemaker:us-east-1:123456789012:training-job/{name}')

    def DescribeTrainingJob(self, body):
        job = self.box.training.get(body['TrainingJobName'])
        if job is None: return self.error('ValidationException', 'Requested resource not found.')
        state = job['states'].pop(0) if len(job['states']) > 1 else job['states'][0]
        status, secondary, reason = [*state.split('/'), '', ''][:3]
        job['lines'] += 1
        arn = f'arn:aws:sagemaker:us-east-1:123456789012:training-job/{job["TrainingJobName"]}'
        said = {k: job[k] for k in ('TrainingJobName', 'AlgorithmSpecification', 'ResourceConfig', 'StoppingCondition')}
        said |= dict(TrainingJobArn=arn, TrainingJobStatus=status, SecondaryStatus=secondary, CreationTime=time.time(), BillableTimeInSeconds=60*job['lines'])
        if reason: said['FailureReason'] = reason
        place = job['OutputDataConfig']['S3OutputPath'] + job['TrainingJobName'] + '/output/'
        said['ModelArtifacts'] = dict(S3ModelArtifacts=place + 'model.tar.gz')
        if status == 'Completed':
            if 'output' not in job:
                job['output'] = self.box.work(job)
                bucket, _, prefix = place.removeprefix('s3://').partition('/')
                for name, data in job['output'].items(): self.box.objects[bucket, prefix + name] = data
            said['ModelArtifacts'] = dict(S3ModelArtifacts=place + ('model.tar.gz' if 'model.tar.gz' in job['output'] else ''))
        return said

    def DescribeLogStreams(self, body):
        name = body['logStreamNamePrefix'].rstrip('/')
        if self.box.training[name]['lines'] < 3: return self.error('ResourceNotFoundException', 'The specified log group does not exist.')
        return dict(logStreams=[dict(logStreamName=f'{name}/algo-1-1700000000')])

    def GetLogEvents(self, body):
        job = self.box.training[body['logStreamName'].split('/')[0]]
        first = int(body.get('nextToken', 'f/0').split('/')[1])
        events = [dict(message=f'line {n}\n', timestamp=int(time.time()*1000), ingestionTime=int(time.time()*1000)) for n in range(first, job['lines'])]
        return dict(events=events, nextForwardToken=f'f/{job["lines"]}', nextBackwardToken='b/0')

    def DescribeHubContent(self, body):
        document = dict(TrainingEcrUri='763104351884.dkr.ecr.us-east-1.amazonaws.com/djl:1', TrainingScriptUri='s3://jumpstart-cache/script.tar.gz',
                        TrainingArtifactUri='s3://jumpstart-cache/llama/')
        arn = 'arn:aws:sagemaker:us-east-1:aws:hub-content/SageMakerPublicHub/Model/' + body['HubContentName']
        return dict(HubContentName=body['HubContentName'], HubContentArn=arn, HubContentVersion='1.0.0', HubContentType='Model', DocumentSchemaVersion='2.0.0',
                    HubName='SageMakerPublicHub', HubArn='arn:aws:sagemaker:us-east-1:aws:hub/SageMakerPublicHub', HubContentDocument=json.dumps(document),
                    HubContentStatus='Available', CreationTime=time.time())

    def _make(self, kind, name, body):
        if (kind, name) in self.box.made: return self.error('ValidationException', f'Cannot create already existing {kind}')
        self.box.made[kind, name] = body
        return {f'{kind}Arn': f'arn:aws:sagemaker:us-east-1:123456789012:{kind.lower().replace("endpointconfig", "endpoint-config")}/{name}'}

    def _drop(self, kind, name):
        if (kind, name) not in self.box.made: return self.error('ValidationException', f'Could not find {kind} "{name}".')
        del self.box.made[kind, name]
        return {}

    def CreateModel(self, body): return self._make('Model', body['ModelName'], body)
    def CreateEndpointConfig(self, body): return self._make('EndpointConfig', body['EndpointConfigName'], body)
    def CreateEndpoint(self, body): return self._make('Endpoint', body['EndpointName'], body)
    def DeleteModel(self, body): return self._drop('Model', body['ModelName'])
    def DeleteEndpointConfig(self, body): return self._drop('EndpointConfig', body['EndpointConfigName'])
    def DeleteEndpoint(self, body): return self._drop('Endpoint', body['EndpointName'])

    def DescribeEndpoint(self, body):
        name, states = body['EndpointName'], self.box.endpoint_states
        if ('Endpoint', name) not in self.box.made: return self.error('ValidationException', f'Could not find endpoint "{name}".')
        state = states.pop(0) if len(states) > 1 else states[0]
        arn = f'arn:aws:sagemaker:us-east-1:123456789012:endpoint/{name}'
        return dict(EndpointName=name, EndpointArn=arn, EndpointStatus=state, CreationTime=time.time(), LastModifiedTime=time.time(), EndpointConfigName=name)


def lay_out(box, job, root):
    "The folder /opt/ml of `job` under `root`, and its program beside it."
    root = Path(root)
    for part in job['InputDataConfig']:
        bucket, _, prefix = part['DataSource']['S3DataSource']['S3Uri'].removeprefix('s3://').partition('/')
        for (b, key), data in box.objects.items():
            if b != bucket or not key.startswith(prefix): continue
            path = root/'ml'/'input'/'data'/part['ChannelName']/key.removeprefix(prefix)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    config = root/'ml'/'input'/'config'/'hyperparameters.json'
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text(json.dumps(job['HyperParameters']))
    bucket, _, key = json.loads(job['HyperParameters']['sagemaker_submit_directory']).removeprefix('s3://').partition('/')
    with tarfile.open(fileobj=io.BytesIO(box.objects[bucket, key])) as tar:
        tar.extraction_filter = getattr(tarfile, 'data_filter', None) # Absent before Python 3.11.4
        tar.extractall(root/'code')
    return root


def start_container(root, job, before=''):
    "Start the program of `job` as the container does; `before` is put in front of it."
    program = json.loads(job['HyperParameters']['sagemaker_program'])
    env = {k: v for k, v in os.environ.items() if not k.startswith('AWS_')}
    env |= dict(IMMIG_OPT_ML=str(root/'ml'), PYTHONPATH=str(root/'code'), IMMIG_DATA=str(root/'data'), SM_NUM_GPUS='0', OMP_NUM_THREADS='1',
                SM_CHANNEL_DATASET=str(root/'ml'/'input'/'data'/'dataset'), SM_MODEL_DIR=str(root/'ml'/'model'))
    code = f'{before}\nimport runpy; runpy.run_path({program!r}, run_name="__main__")'
    return subprocess.Popen([sys.executable, '-c', code], cwd=root/'code', env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
