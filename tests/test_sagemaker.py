"SageMaker over loopback: the real boto3, requests held against botocore's model, and the container's program run for real."
import json
import os
import tarfile
import time
from dataclasses import replace

import pytest

pytest.importorskip('boto3')
pytest.importorskip('torch')
from aws_standin import WALK, Cloud, lay_out, start_container, tar_of  # noqa: E402

from immig_research import jobs  # noqa: E402
from immig_research import sagemaker as sagemaker_stage
from immig_research.adapters import save_adapter  # noqa: E402
from immig_research.buckets import extract, pack_archive, upload  # noqa: E402
from immig_research.cli import main  # noqa: E402
from immig_research.container import job_folders  # noqa: E402
from immig_research.deploy import deploy, teardown  # noqa: E402
from immig_research.jobs import JobPlace  # noqa: E402
from immig_research.loop import add_lora  # noqa: E402
from immig_research.models import SHIPPED, load_base, model_folder, model_sha256, toy_folder  # noqa: E402
from immig_research.prompts import find_prompt  # noqa: E402
from immig_research.recipes import find_recipe  # noqa: E402
from immig_research.records import BadInput, QAPair, write_jsonl  # noqa: E402
from immig_research.sagemaker import services, train_on_sagemaker  # noqa: E402

SECRET = 'wJalrXUtnFEMIxK7MDENGxbPxRfiCYEXAMPLEKEYa'


@pytest.fixture(autouse=True)
def account(monkeypatch):
    for name, value in dict(AWS_ACCESS_KEY_ID='AKIDEXAMPLE', AWS_SECRET_ACCESS_KEY=SECRET, AWS_REGION='us-east-1', AWS_EC2_METADATA_DISABLED='true',
                            AWS_CONFIG_FILE='/dev/null', AWS_SHARED_CREDENTIALS_FILE='/dev/null').items(): monkeypatch.setenv(name, value)


@pytest.fixture
def dataset(tmp_path):
    pairs = [QAPair(f'q{k}', f'Which form is number {k}?', f'Form I-{100 + k}.', immigration_subtopic='asylum') for k in range(20)]
    write_jsonl(tmp_path/'data'/'train.jsonl', pairs[:16])
    write_jsonl(tmp_path/'data'/'eval.jsonl', pairs[16:])
    return tmp_path/'data'


@pytest.fixture
def cloud():
    with Cloud() as box: yield box


@pytest.fixture
def place(cloud): return JobPlace('arn:aws:iam::123456789012:role/sagemaker', 's3://my-bucket/immig', endpoint_url=cloud.url)


def go(dataset, place, out, **more): return train_on_sagemaker(dataset, more.pop('recipe', 'toy'), out, **{**dict(model='toy', place=place, pause=0), **more})


def run_for_real(box, root):
    "Work of a job: its program, run in a folder laid out as /opt/ml."
    def work(job):
        lay_out(box, job, root)
        run = start_container(root, job)
        said = run.communicate()[0]
        assert run.returncode == 0, said[-3000:]
        files = {str(p.relative_to(root/'ml'/'model')): p.read_bytes() for p in (root/'ml'/'model').rglob('*') if p.is_file()}
        return {'model.tar.gz': tar_of(files)}
    return work


def test_without_quota_the_next_instance_type_is_taken(cloud, place, dataset, tmp_path, capsys):
    cloud.refuse['CreateTrainingJob'] = [('ResourceLimitExceeded', 400)]
    assert go(dataset, place, tmp_path/'out') == dict(steps=1)
    asked = [body for name, body in cloud.requests if name == 'CreateTrainingJob']
    assert [b['ResourceConfig']['InstanceType'] for b in asked] == ['ml.g5.2xlarge', 'ml.g4dn.2xlarge']
    assert asked[0]['TrainingJobName'] == asked[1]['TrainingJobName']
    said = capsys.readouterr().err
    assert 'no quota for ml.g5.2xlarge' in said and 'Training' in said and 'line 2' in said and said.count('line 0') == 1


