"""What providers, callers and machines do that they should not: each case here once lost a paid call, paid twice, hung, or leaked."""
import errno
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from immig_research import journal as journals
from immig_research.batch import BatchPlace
from immig_research.bedrock import converse_body, read_converse
from immig_research.calls import CallFailed, Request, Scripted, Usage, call_key
from immig_research.endpoint import SageMakerEndpoint
from immig_research.journal import Claims, Journal
from immig_research.ledger import Budget, BudgetStop, Ledger, dollars, find_price, most_usage
from immig_research.llm import Rules, RunStopped, complete_all, complete_each, plan_calls
from immig_research.local import LocalModel
from immig_research.mask import PATTERNS, mask_request
from immig_research.pace import Limits, Pace
from immig_research.records import BadInput
from immig_research.replay import record
from immig_research.servers import OpenAIServer, chat_body, read_chat

sys.path.insert(0, str(Path(__file__).parent))
from standins import Standin, converse_reply  # noqa: E402
from test_llm import GRADE, MODEL, QUICK, ROLE, always, asks, batch, bedrock, credentials  # noqa: E402, F401

USED = dict(inputTokens=5, outputTokens=2, totalTokens=7)


def in_doubt(path):
    with Journal(path) as book: return sum(n for n in book.out.values() if n > 0)


# What a model may answer
@pytest.mark.parametrize('content,stop,status,text', [
    ([dict(reasoningContent=dict(reasoningText=dict(text='Hm.', signature='s'))), dict(text='Yes.')], 'end_turn', 'ok', 'Yes.'),
    ([dict(text='Yes, '), dict(text='she may.')], 'end_turn', 'ok', 'Yes, she may.'), ([], 'end_turn', 'ok', ''),
    ([dict(toolUse=dict(toolUseId='t', name='n', input={}))], 'tool_use', 'ok', ''), ([dict(text='Blocked.')], 'guardrail_intervened', 'refused', 'Blocked.'),
    ([dict(text='Yes, she')], 'max_tokens', 'truncated', 'Yes, she'), ([dict(text='Yes, she')], 'model_context_window_exceeded', 'truncated', 'Yes, she'),
    ([dict(text='?')], 'malformed_model_output', 'malformed', '?')])
def test_every_shape_of_a_converse_reply(content, stop, status, text):
    reply = read_converse(Request('Who?'), dict(output=dict(message=dict(role='assistant', content=content)), stopReason=stop, usage=USED))
    assert (reply.status, reply.text, reply.raw['output']['message']['content']) == (status, text, content)


def test_a_schema_asks_for_more_than_an_empty_answer():
    raw = dict(output=dict(message=dict(role='assistant', content=[])), stopReason='end_turn', usage=USED)
    assert (read_converse(Request('Grade it.', schema=GRADE), raw).status, read_converse(Request('Grade it.', schema=GRADE), raw).parsed) == ('malformed', None)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
    st.sampled_from(['choices', 'message', 'content', 'usage', 'prompt_tokens', 'completion_tokens', 'finish_reason', 'output', 'stopReason', 'generated_text', 'details']), inner, max_size=4), max_leaves=12))
@settings(max_examples=300, deadline=None)
def test_no_body_of_any_shape_breaks_a_reader(raw):
    "A reader gives a reply or says that there is none; another exception would end the run after a paid call."
    for reader in (read_chat, read_converse):
        for body in (raw, dict(choices=[raw]), dict(choices=[dict(message=raw, finish_reason='stop')], usage=raw), dict(output=dict(message=dict(content=raw)), stopReason='end_turn', usage=USED)):
            try: assert isinstance(reader(Request('Who?', schema=GRADE), body).text, str)
            except CallFailed as e: assert e.kind == 'torn'


@pytest.mark.parametrize('text', ['[' * 5000, 'So: ' + '{"a":' * 3000, '[1e999]', '{"score": NaN}', '\ud800', ''])
def test_a_degenerate_answer_is_malformed_and_kept(text, tmp_path):
    reply = complete_all([Request('Grade it.', schema=dict(type=['object', 'array']))], Scripted(lambda r: text), journal=tmp_path/'j.jsonl')[0]
    assert (reply.status, reply.error, reply.text, reply.parsed) == ('malformed', 'no JSON', text, None)
    json.loads((tmp_path/'j.jsonl').read_text(), parse_constant=lambda name: pytest.fail(f'{name} in a journal'))


