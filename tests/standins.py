"""Stand-ins for the services that the client of language models calls, over HTTP on loopback.

One server speaks Bedrock (Converse, CountTokens, batch jobs), S3, SageMaker endpoints and the OpenAI protocol, so that the
real boto3 and OpenAI clients can be used unchanged. Every AWS reply is checked against the output shape of botocore's own
service model before it is sent. No model stands behind it: a reply is made from the request, and can be foretold.
"""
import hashlib
import json
import re
import threading
import time
from collections import Counter
from datetime import UTC, datetime
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

ACCOUNT, SECRET_ID = '123456789012', '7d5f0a52-0f0e-4d6c-9a51-7a1f4e7a7f10'
ERRORS = dict(throttled=('ThrottlingException', 429), not_ready=('ModelNotReadyException', 429), unavailable=('ServiceUnavailableException', 503),
              internal=('InternalServerException', 500), model_timeout=('ModelTimeoutException', 408), model_error=('ModelErrorException', 424),
              invalid=('ValidationException', 400), denied=('AccessDeniedException', 403), not_found=('ResourceNotFoundException', 404))


@cache
def operation(service, name):
    import botocore.session
    return botocore.session.get_session().get_service_model(service).operation_model(name)


def check_shape(service, name, body):
    "Raise unless `body` is what botocore's model says that the operation gives."
    from botocore.validate import ParamValidator
    shape = operation(service, name).output_shape
    report = ParamValidator().validate(body, shape)
    if report.has_errors(): raise AssertionError(f'{service} {name}: {report.generate_report()}')
    for key, member in shape.members.items():
        enum = getattr(member, 'enum', None)
        if enum and key in body: assert body[key] in enum, (name, key, body[key])
    return body


def check_error(service, name, code, status):
    "Raise unless the operation can fail so."
    known = {e.name: e.metadata.get('error', {}).get('httpStatusCode') for e in operation(service, name).error_shapes}
    assert known.get(code) == status, (service, name, code, status, known)