@pytest.mark.slow
def test_a_job_really_runs_and_its_model_comes_back(cloud, place, dataset, tmp_path):
    cloud.work = run_for_real(cloud, tmp_path/'opt')
    report = go(dataset, place, tmp_path/'out')
    assert report['steps'] == 16 and report['failed'] == [] and report['recipe'] == 'toy'
    assert load_base(tmp_path/'out'/'merged')[0].config.num_hidden_layers == 2
    hashes = json.loads((tmp_path/'out'/'files.json').read_text())
    assert {'report.json', 'merged/model.safetensors', 'adapter/adapter_model.safetensors'} <= set(hashes)
    assert go(dataset, place, tmp_path/'again') == report
    assert cloud.count('CreateTrainingJob') == 1  # The job that stands was taken up


def test_watching_goes_on_after_a_kill(cloud, place, dataset, tmp_path, monkeypatch):
    class Killed(BaseException): pass
    looks = []

    def sleep(seconds):
        looks.append(seconds)
        if len(looks) == 2: raise Killed
    with monkeypatch.context() as m:
        m.setattr(jobs.time, 'sleep', sleep)
        with pytest.raises(Killed): go(dataset, place, tmp_path/'out')
    assert json.loads((tmp_path/'out'/'job.json').read_text())['name'] in cloud.training
    assert go(dataset, place, tmp_path/'out') == dict(steps=1)
    assert cloud.count('CreateTrainingJob') == 1


def test_a_failed_job_says_why_and_may_be_tried_again(cloud, place, dataset, tmp_path):
    cloud.walks = [[*WALK[:3], 'Failed/Failed/AlgorithmError: BadInput: no pair to use out of 9']]
    with pytest.raises(RuntimeError, match='failed: AlgorithmError: BadInput: no pair to use out of 9'): go(dataset, place, tmp_path/'out')
    assert go(dataset, place, tmp_path/'out') == dict(steps=1)
    first, second = cloud.training
    assert second == first + '-2'


def test_another_dataset_recipe_or_program_is_another_job(cloud, place, dataset, tmp_path):
    go(dataset, place, tmp_path/'a')
    go(dataset, place, tmp_path/'b', changes=dict(epochs=9))
    write_jsonl(dataset/'eval.jsonl', [QAPair('new', 'Who?', 'You.')])
    go(dataset, place, tmp_path/'c')
    assert len(cloud.training) == 3 and cloud.count('CreateTrainingJob') == 3


def test_the_published_trainer_is_asked_as_the_seed_did(cloud, place, dataset, tmp_path):
    cloud.work = lambda job: {'config.json': b'{}', 'model.safetensors': b'x'}
    with pytest.raises(BadInput, match='accept_eula=True'): go(dataset, place, tmp_path/'no', recipe='seed-v1', model='jumpstart')
    done = go(dataset, place, tmp_path/'out', recipe='seed-v1', model='jumpstart', accept_eula=True)
    assert done['files'] == ['config.json', 'model.safetensors'] and (tmp_path/'out'/'model.safetensors').read_bytes() == b'x'
    request = next(body for name, body in cloud.requests if name == 'CreateTrainingJob')
    values = request['HyperParameters']
    assert (values['lora_r'], values['learning_rate'], values['int8_quantization'], values['chat_dataset']) == ('8', '0.0001', 'True', 'True')
    model = next(c for c in request['InputDataConfig'] if c['ChannelName'] == 'model')
    assert model['DataSource']['S3DataSource']['ModelAccessConfig'] == dict(AcceptEula=True)
    rows = [json.loads(line) for (b, k), v in cloud.objects.items() if k.endswith('/train/train.jsonl') for line in v.splitlines()]
    assert len(rows) == 16 and [m['role'] for m in rows[0]['dialog']] == ['system', 'user', 'assistant']


def test_the_published_trainer_keeps_the_prompt_and_refuses_what_it_cant_be_told(cloud, place, dataset, tmp_path):
    cloud.work = lambda job: {'config.json': b'{}'}
    go(dataset, place, tmp_path/'out', recipe='seed-v1', model='jumpstart', accept_eula=True, changes=dict(prompt='immig'))
    rows = [json.loads(line) for (b, k), v in cloud.objects.items() if k.endswith('/train/train.jsonl') for line in v.splitlines()]
    assert rows[0]['dialog'][0]['content'] == find_prompt('immig').system != find_prompt('seed').system
    sent = len(cloud.objects)
    with pytest.raises(BadInput, match='warmup=0.05, schedule=cosine'): go(dataset, place, tmp_path/'no', recipe='best', model='jumpstart', accept_eula=True)
    assert len(cloud.objects) == sent and cloud.count('CreateTrainingJob') == 1