# What a caller may ask
@pytest.mark.parametrize('schema', [dict(type='objct'), {'$ref': '#/$defs/grade'}, {'$ref': 'http://127.0.0.1:1/x'}, dict(properties=dict(a={'$ref': 'other.json'}))])
def test_a_bad_schema_is_refused_before_anything_is_paid(schema):
    with Standin() as box:
        with pytest.raises(BadInput, match='schema is no JSON schema'): complete_all([Request('Grade it.', schema=schema)], bedrock(box), rules=QUICK)
        assert box.calls == 0


def test_equal_requests_have_one_key_and_one_body():
    engine = Scripted(str)
    assert call_key(engine, Request('x', temperature=0, top_p=1)) == call_key(engine, Request('x', temperature=0.0, top_p=1.0))
    a, b = (Request('x', schema=dict(type='object', properties=dict(p))) for p in ([('a', {}), ('b', {})], [('b', {}), ('a', {})]))
    assert call_key(engine, a) == call_key(engine, b)
    assert json.dumps(chat_body(a, 'm')) == json.dumps(chat_body(b, 'm')) and json.dumps(converse_body(a)) == json.dumps(converse_body(b))


def test_an_engine_that_breaks_after_a_paid_call_leaves_it_in_doubt(tmp_path):
    with Standin() as box:
        class Broken(type(bedrock(box))):
            def call(self, request): return super().call(request).no_such_field
        with pytest.raises(AttributeError): complete_all(asks(1), Broken(MODEL, endpoint_url=box.url), journal=tmp_path/'j.jsonl', rules=QUICK)
        assert box.paid.total() == 1 and in_doubt(tmp_path/'j.jsonl') == 1


def test_a_status_that_is_asked_again_is_asked_once_a_run(tmp_path):
    calls = []
    def answer(request): calls.append(request); return 'no JSON here'
    again = Rules(again=('error', 'malformed'))
    line = [Request('a', schema=GRADE), *asks(40), Request('a', schema=GRADE)] # the same request twice, far apart
    for n in (1, 2):
        complete_all(line, Scripted(answer), journal=tmp_path/'j.jsonl', concurrency=1, rules=again)
        assert sum(r.schema is not None for r in calls) == n


# Machines
def test_runs_without_a_journal_leave_no_file_open():
    def open_files(): return len(os.listdir('/proc/self/fd'))
    complete_all(asks(1), Scripted(str))
    before = open_files()
    for _ in range(20): complete_all(asks(1), Scripted(str))
    assert open_files() <= before and not [c for c in Claims._of.values() if not c.path.exists()]


def test_a_disk_without_locks_is_an_error_and_no_wait(monkeypatch, tmp_path):
    def no_locks(*args): raise OSError(errno.ENOLCK, 'No locks available')
    monkeypatch.setattr(journals.fcntl, 'lockf', no_locks)
    with pytest.raises(OSError, match='No locks available'): complete_all(asks(1), Scripted(str), journal=tmp_path/'j.jsonl')