def identity(body):
    "What names a Converse request: the last message and the system text."
    text = json.dumps([body.get('system'), body['messages']], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def answer_of(body):
    "The text that this stand-in gives to a Converse request."
    asked = body['messages'][-1]['content'][0]['text']
    if 'outputConfig' in body or 'JSON schema' in json.dumps(body.get('system', '')): return json.dumps(dict(score=len(asked) % 4, reason=f'as read in {asked[:40]}'))
    return f'The stand-in has read: {asked}'


def converse_reply(body, stop='end_turn', text=None):
    text = answer_of(body) if text is None else text
    read, wrote = len(json.dumps(body['messages'])) // 4, max(1, len(text) // 4)
    reply = dict(output=dict(message=dict(role='assistant', content=[dict(text=text)])), stopReason=stop,
                 usage=dict(inputTokens=read, outputTokens=wrote, totalTokens=read + wrote), metrics=dict(latencyMs=7))
    return check_shape('bedrock-runtime', 'Converse', reply)


class Server(ThreadingHTTPServer):
    daemon_threads, request_queue_size = True, 128 # Callers in many threads at once are none too many


class Standin:
    """The server. `mood(n, who, attempt)` gives an action for call number n: 'ok', a key of ERRORS, 'torn', 'stall', 'html', 'cut', 'garbage',
    'wrong', 'filtered' or 'closed'; `rate` is the number of calls a second that are allowed."""
    def __init__(self, mood=lambda n, who, attempt: 'ok', rate=None, burst=10, latency=0.0):
        self.mood, self.rate, self.latency, self.burst = mood, rate, latency, burst
        self.lock, self.calls, self.attempts, self.paid = threading.Lock(), 0, Counter(), Counter()
        self.seen, self.actions, self.units, self.at = [], Counter(), float(burst), time.monotonic()
        self.objects, self.parts, self.jobs, self.job_mood, self.created, self.headers = {}, {}, {}, None, 0, []
        self.begun = self.last = None; self.refused = self.longest_put = 0
        self.page, self.message, self.write_output = 1000, 'as scripted', None # keys of a listing, words of an error, another writer of a job's output
        self.counts = True # whether servers and containers report their tokens
        self.httpd = Server(('127.0.0.1', 0), type('Handler', (Handler,), dict(box=self)))
        threading.Thread(target=self.httpd.serve_forever, daemon=True).start()
        self.url = f'http://127.0.0.1:{self.httpd.server_port}'

    def close(self): self.httpd.shutdown(); self.httpd.server_close()
    def __enter__(self): return self
    def __exit__(self, *args): self.close()

    def admit(self):
        "Whether the token bucket has a unit left."
        if self.rate is None: return True
        now = time.monotonic()
        self.units, self.at = min(self.burst, self.units + (now - self.at) * self.rate), now
        if self.units < 1: return False
        self.units -= 1
        return True

    def action(self, who):
        with self.lock:
            self.calls += 1; self.attempts[who] += 1
            self.begun = self.begun or time.monotonic()
            if not self.admit(): act = 'throttled'; self.refused += 1
            else: act = self.mood(self.calls, who, self.attempts[who])
            self.actions[act] += 1
            return act

    def account(self):
        "What it has seen so far, as one record."
        with self.lock:
            return dict(calls=self.calls, refused=self.refused, replies=self.paid.total(), asked=len(self.attempts), answered=len(self.paid),
                        doubled=sum(n - 1 for n in self.paid.values()), seconds=(self.last or 0) - (self.begun or 0), actions=dict(self.actions))

    def done(self, who):
        "Note a reply that was written whole: it is paid for."
        with self.lock:
            self.paid[who] += 1
            self.last = time.monotonic()


class Handler(BaseHTTPRequestHandler):
    protocol_version, box = 'HTTP/1.1', None
    def log_message(self, *args): pass

    def body(self):
        if self.headers.get('transfer-encoding', '').lower() == 'chunked':
            parts = []
            while size := int(self.rfile.readline().split(b';')[0], 16): parts.append(self.rfile.read(size)); self.rfile.readline()
            self.rfile.readline(); data = b''.join(parts)
        else: data = self.rfile.read(int(self.headers.get('content-length') or 0))
        return _aws_chunks(data) if self.headers.get('x-amz-decoded-content-length') else data

    def give(self, status, data, kind='application/json', **headers):
        data = data if isinstance(data, bytes) else json.dumps(data).encode()
        self.send_response(status)
        for k, v in {'content-type': kind, 'content-length': str(len(data)), 'x-amzn-RequestId': SECRET_ID, **headers}.items(): self.send_header(k.replace('_', '-'), v)
        self.end_headers(); self.wfile.write(data)

    def fail(self, service, name, code, status, **headers):
        if service == 'bedrock-runtime': check_error(service, name, code, status)
        self.give(status, dict(message=f'{self.box.message} (arn:aws:bedrock:us-east-1:{ACCOUNT}:x, request {SECRET_ID})'), **{'x-amzn-ErrorType': code}, **headers)

    def do_POST(self):
        data, path, query = self.body(), unquote(urlsplit(self.path).path), parse_qs(urlsplit(self.path).query, keep_blank_values=True)
        if {'uploads', 'uploadId'} & set(query): return self.upload(path, query)
        if m := re.fullmatch(r'/model/(.+)/converse', path): return self.converse(json.loads(data))
        if re.fullmatch(r'/model/(.+)/count-tokens', path):
            body = json.loads(data)['input']['converse']
            return self.give(200, check_shape('bedrock-runtime', 'CountTokens', dict(inputTokens=len(json.dumps(body['messages'])) // 4)))
        if path == '/model-invocation-job': return self.create_job(json.loads(data))
        if m := re.fullmatch(r'/endpoints/(.+)/invocations', path): return self.endpoint(m[1], json.loads(data))
        if path == '/v1/chat/completions': return self.chat(json.loads(data))
        self.give(404, dict(message=f'no {path}'))

    def misbehave(self, act, whole):
        "Do what breaks a connection; True where there is nothing left to say."
        if act == 'closed': self.close_connection = True; self.connection.close(); return True
        if act == 'html': self.give(200, b'<html>Gateway</html>', 'text/html'); return True
        if act in ('torn', 'stall'):
            data = json.dumps(whole).encode()
            self.send_response(200); self.send_header('content-type', 'application/json'); self.send_header('content-length', str(len(data))); self.end_headers()
            self.wfile.write(data[:len(data) // 2]); self.wfile.flush()
            if act == 'stall': time.sleep(3)
            self.close_connection = True; self.connection.close()
            return True
        return False

    def converse(self, body):
        who = identity(body); act = self.box.action(who)
        self.box.seen.append(json.dumps(body)) if len(self.box.seen) < 1000 else None
        if self.box.latency: time.sleep(self.box.latency)
        if act in ERRORS:
            return self.fail('bedrock-runtime', 'Converse', *ERRORS[act])
        reply = {'cut': lambda: converse_reply(body, 'max_tokens', answer_of(body)[:9]), 'garbage': lambda: converse_reply(body, text='Sure! Here it is: {"score": '),
                 'wrong': lambda: converse_reply(body, text='{"score": "high"}'), 'filtered': lambda: converse_reply(body, 'content_filtered', 'The text was blocked.')}.get(act, lambda: converse_reply(body))()
        if self.misbehave(act, reply): return
        self.give(200, reply); self.box.done(who)

    def chat(self, body):
        who = hashlib.sha256(json.dumps(body['messages']).encode()).hexdigest()[:16]; act = self.box.action(who)
        self.box.headers.append(self.headers.get('authorization'))
        self.box.seen.append(json.dumps(body)) if len(self.box.seen) < 1000 else None
        if act in ERRORS:
            code, status = ERRORS[act]
            return self.give(status, dict(error=dict(message=self.box.message, type=code, code=None)), **({'retry-after': '1'} if act == 'throttled' else {}))
        asked = body['messages'][-1]['content']
        text = json.dumps(dict(score=len(asked) % 4, reason='read')) if 'response_format' in body else f'The stand-in has read: {asked}'
        if act == 'cut': text = text[:9]
        reply = dict(id=f'chatcmpl-{SECRET_ID}', object='chat.completion', created=int(time.time()), model=body['model'],
                     choices=[dict(index=0, message=dict(role='assistant', content=text), finish_reason='length' if act == 'cut' else 'stop')],
                     usage=dict(prompt_tokens=len(asked) // 4 + 8, completion_tokens=max(1, len(text) // 4), total_tokens=len(asked) // 4 + 8 + max(1, len(text) // 4)))
        if not self.box.counts: del reply['usage']
        if self.misbehave(act, reply): return
        self.give(200, reply); self.box.done(who)

    def endpoint(self, name, body):
        who = hashlib.sha256(json.dumps(body).encode()).hexdigest()[:16]; act = self.box.action(who)
        self.box.seen.append(json.dumps(body)) if len(self.box.seen) < 1000 else None
        if act in ERRORS: return self.fail('sagemaker-runtime', 'InvokeEndpoint', 'ModelError' if act == 'model_error' else ERRORS[act][0], ERRORS[act][1])
        if 'messages' in body: # the container speaks as OpenAI-compatible servers do
            text = f'The stand-in has read: {body["messages"][-1]["content"]}'
            self.give(200, dict(choices=[dict(index=0, message=dict(role='assistant', content=text), finish_reason='stop')], usage=dict(prompt_tokens=9, completion_tokens=9)))
            return self.box.done(who)
        text = f'The stand-in has read {len(body["inputs"])} characters.'
        details = dict(details=dict(finish_reason='eos_token', generated_tokens=9)) if self.box.counts else {}
        self.give(200, [dict(generated_text=text, **details)]); self.box.done(who)

    # Batch jobs
    def create_job(self, body):
        box = self.box
        with box.lock:
            known = next((j for j in box.jobs.values() if j['clientRequestToken'] == body['clientRequestToken']), None)
            if known: return self.give(200, dict(jobArn=known['jobArn']))
            box.created += 1
            arn = f'arn:aws:bedrock:us-east-1:{ACCOUNT}:model-invocation-job/job{box.created:09}'
            bucket, key = _split(body['inputDataConfig']['s3InputDataConfig']['s3Uri'])
            rows = [json.loads(line) for line in box.objects[bucket, key].splitlines()]
            assert body['modelInvocationType'] == 'Converse' and len(rows) == len({r['recordId'] for r in rows})
            box.jobs[arn] = dict(body, jobArn=arn, rows=rows, states=list(self.box.job_mood(box.created, rows) if box.job_mood else ['Submitted', 'InProgress', 'Completed']))
        self.give(200, check_shape('bedrock', 'CreateModelInvocationJob', dict(jobArn=arn)))

    def job(self, arn):
        job, box = self.box.jobs[arn], self.box
        status = job['states'].pop(0) if len(job['states']) > 1 else job['states'][0]
        message = ''
        if status.startswith('Failed'): status, _, message = status.partition(': ')
        if status in ('Completed', 'PartiallyCompleted', 'Expired') and 'written' not in job:
            job['written'] = True; (box.write_output or self.write_output)(job, status)
        say = {k: job[k] for k in ('jobArn', 'jobName', 'modelId', 'clientRequestToken', 'roleArn', 'inputDataConfig', 'outputDataConfig')}
        say |= dict(status=status, message=message, submitTime=_now(), totalRecordCount=len(job['rows']), processedRecordCount=len(job['rows']) if 'written' in job else 0)
        assert box.jobs
        return check_shape('bedrock', 'GetModelInvocationJob', say)

    def write_output(self, job, status):
        "Results in another order than the records'; a part of them where the job was partial; and a torn last line."
        bucket, prefix = _split(job['outputDataConfig']['s3OutputDataConfig']['s3Uri'])
        rows = sorted(job['rows'], key=lambda r: r['recordId'][::-1])
        if status == 'Expired': rows = rows[:len(rows) // 5]
        lines = []
        for i, r in enumerate(rows):
            if status == 'PartiallyCompleted' and i % 3 == 0:
                lines.append(json.dumps(dict(recordId=r['recordId'], modelInput=r['modelInput'], error=dict(errorCode=500, errorMessage='as scripted')))); continue
            lines.append(json.dumps(dict(recordId=r['recordId'], modelInput=r['modelInput'], modelOutput=converse_reply(r['modelInput'])))); self.box.paid[identity(r['modelInput'])] += 1
        torn = '\n{"recordId": "' if status == 'PartiallyCompleted' else ''
        self.box.objects[bucket, f'{prefix}job/in.jsonl.out'] = ('\n'.join(lines) + torn).encode()
        self.box.objects[bucket, f'{prefix}job/manifest.json.out'] = b'{"totalRecordCount": 1}'

    def do_GET(self):
        url = urlsplit(self.path); path, query = unquote(url.path), parse_qs(url.query)
        if path == '/standin': return self.give(200, self.box.account())
        if path == '/model-invocation-jobs':
            found = [j for j in self.box.jobs.values() if query.get('nameContains', [''])[0] in j['jobName']]
            keys = ('jobArn', 'jobName', 'modelId', 'roleArn', 'inputDataConfig', 'outputDataConfig')
            return self.give(200, check_shape('bedrock', 'ListModelInvocationJobs', dict(invocationJobSummaries=[dict({k: j[k] for k in keys}, submitTime=_now()) for j in found])))
        if path.startswith('/model-invocation-job/'): return self.give(200, self.job(path.removeprefix('/model-invocation-job/')))
        bucket, _, key = path.strip('/').partition('/')
        if 'list-type' in query or not key:
            prefix = query.get('prefix', [''])[0]
            keys = sorted(k for b, k in self.box.objects if b == bucket and k.startswith(prefix))
            first = int(query.get('continuation-token', ['0'])[0]); more = first + self.box.page < len(keys)
            items = ''.join(f'<Contents><Key>{escape(k)}</Key><LastModified>2026-01-01T00:00:00Z</LastModified><ETag>"x"</ETag><Size>{len(self.box.objects[bucket, k])}</Size></Contents>'
                            for k in keys[first:first + self.box.page])
            items += f'<NextContinuationToken>{first + self.box.page}</NextContinuationToken>' if more else ''
            return self.give(200, f'<?xml version="1.0"?><ListBucketResult><Name>{bucket}</Name><IsTruncated>{str(more).lower()}</IsTruncated>{items}</ListBucketResult>'.encode(), 'application/xml')
        data = self.box.objects.get((bucket, key))
        if data is None: return self.give(404, b'<?xml version="1.0"?><Error><Code>NoSuchKey</Code><Message>none</Message></Error>', 'application/xml')
        self.give(200, data, 'application/octet-stream', ETag='"x"')

    def do_PUT(self):
        bucket, _, key = unquote(urlsplit(self.path).path).strip('/').partition('/')
        said = parse_qs(urlsplit(self.path).query)
        data = self.body(); self.box.longest_put = max(self.box.longest_put, len(data))
        if 'partNumber' in said: self.box.parts[bucket, key][int(said['partNumber'][0])] = data
        else: self.box.objects[bucket, key] = data
        self.give(200, b'', 'application/xml', ETag='"x"')

    def upload(self, path, query):
        "Begin or end an upload in parts."
        bucket, _, key = path.strip('/').partition('/')
        done = 'uploadId' in query
        if done: self.box.objects[bucket, key] = b''.join(part for _, part in sorted(self.box.parts.pop((bucket, key)).items()))
        else: self.box.parts[bucket, key] = {}
        said = 'CompleteMultipartUploadResult' if done else 'InitiateMultipartUploadResult'
        self.give(200, f'<{said}><Bucket>{bucket}</Bucket><Key>{key}</Key><UploadId>u</UploadId><ETag>"x"</ETag></{said}>'.encode(), 'application/xml')


def _now(): return datetime.now(UTC).strftime('%Y-%m-%dT%H:%M:%SZ')
def _split(uri): bucket, _, key = uri.removeprefix('s3://').partition('/'); return bucket, key


def _aws_chunks(data):
    "The body within the frames of an `aws-chunked` upload."
    out, at = b'', 0
    while at < len(data):
        end = data.index(b'\r\n', at); size = int(data[at:end].split(b';')[0], 16)
        if size == 0: break
        out += data[end + 2:end + 2 + size]; at = end + 2 + size + 2
    return out


def misbehaving(share=0.06):
    "A mood that fails a fixed share of first attempts in every way that a retry mends, the same in every run."
    ways = ['throttled', 'unavailable', 'internal', 'not_ready', 'closed', 'model_timeout', 'model_error', 'torn', 'html']
    def mood(n, who, attempt):
        draw = int(who[:8], 16) / 0xffffffff
        return ways[int(who[8:12], 16) % len(ways)] if attempt == 1 and draw < share else 'ok'
    return mood