def test_large_files_go_up_in_parts(cloud, place, tmp_path):
    (tmp_path/'large').write_bytes(body := os.urandom(9 * 2**20))
    (tmp_path/'small').write_bytes(b'x')
    folder = upload(services(place)[0], [tmp_path/'large', tmp_path/'small'], place.s3)
    assert {k.rpartition('/')[2]: v for (b, k), v in cloud.objects.items()} == dict(large=body, small=b'x') and folder.startswith(place.s3)
    assert not cloud.parts and cloud.longest_put == 8 * 2**20 # No put held it all


@pytest.mark.parametrize('model', ['smollm2-135m', 'folder', 'adapter', 'owner/gated'])
def test_weights_go_up_before_a_machine_is_rented(cloud, place, dataset, tmp_path, monkeypatch, model):
    small = toy_folder()
    monkeypatch.setattr(sagemaker_stage, 'model_folder', lambda name: small if name in ('smollm2-135m', str(small)) else model_folder(name))
    if model == 'owner/gated':
        with pytest.raises(BadInput, match="no model 'owner/gated'"): go(dataset, place, tmp_path/'out', model=model)
        assert not cloud.training
        return
    if model == 'adapter': save_adapter(add_lora(load_base('toy')[0], find_recipe('toy')), load_base('toy')[1], tmp_path/'learnt', dict(base='toy', base_sha256=model_sha256('toy')))
    go(dataset, place, tmp_path/'out', model=dict(folder=str(small), adapter=str(tmp_path/'learnt')).get(model, model))
    base = job_folders(lay_out(cloud, next(iter(cloud.training.values())), tmp_path/'opt')/'ml')['base']
    assert load_base(base)[0].config.num_hidden_layers == 2 and not (base/'adapter_config.json').exists()


@pytest.mark.slow
@pytest.mark.parametrize('model', ['smollm2-135m', SHIPPED])
def test_the_embedded_models_weights_go_up(cloud, place, dataset, tmp_path, model):
    "A container has neither the package of the embedded model nor that of the shipped adapter: it gets one whole model."
    go(dataset, place, tmp_path/'out', model=model)
    root = lay_out(cloud, next(iter(cloud.training.values())), tmp_path/'opt')
    base = job_folders(root/'ml')['base']
    lm, tokenizer = load_base(base)
    assert lm.config.num_hidden_layers == 30 and tokenizer.eos_token and not (base/'adapter_config.json').exists()
    if model != SHIPPED: assert model_sha256(base) == model_sha256(model_folder(model))
    assert not cloud.parts and cloud.longest_put < 10e6


@pytest.mark.parametrize('error', [('ThrottlingException', 400), ('InternalFailure', 500)])
def test_passing_trouble_is_retried(cloud, place, dataset, tmp_path, error):
    cloud.refuse['DescribeTrainingJob'] = [error]
    assert go(dataset, place, tmp_path/'out') == dict(steps=1)


def test_what_is_refused_is_told_in_a_line(cloud, place, dataset, tmp_path):
    cloud.refuse['CreateTrainingJob'] = [('AccessDeniedException', 400)]
    with pytest.raises(RuntimeError, match='SageMaker refused the job: AccessDeniedException'): go(dataset, place, tmp_path/'out')
    cloud.refuse['CreateTrainingJob'] = [('ResourceLimitExceeded', 400)]*2
    with pytest.raises(BadInput, match='no quota for any of ml.g5.2xlarge, ml.g4dn.2xlarge'): go(dataset, place, tmp_path/'out')


def test_cost_is_capped_by_the_platform(cloud, place, dataset, tmp_path):
    go(dataset, replace(place, max_usd=3.03, spot=False), tmp_path/'out')
    stop = next(body for name, body in cloud.requests if name == 'CreateTrainingJob')['StoppingCondition']
    assert stop == dict(MaxRuntimeInSeconds=7200)


def test_no_secret_is_ever_sent(cloud, place, dataset, tmp_path, monkeypatch):
    monkeypatch.setenv('HF_TOKEN', 'hf_' + 'a'*34)
    go(dataset, place, tmp_path/'out')
    sent = json.dumps([body for _, body in cloud.requests]) + ''.join(v.decode('latin-1') for v in cloud.objects.values())
    assert SECRET not in sent and 'hf_' + 'a'*34 not in sent and 'HyperParameters' in sent
    with pytest.raises(BadInput, match='looks like a secret'): go(dataset, place, tmp_path/'b', changes=dict(hub_token='x'))
    assert cloud.count('CreateTrainingJob') == 1