def test_claims_of_a_deleted_file_are_not_used(tmp_path):
    old = Claims.at(tmp_path/'claims'); (tmp_path/'claims').unlink()
    other = 'import sys; from immig_research.journal import Claims; c = Claims.at(sys.argv[1]); c.take("ab" * 32); print("taken", flush=True); input()'
    with subprocess.Popen([sys.executable, '-c', other, str(tmp_path/'claims')], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == 'taken\n'
        ours = Claims.at(tmp_path/'claims')
        assert ours is not old and ours.take('ab' * 32) is False
        process.communicate('\n')
    assert ours.take('ab' * 32); old.close(); ours.close()


# Budgets
def test_a_table_without_cache_prices_does_not_give_the_cache_away():
    table = dict(as_of='2026-01-01', models={'openai:https://example.org/v1#m': dict(input=1.0, output=2.0)})
    price = find_price('openai:https://example.org/v1#m', table)
    assert dollars(Usage(0, 0, 10**6, 10**6), price) == 2.0


def test_what_is_written_to_a_cache_is_reserved_at_its_price(tmp_path):
    "A cache write costs a quarter more than reading, so a budget that just holds the reading must stop the call."
    with Standin() as box:
        request = Request('Who? ' * 400, max_tokens=1)
        reading = dollars(most_usage(request), find_price(f'bedrock:{MODEL}'))
        complete_all([request], bedrock(box), journal=tmp_path/'plain.jsonl', budget=Budget(dollars=reading), rules=QUICK)
        with pytest.raises(BudgetStop): complete_all([request], bedrock(box, cached=True), journal=tmp_path/'cached.jsonl', budget=Budget(dollars=reading), rules=QUICK)
        assert box.calls == 1


@pytest.mark.slow
def test_the_bound_holds_for_a_template_with_a_system_text_of_its_own():
    model = LocalModel('smollm2-135m')
    for text in ('?', 'Hi', 'Who may file Form I-485?'): assert model.count_tokens(Request(text)) <= most_usage(Request(text)).input - 60


RACE = '''
import sys; sys.path.insert(0, {tests!r})
import test_llm as t
try: t.complete_all(t.asks(60), t.Bedrock(t.MODEL, endpoint_url={url!r}), journal={path!r}, budget=t.Budget(tokens=1200), concurrency=4, rules=t.QUICK)
except t.BudgetStop: sys.exit(7)
'''
def test_processes_that_race_for_one_budget_keep_it_together(tmp_path):
    with Standin(latency=0.005) as box:
        code = RACE.format(tests=str(Path(__file__).parent), url=box.url, path=str(tmp_path/'j.jsonl'))
        racers = [subprocess.Popen([sys.executable, '-c', code], env=os.environ) for _ in range(3)]
        assert [r.wait(60) for r in racers] == [7, 7, 7] and set(box.paid.values()) == {1}
    with Journal(tmp_path/'j.jsonl') as book:
        spent = Ledger(book).spent()
        assert 500 < spent['input'] + spent['output'] <= 1200 and spent['in_doubt']['tokens'] == 0 and spent['calls'] == box.paid.total()


def test_a_call_waits_for_what_another_process_gives_back(tmp_path):
    "Another process has set most of the budget aside, and uses next to nothing of it: no reason to stop."
    path, most = tmp_path/'j.jsonl', most_usage(asks(1)[0])
    other = f"""import time; from immig_research.journal import Journal; from immig_research.calls import Reply, Usage
with Journal({str(path)!r}) as book:
    book.claims.take("ab" * 32); book.send("ab" * 32, ("scripted:example", ""), Usage({most.total}, 0)); print("sent", flush=True); time.sleep(1)
    book.put(Reply("ab" * 32, "ok", usage=Usage(1, 1), engine="scripted:example"))"""
    with subprocess.Popen([sys.executable, '-c', other], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == 'sent\n'
        assert complete_all(asks(1), Scripted(str), journal=path, budget=Budget(tokens=most.total + 10))[0].status == 'ok'
    with Journal(path) as book: book.send('cd' * 32, ('scripted:example', ''), most) # and its process is gone
    with pytest.raises(BudgetStop): complete_all([Request('Another?', max_tokens=60)], Scripted(str), journal=path, budget=Budget(tokens=most.total + 50))


def test_a_plan_knows_only_what_was_asked_and_how_it_goes(tmp_path):
    complete_all(asks(7), Scripted(str), journal=tmp_path/'j.jsonl')
    plan = plan_calls([*asks(3), Request('new')], Scripted(str), journal=tmp_path/'j.jsonl')
    assert (plan['known'], plan['calls']) == (3, 1)
    with Standin() as box:
        many, few = (plan_calls(asks(n), batch(box)) for n in (50, 5))
        on_demand = plan_calls(asks(50), bedrock(box))
        assert many['dollars'] == pytest.approx(on_demand['dollars'] / 2, abs=1e-3) and many['at_most'] == on_demand['at_most']
        assert few['dollars'] == plan_calls(asks(5), bedrock(box))['dollars']


# Storms
class Hands:
    def __init__(self): self.now = 0.0
    def monotonic(self): return self.now
    def sleep(self, seconds): self.now += seconds


@pytest.mark.parametrize('wait,least', [(None, 0.85), (1.0, 0.6)])
def test_a_storm_of_throttles_is_weathered(wait, least):
    """A provider lets 5 calls a second in, of a run that thinks it may make 50; then it lets 50 in. Where it asks to wait, each refusal
    costs the second that it asked for."""
    hands = Hands(); pace, sent, let_in = Pace(Limits(requests=3000), hands), [], []
    while hands.now < 240:
        pace.wait(0); allowed = 5 if hands.now < 120 else 50
        sent.append(hands.now)
        if sum(t > hands.now - 1 for t in let_in[-60:]) < allowed: let_in.append(hands.now); pace.passed()
        else: pace.throttled(wait)
        hands.now += 0.001
    stormy, calm = [t for t in let_in if 60 < t < 120], [t for t in let_in if t > 200]
    assert len(stormy) >= least * 5 * 60 and len([t for t in sent if 60 < t < 120]) <= 1.25 * len(stormy)
    assert len(calm) >= 0.9 * 50 * 40


# Batches
def test_a_mended_failure_is_submitted_under_a_new_name(tmp_path):
    with Standin() as box:
        box.job_mood = lambda n, rows: [f'Failed: {ROLE} is not allowed to read'] if n == 1 else ['Completed']
        with pytest.raises(RunStopped): complete_all(asks(30), batch(box), journal=tmp_path/'j.jsonl', rules=QUICK)
        replies = complete_all(asks(30), batch(box), journal=tmp_path/'j.jsonl', rules=QUICK)
        assert {r.via for r in replies} == {'batch'} and box.created == 2 and set(box.paid.values()) == {1}


def test_a_batch_that_somebody_stopped_stops_the_run(tmp_path):
    with Standin() as box:
        box.job_mood = lambda n, rows: ['Stopped'] if n == 1 else ['Completed']
        with pytest.raises(RunStopped, match='stopped: somebody stopped the batch'): complete_all(asks(30), batch(box), journal=tmp_path/'j.jsonl', rules=QUICK)
        assert (box.created, box.calls) == (1, 0) and in_doubt(tmp_path/'j.jsonl') == 0
        assert {r.via for r in complete_all(asks(30), batch(box), journal=tmp_path/'j.jsonl', rules=QUICK)} == {'batch'} and box.created == 2


def test_a_killed_batch_is_not_paid_again_by_a_run_that_asks_for_less(tmp_path, monkeypatch):
    class Killed(Exception): pass
    def killed(*args): raise Killed
    with Standin() as box:
        def run(n): return complete_all(asks(n), batch(box), journal=tmp_path/'j.jsonl', rules=QUICK)
        with monkeypatch.context() as m:
            m.setattr('immig_research.batch.watch', killed)
            with pytest.raises(Killed): run(30)
        assert len(run(29)) == 29 and box.created == 1 and box.calls == 0
        assert in_doubt(tmp_path/'j.jsonl') == 1 # the thirtieth was paid, and waits
        assert len(run(30)) == 30 and box.created == 1 and box.calls == 0 and in_doubt(tmp_path/'j.jsonl') == 0


def test_what_another_process_answered_in_the_meantime_goes_into_no_batch(tmp_path):
    with Standin() as box:
        def while_others_work():
            complete_all(asks(20), bedrock(box), journal=tmp_path/'j.jsonl', rules=QUICK)
            yield from asks(20)
        replies = list(complete_each(while_others_work(), batch(box), journal=tmp_path/'j.jsonl', rules=QUICK))
        assert len(replies) == 20 and box.created == 0 and set(box.paid.values()) == {1}


def test_output_shuffled_doubled_without_ids_and_in_many_files(tmp_path):
    with Standin() as box:
        box.page = 1 # a listing of one key a page
        def write(job, status):
            prefix = job['outputDataConfig']['s3OutputDataConfig']['s3Uri'].removeprefix('s3://bucket/')
            rows = [json.dumps(dict(recordId=r['recordId'], modelOutput=converse_reply(r['modelInput']))) for r in reversed(job['rows'])]
            strays = ['', 'null', '[]', '{"modelOutput": {}}', '{"modelOutput": {"x": 1}}', '{"recordId": "nobody", "modelOutput": {"x": 1}}', '{"recordId": ["a"], "modelOutput": {"x": 1}}', '{"recordId": 7, "modelOutput": "x"}']
            files = [rows[:10] + strays, strays + rows[5:], rows[:3]]
            for i, lines in enumerate(files): box.objects['bucket', f'{prefix}job/{i}.jsonl.out'] = '\n'.join(lines).encode()
        box.write_output = write
        path = tmp_path/'j.jsonl'
        replies = complete_all(asks(40), batch(box), journal=path, rules=replace(QUICK, again=('error', 'ok')))
        assert [r.text for r in replies] == [f'The stand-in has read: {q.messages[0]["content"]}' for q in asks(40)] and {r.via for r in replies} == {'batch'}
        assert len(path.read_text().splitlines()) == 40 and box.created == 1 and box.calls == 0


def test_a_place_shows_neither_account_nor_bucket():
    shown = repr(BatchPlace('s3://bucket/x', ROLE))
    assert 'arn:' not in shown and 'bucket' not in shown and 'at_least=100' in shown


# Secrets and masks
def test_a_key_that_a_server_repeats_reaches_nobody(tmp_path):
    with Standin(always('denied')) as box:
        box.message = f'Incorrect key provided: {os.environ["IMMIG_API_KEY"]}, {os.environ["AWS_SECRET_ACCESS_KEY"]}'
        for engine in (OpenAIServer(box.url + '/v1', 'm'), bedrock(box), SageMakerEndpoint('e', endpoint_url=box.url)):
            with pytest.raises(RunStopped) as e: complete_all(asks(1), engine, rules=QUICK)
            said = f'{e.value} {e.value.__cause__!r}'
            assert os.environ['IMMIG_API_KEY'] not in said and os.environ['AWS_SECRET_ACCESS_KEY'] not in said


def test_a_cassette_takes_no_secret_and_no_person(tmp_path):
    asked = []
    def answer(request): asked.append(request); return 'Ask arn:aws:iam::123456789012:role/x.'
    with pytest.raises(BadInput, match='a request holds'): record([Request('I am A123456789.')], Scripted(answer), tmp_path/'c.jsonl', by='x', command='x')
    assert not asked # refused before it is sent
    with pytest.raises(BadInput, match='holds an account'): record([Request('Who?')], Scripted(answer), tmp_path/'c.jsonl', by='x', command='x')
    assert not (tmp_path/'c.jsonl').exists()


IDENTIFIERS = ['A123456789', 'A-123-456-789', 'A\u2011123\u2011456\u2011789', 'a@b.org', 'c.d@e.gov', '202-555-0143', '(202) 555-0143', '2025550143', 'IOE0912345678',
               '078-05-1120', '078\u201305\u20131120', '078051120', '123-456-789', 'N0012345678', 'AA00ABCDEF']
@given(st.lists(st.sampled_from([*IDENTIFIERS, 'and', '[[EMAIL_1]]', '[[EMAIL_2]]', '[[A_NUMBER_1]]', '[[NUMBER_1]]', '8 CFR 245.1', '"quoted"', '\n', '{}', '\\']), min_size=1, max_size=30))
@settings(deadline=None)
def test_masks_of_many_kinds_are_undone_exactly(words):
    text = 'x ; ' + ' ; '.join(words)
    sent, table = mask_request(Request(text))
    masked = sent.messages[0]['content']
    assert table.restore(masked) == text and len(set(table.of.values())) == len(table.of)
    assert not [i for i in IDENTIFIERS if i in masked]
    assert not any(p.search(masked) for p in PATTERNS.values())