@pytest.mark.parametrize('members', [{'../x': b''}, {'/abs': b''}, {'a/../../x': b''}])
def test_archives_stay_in_their_folder(tmp_path, members):
    with pytest.raises(BadInput, match='would leave the folder'): extract(pack_archive(tmp_path/'a.tar.gz', members), tmp_path/'in')
    assert not (tmp_path/'x').exists()


def test_links_in_archives_are_refused(tmp_path):
    with tarfile.open(tmp_path/'a.tar.gz', 'w:gz') as tar:
        info = tarfile.TarInfo('link')
        info.type, info.linkname = tarfile.SYMTYPE, '/etc/passwd'
        tar.addfile(info)
    with pytest.raises(BadInput, match='not a plain file'): extract(tmp_path/'a.tar.gz', tmp_path/'in')


def test_an_endpoint_is_made_once_and_taken_away(cloud, place):
    _, sagemaker, _ = services(place)
    for _ in range(2): assert deploy(sagemaker, place, 'immig-a', 's3://my-bucket/immig/models/a/', pause=0)['EndpointStatus'] == 'InService'
    assert {kind for kind, _ in cloud.made} == {'Model', 'EndpointConfig', 'Endpoint'}
    cloud.refuse['DeleteModel'] = [('AccessDeniedException', 400)]
    left = teardown(sagemaker, 'immig-a')
    assert left['Endpoint'] == left['EndpointConfig'] == 'removed' and left['Model'].startswith('AccessDenied')
    assert teardown(sagemaker, 'immig-a') == dict(Endpoint='not there', Model='removed', EndpointConfig='not there')
    cloud.endpoint_states = ['Creating', 'Failed']
    with pytest.raises(RuntimeError, match='remove it with teardown'): deploy(sagemaker, place, 'immig-b', 's3://my-bucket/b/', pause=0)


def test_the_command_line_needs_a_role_and_a_bucket(dataset, monkeypatch, capsys):
    for name in ('IMMIG_SAGEMAKER_ROLE', 'IMMIG_SAGEMAKER_S3'): monkeypatch.delenv(name, raising=False)
    assert main(['train', '--dataset', str(dataset), '--recipe', 'toy', '--on', 'sagemaker']) == 2
    assert 'IMMIG_SAGEMAKER_ROLE' in capsys.readouterr().err
    assert main(['train', '--dataset', str(dataset), '--recipe', 'toy', '--on', 'the moon']) == 2


@pytest.mark.slow
def test_a_spot_instance_that_was_taken_away_goes_on(cloud, place, dataset, tmp_path):
    "The container is killed while it trains and started again: the result has the same bytes as an unbroken one's."
    go(dataset, place, tmp_path/'out')
    job, often = next(iter(cloud.training.values())), 'import immig_research.loop as loop; loop.CHECKPOINT_S = 0.0'
    results = []
    for name, kill in (('whole', False), ('broken', True)):
        root = lay_out(cloud, job, tmp_path/name)
        if kill:
            run = start_container(root, job, often)
            while not list((root/'ml'/'checkpoints').rglob('step-0000003*')) and run.poll() is None: time.sleep(0.01)
            assert run.poll() is None
            run.kill(); run.communicate()
            assert not (root/'ml'/'model').exists()
        run = start_container(root, job, often)
        said = run.communicate()[0]
        assert run.returncode == 0, said[-2000:]
        if kill: assert 'going on at step' in said
        results.append({str(p.relative_to(root)): p.read_bytes() for p in (root/'ml'/'model').rglob('*') if p.is_file() and p.name != 'timings.jsonl'})
    assert results[0] == results[1]


@pytest.mark.slow
def test_a_job_that_fails_tells_the_platform_why(cloud, place, dataset, tmp_path):
    go(dataset, place, tmp_path/'out')
    job = dict(next(iter(cloud.training.values())))
    job['HyperParameters'] = dict(job['HyperParameters'], max_length='5')
    root = lay_out(cloud, job, tmp_path/'opt')
    run = start_container(root, job)
    run.communicate()
    assert run.returncode == 1
    assert 'no pair to use out of 16, 16 refused' in (root/'ml'/'output'/'failure').read_text()
    assert os.path.getsize(root/'ml'/'output'/'failure') <= 1024
