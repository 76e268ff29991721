"What would bore a reader of 00b_fetch: a site that misbehaves in every way, and a run that is killed at every write."
import gzip
import hashlib
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import filelock
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from immig_research import fetch as module
from immig_research.fetch import Ledger, fetch
from immig_research.plans import (
    Wanted,
    check_wanted,
    plan_ecfr,
    plan_forms,
    plan_index,
    plan_policy_manual,
    plan_urls,
    plan_uscode,
)
from immig_research.polite import USER_AGENT, Clock, Failed, FetchRules, check_body
from immig_research.records import BadInput, read_jsonl
from immig_research.store import read_bytes, read_store
from immig_research.versioner import ecfr_date

RULES = FetchRules()
START = 1_767_268_800.0 # 2026-01-01, 12:00 UTC
LAW = b'<html><title>Chapter 1</title><body>' + b'A person may file the form. ' * 60 + b'</body></html>'
WALL = b'<html><title>Federal Register :: Request Access</title><body>Please complete the CAPTCHA to go on.</body></html>'
PDF = b'%PDF-1.7\n1 0 obj\nendobj\ntrailer\n%%EOF\n'
XML = b'<?xml version="1.0"?>\n<DIV5 N="245"><P>A person may apply.</P></DIV5>\n'
TYPES = {'html': 'text/html', 'pdf': 'application/pdf', 'xml': 'application/xml', 'csv': 'text/csv', 'json': 'application/json', 'txt': 'text/plain'}


class FakeClock(Clock):
    "A clock that moves when somebody sleeps."
    def __init__(self): self.now, self.lock = START, threading.Lock()
    def time(self): return self.now
    def sleep(self, seconds):
        with self.lock: self.now += seconds


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        site = self.server
        with site.lock: site.busy += 1; site.most = max(site.most, site.busy); site.asked.append((self.path, site.clock.time() - START, dict(self.headers)))
        time.sleep(site.think)
        with site.lock: site.busy -= 1 # Before the answer: the client may ask again as soon as it has it
        try:
            answers = site.pages.get(self.path, [(404, {}, b'')])
            answer = answers.pop(0) if len(answers) > 1 else answers[0]
            answer(self) if callable(answer) else self.answer(*answer)
        except (BrokenPipeError, ConnectionResetError): pass

    def answer(self, status, headers, body):
        headers = {k: v(self.server.clock) if callable(v) else v for k, v in headers.items()}
        if 'ETag' in headers and headers['ETag'] == self.headers.get('If-None-Match'): status, body = 304, b''
        if 'Last-Modified' in headers and headers['Last-Modified'] == self.headers.get('If-Modified-Since'): status, body = 304, b''
        self.send_response(status)
        for name, value in {'Content-Length': str(len(body)), **headers}.items():
            if value is not None: self.send_header(name, value)
        self.end_headers(); self.wfile.write(body)

    def log_message(self, *args): pass


@pytest.fixture
def clock(): return FakeClock()


@pytest.fixture
def open_site(clock, monkeypatch):
    "Opens loopback sites: `site, base = open_site(pages)`."
    sites = []
    for name in ('HTTP_PROXY', 'http_proxy', 'ALL_PROXY', 'all_proxy'): monkeypatch.delenv(name, raising=False)
    def open_one(pages):
        site = ThreadingHTTPServer(('127.0.0.1', 0), Handler)
        site.daemon_threads = True
        site.pages, site.clock, site.asked, site.busy, site.most, site.think, site.lock = pages, clock, [], 0, 0, 0, threading.Lock()
        threading.Thread(target=site.serve_forever, args=(0.02,), daemon=True).start()
        sites.append(site)
        return site, f'http://127.0.0.1:{site.server_port}'
    yield open_one
    for site in sites: site.shutdown(); site.server_close()


def want(base, name, **more):
    return Wanted('uscis-forms', f'{base}/{name}', f'uscis-forms/{name}', TYPES[name.rsplit('.')[-1]], 'public domain', **more)


def requests(site, path): return [t for p, t, _ in site.asked if p == path]
def errors(store): return {r['path'].split('/')[-1]: r for r in read_jsonl(store/'fetch_errors.jsonl')} if (store/'fetch_errors.jsonl').exists() else {}
def counts(**some): return {**dict(fetched=0, changed=0, unchanged=0, failed=0, done=0), **some}


@pytest.fixture
def once(open_site, clock, tmp_path):
    "Fetches one file from a site that gives `answers`; returns counts, its error row or None, and when it was asked for."
    def run(answers, name='a.html', rules=RULES, **more):
        site, base = open_site({f'/{name}': list(answers)})
        result = fetch([want(base, name, **more)], tmp_path/'store', rules=rules, clock=clock)
        return result, errors(tmp_path/'store').get(name), requests(site, f'/{name}')
    return run


OK = (200, {}, LAW)


@pytest.mark.parametrize('headers, least, most', [
    ({}, 1, 2), ({'Retry-After': '120'}, 120, 121), ({'Retry-After': lambda c: formatdate(c.time() + 90, usegmt=True)}, 88, 91),
    ({'Retry-After': 'Thu, 01 Jan 2015 00:00:00 GMT'}, 1, 1.1), ({'Retry-After': 'later'}, 1, 2), ({'Retry-After': '0'}, 1, 1.1)])
@pytest.mark.parametrize('status', [429, 502, 503, 504])
def test_a_busy_host_is_asked_again_when_it_says(once, status, headers, least, most):
    result, error, times = once([(status, headers, b''), OK])
    assert (result, error) == (counts(fetched=1), None)
    assert least <= times[1] - times[0] <= most


def test_attempts_are_capped_and_waits_grow(once):
    result, error, times = once([(504, {}, b'')])
    assert result == counts(failed=1) and len(times) == 5
    assert (error['reason'], error['attempts']) == ('http 504', 5) and error['url'].endswith('/a.html')
    gaps = [b - a for a, b in itertools.pairwise(times)]
    assert all(2 ** n <= g <= 2 ** (n + 1) + 0.01 for n, g in enumerate(gaps))


@pytest.mark.parametrize('status', [401, 403, 404, 410, 400, 500, 204, 206, 202, 304])
def test_an_answer_is_not_asked_for_twice(once, status):
    result, error, times = once([(status, {'Retry-After': '5'}, b''), OK])
    assert result == counts(failed=1) and len(times) == 1
    assert (error['reason'], error['attempts']) == (f'http {status}', 1)


def test_too_long_a_wait_leaves_the_host(open_site, clock, tmp_path):
    site, base = open_site({'/a.html': [(503, {'Retry-After': '86400'}, b''), OK], '/b.html': [OK]})
    assert fetch([want(base, 'a.html'), want(base, 'b.html')], tmp_path, clock=clock) == counts(failed=2)
    found = errors(tmp_path)
    assert 'asks to wait 86400 s' in found['a.html']['detail'] and 'asks to wait 86400 s' in found['b.html']['detail']
    assert (found['b.html']['reason'], found['b.html']['attempts'], requests(site, '/b.html')) == ('host left', 0, [])


def raw(data, wait=0.0):
    "An answer of raw bytes, after which the connection is closed."
    def answer(handler):
        handler.wfile.write(data); handler.wfile.flush(); handler.close_connection = True
        if wait: time.sleep(wait)
    return answer


CHUNKED = b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n' % (len(LAW), LAW)


@pytest.mark.parametrize('torn, name', [
    ((200, {'Content-Length': '99999'}, LAW), 'a.html'),
    (raw(CHUNKED), 'a.html'),
    (raw(b'HTTP/1.1 200 OK\r\n\r\n' + LAW[:-20]), 'a.html'),
    ((200, {'Content-Encoding': 'gzip', 'Content-Length': None}, gzip.compress(LAW)[:-9]), 'a.html'),
    ((200, {'Content-Encoding': 'gzip'}, b'not gzip at all'), 'a.html'),
    ((200, {'Content-Length': None}, PDF[:-7]), 'a.pdf'),
    ((200, {'Content-Length': None}, XML[:-9]), 'a.xml'),
    ((200, {'Content-Length': None}, b'{"titles": [1, '), 'a.json')])
def test_a_torn_body_is_noticed_and_asked_for_again(once, torn, name, tmp_path):
    whole = {'html': LAW, 'pdf': PDF, 'xml': XML, 'json': b'{"titles": [1]}'}[name.split('.')[1]]
    result, error, times = once([torn, (200, {}, whole)], name)
    assert (result, len(times)) == (counts(fetched=1), 2) and (tmp_path/'store/uscis-forms'/name).read_bytes() == whole


def test_a_body_that_stays_torn_fails_and_leaves_no_file(once, tmp_path):
    result, error, times = once([(200, {'Content-Length': '99999'}, LAW)])
    assert result == counts(failed=1) and (error['reason'], error['attempts'], len(times)) == ('truncated', 5, 5)
    assert not (tmp_path/'store/uscis-forms').exists()


def test_chunks_that_end_are_whole(once): assert once([raw(CHUNKED + b'0\r\n\r\n')])[0] == counts(fetched=1)


@pytest.mark.parametrize('body, name, reason', [
    (LAW, 'a.pdf', 'wrong type'), (LAW, 'a.xml', 'wrong type'), (LAW, 'a.csv', 'wrong type'), (LAW, 'a.json', 'wrong type'),
    (b'{"error": "no such part"}', 'a.xml', 'wrong type'), (b'{"error": "gone"}', 'a.html', 'wrong type'), (PDF, 'a.txt', 'wrong type'),
    (b'a\0b', 'a.csv', 'wrong type'), (b'<p>a<br>b</p>', 'a.xml', 'wrong type'),
    (WALL, 'a.html', 'captcha'), (WALL, 'a.pdf', 'captcha'), (WALL, 'a.xml', 'captcha')])
def test_what_was_not_asked_for_fails_at_once(once, body, name, reason):
    result, error, times = once([(200, {}, body)], name)
    assert result == counts(failed=1) and (error['reason'], len(times)) == (reason, 1)


@pytest.mark.parametrize('body', [b'', b'  \r\n', b'<html><body><div id="root"></div></body></html>'])
def test_an_empty_body_is_tried_again_and_fails(once, body):
    result, error, times = once([(200, {}, body)])
    assert result == counts(failed=1) and (error['reason'], len(times)) == ('empty', 5)


@pytest.mark.parametrize('title', ['Access Denied', 'Just a moment...', 'Pardon Our Interruption', 'Attention Required! | Cloudflare', 'Are you a robot?', 'Verify you are human'])
def test_walls_are_known_by_their_title(title):
    with pytest.raises(Failed, match='captcha'): check_body(b'<html><title>' + title.encode() + b'</title><body>' + b'word ' * 500, 'text/html')


def test_a_long_page_with_a_captcha_script_is_no_wall():
    check_body(LAW.replace(b'<body>', b'<body><script src="https://h.gov/recaptcha/api.js"></script>') + b'<p>' + b'law ' * 300, 'text/html')


def test_gzip_is_asked_for_and_unpacked(open_site, clock, tmp_path):
    site, base = open_site({'/a.html': [(200, {'Content-Encoding': 'gzip'}, gzip.compress(LAW))]})
    assert fetch([want(base, 'a.html')], tmp_path, clock=clock) == counts(fetched=1)
    assert (tmp_path/'uscis-forms/a.html').read_bytes() == LAW
    sent = site.asked[-1][2]
    assert (sent['Accept-Encoding'], sent['User-Agent']) == ('gzip', USER_AGENT) and 'https://' in USER_AGENT


def test_too_large_packed_or_unpacked(once):
    small = FetchRules(max_bytes=1500) # The last one is smaller, packed
    for answer in (OK, (200, {'Content-Length': None}, LAW), (200, {'Content-Encoding': 'gzip'}, gzip.compress(b'<html>' + b'x' * 10**6))):
        result, error, times = once([answer], rules=small)
        assert (error['reason'], len(times)) == ('too large', 1)


def test_a_wrong_hash_is_a_failure(once):
    assert once([OK], sha256='0' * 64)[1]['reason'] == 'wrong hash'
    assert once([OK], sha256=hashlib.sha256(LAW).hexdigest().upper())[0] == counts(fetched=1)


def slow(handler):
    handler.wfile.write(b'HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n<html>'); handler.wfile.flush(); time.sleep(0.6)


def drip(handler):
    handler.wfile.write(b'HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n<html>')
    for _ in range(40): handler.wfile.write(b' '); handler.wfile.flush(); time.sleep(0.02)


@pytest.mark.parametrize('answer, rules', [(slow, FetchRules(timeout=0.15, attempts=2)), (drip, FetchRules(timeout=5, deadline=0.15, attempts=2))])
def test_a_slow_body_is_left(once, answer, rules):
    start = time.monotonic()
    result, error, times = once([answer], rules=rules)
    assert (result, error['reason'], len(times)) == (counts(failed=1), 'timeout', 2) and time.monotonic() - start < 3


def hang_up(handler): handler.connection.shutdown(socket.SHUT_RDWR)


def test_broken_connections_are_tried_again(once, clock, tmp_path):
    assert once([hang_up, OK])[0] == counts(fetched=1)
    with socket.socket() as s: s.bind(('127.0.0.1', 0)); port = s.getsockname()[1]
    assert fetch([want(f'http://127.0.0.1:{port}', 'a.html')], tmp_path/'none', clock=clock) == counts(failed=1)
    assert 'robots.txt can not be read (connection' in errors(tmp_path/'none')['a.html']['detail']


def test_a_host_that_has_no_name_does_not_end_the_run(clock, tmp_path):
    assert fetch([want('http://' + 'a' * 70 + '.example', 'a.html')], tmp_path, clock=clock) == counts(failed=1)


@pytest.mark.parametrize('location', ['file:///etc/passwd', 'ftp://h.gov/a', 'http://[::1', 'https://me:key@h.gov/', 'javascript:alert(1)'])
def test_redirects_stay_on_http(once, location, tmp_path):
    result, error, times = once([(302, {'Location': location}, b'')])
    assert (result, error['reason'], len(times)) == (counts(failed=1), 'redirect', 1)


def test_redirect_loops_end(once):
    result, error, times = once([(301, {'Location': '/a.html'}, b'')])
    assert (error['reason'], error['attempts'], len(times)) == ('redirect', 1, 6)
    assert once([(308, {}, b'')])[1]['reason'] == 'redirect'


def test_the_final_address_is_kept_in_the_log_and_the_asked_one_in_the_manifest(open_site, clock, tmp_path):
    site, base = open_site({'/a.html': [(301, {'Location': '/b?x=1#top'}, b'')], '/b?x=1': [OK]})
    fetch([want(base, 'a.html')], tmp_path, clock=clock)
    assert read_store(tmp_path)[0].url == f'{base}/a.html' and read_jsonl(tmp_path/'fetch.jsonl')[0]['final_url'] == f'{base}/b?x=1'


def test_a_redirect_to_another_host_asks_its_robots(open_site, clock, tmp_path):
    there, other = open_site({'/robots.txt': [(200, {}, b'User-agent: *\nDisallow: /b\n')], '/b.html': [OK], '/c.html': [OK]})
    here, base = open_site({'/a.html': [(302, {'Location': f'{other}/b.html'}, b'')], '/c.html': [(302, {'Location': f'{other}/c.html'}, b'')]})
    assert fetch([want(base, 'a.html'), want(base, 'c.html')], tmp_path, clock=clock) == counts(fetched=1, failed=1)
    assert errors(tmp_path)['a.html']['reason'] == 'robots' and requests(there, '/b.html') == []


@pytest.mark.parametrize('robots, allowed', [
    (b'User-agent: *\nDisallow: /\n', False), (b'User-agent: *\nDisallow: /private\n', True), (b'User-agent: *\nDisallow:\n', True), (b'', True),
    (b'User-agent: *\nAllow: /\nUser-agent: immig_research\nDisallow: /\n', False), (b'User-agent: *\nDisallow: /\nUser-agent: immig_research\nAllow: /\n', True),
    (b'User-agent: *\nDisallow: /*.html$\n', False), (b'User-agent: *\nDisallow: /\nAllow: /a.html\n', True), (b'\xef\xbb\xbfUser-agent: *\nDisallow: /\n', False),
    (b'<html><body>We have moved to a new site, please look there</body></html>', True), (WALL, False)])
def test_robots_txt_is_kept(open_site, clock, tmp_path, robots, allowed):
    site, base = open_site({'/robots.txt': [(200, {}, robots)], '/a.html': [OK], '/b.html': [OK]})
    result = fetch([want(base, 'a.html'), want(base, 'b.html')], tmp_path, clock=clock)
    assert (result['fetched'] > 0) == allowed and len(requests(site, '/robots.txt')) == 1
    if not allowed: assert errors(tmp_path)['a.html']['reason'] == 'robots' and requests(site, '/a.html') == []


@pytest.mark.parametrize('answers, asked, fetched', [
    ([(404, {}, b'')], 1, 1), ([(410, {}, b'')], 1, 1), ([(403, {}, b'')], 1, 0), ([(401, {}, b'')], 1, 0), ([(500, {}, b'')], 1, 0), ([(503, {}, b'')], 5, 0),
    ([(429, {'Retry-After': '99999'}, b'')], 1, 0), ([(503, {'Retry-After': '40'}, b''), (404, {}, b'')], 2, 1), ([(302, {'Location': '/robots.txt'}, b'')], 6, 0)])
def test_robots_txt_that_can_not_be_read(open_site, clock, tmp_path, answers, asked, fetched):
    site, base = open_site({'/robots.txt': answers, '/a.html': [OK]})
    assert fetch([want(base, 'a.html')], tmp_path, clock=clock)['fetched'] == fetched
    assert len(requests(site, '/robots.txt')) == asked


@pytest.mark.parametrize('robots, gap', [(b'', 1), (b'User-agent: *\nCrawl-delay: 10', 10), (b'User-agent: *\nCrawl-delay: 0.2', 1), (b'User-agent: *\nRequest-rate: 1/30', 30)])
def test_requests_keep_their_distance(open_site, clock, tmp_path, robots, gap):
    names = [f'{n}.html' for n in range(4)]
    site, base = open_site({'/robots.txt': [(200, {}, robots)], **{f'/{n}': [OK] for n in names}})
    fetch([want(base, n) for n in names], tmp_path, clock=clock)
    times = [t for _, t, _ in site.asked][1:]
    assert all(abs(b - a - gap) < 0.01 for a, b in itertools.pairwise(times)) and site.most == 1
    assert [p for p, *_ in site.asked][1:] == [f'/{n}' for n in names]


def test_a_host_has_one_turn_whoever_was_sent_there(open_site, clock, tmp_path):
    there, other = open_site({f'/{n}.html': [OK] for n in 'abc'})
    there.think = 0.03
    wanted = [want(open_site({f'/{n}.html': [(302, {'Location': f'{other}/{n}.html'}, b'')]})[1], f'{n}.html') for n in 'abc']
    assert fetch(wanted, tmp_path, clock=clock) == counts(fetched=3)
    times = sorted(t for p, t, _ in there.asked)
    assert there.most == 1 and len(times) == 4 and all(b - a >= 1 for a, b in itertools.pairwise(times))


def test_hosts_are_asked_at_the_same_time(open_site, clock, tmp_path):
    meet = threading.Barrier(3, timeout=10) # Each answer waits until all three hosts were asked
    def answer(handler): meet.wait(); handler.answer(*OK)
    bases = [open_site({'/a.html': [answer]})[1] for _ in range(3)]
    wanted = [replace(want(base, 'a.html'), path=f'{n}.html') for n, base in enumerate(bases)]
    assert fetch(wanted, tmp_path, clock=clock) == counts(fetched=3)


def test_a_host_that_only_fails_is_left(open_site, clock, tmp_path):
    names = [f'{n}.html' for n in range(8)]
    site, base = open_site({f'/{n}': [(200, {}, WALL)] for n in names})
    well, other = open_site({f'/{n}': [OK] for n in names})
    wanted = [want(base, n) for n in names] + [replace(want(other, n), path=f'other/{n}') for n in names]
    assert fetch(wanted, tmp_path, clock=clock) == counts(fetched=8, failed=8)
    assert len(site.asked) == 1 + 5 and [e['reason'] for e in read_jsonl(tmp_path/'fetch_errors.jsonl')] == ['captcha'] * 5 + ['host left'] * 3


def test_missing_files_do_not_count_against_the_host(open_site, clock, tmp_path):
    names = [f'{n}.html' for n in range(7)]
    _, base = open_site({'/6.html': [OK]})
    assert fetch([want(base, n) for n in names], tmp_path, clock=clock) == counts(fetched=1, failed=6)


def tomorrow(clock): clock.now += 86_400


@pytest.mark.parametrize('header, sent', [({'ETag': '"v1"'}, 'If-None-Match'), ({'Last-Modified': 'Thu, 01 Jan 2026 00:00:00 GMT'}, 'If-Modified-Since')])
def test_what_stands_is_asked_for_with_its_own_tag(open_site, clock, tmp_path, header, sent):
    site, base = open_site({'/a.html': [(200, header, LAW)]})
    wanted = [want(base, 'a.html', as_of_basis='retrieval')]
    assert fetch(wanted, tmp_path, clock=clock) == counts(fetched=1)
    before = (tmp_path/'manifest.jsonl').read_bytes()
    for _ in range(3): # A 304 must not lose the tag
        tomorrow(clock)
        assert fetch(wanted, tmp_path, clock=clock) == counts(unchanged=1)
    assert [sent in h for p, _, h in site.asked if p == '/a.html'] == [False, True, True, True]
    assert (tmp_path/'manifest.jsonl').read_bytes() == before and read_store(tmp_path)[0].as_of == '2026-01-01'
    log, = read_jsonl(tmp_path/'fetch.jsonl')
    assert (log['status'], log['checked_at']) == (304, '2026-01-04')


def test_a_tag_that_no_header_can_carry_is_not_sent_back(open_site, clock, tmp_path):
    site, base = open_site({'/a.html': [raw(b'HTTP/1.1 200 OK\r\nETag: "\xe9"\r\nContent-Length: %d\r\n\r\n%s' % (len(LAW), LAW))]})
    fetch([want(base, 'a.html')], tmp_path, clock=clock); tomorrow(clock)
    assert fetch([want(base, 'a.html')], tmp_path, clock=clock) == counts(unchanged=1)


def test_a_tag_is_not_sent_for_another_address_or_a_damaged_file(open_site, clock, tmp_path):
    site, base = open_site({'/a.html': [(200, {'ETag': '"v1"'}, LAW)], '/b.html': [(200, {'ETag': '"v1"'}, LAW)]})
    fetch([want(base, 'a.html')], tmp_path, clock=clock)
    (tmp_path/'uscis-forms/a.html').write_bytes(b'damaged')
    assert fetch([want(base, 'a.html')], tmp_path, clock=clock) == counts(changed=1)
    assert (tmp_path/'uscis-forms/a.html').read_bytes() == LAW and not (tmp_path/'superseded').exists()
    assert fetch([replace(want(base, 'b.html'), path='uscis-forms/a.html')], tmp_path, clock=clock) == counts(unchanged=1)
    assert not any('If-None-Match' in h for *_, h in site.asked)
    assert read_store(tmp_path)[0].url == f'{base}/b.html'


def test_older_texts_are_kept_as_a_store_of_their_own(open_site, clock, tmp_path):
    texts = [LAW.replace(b'may', word) for word in (b'can', b'must', b'can', b'shall')]
    site, base = open_site({'/a.html': [(200, {}, t) for t in texts], '/b.html': [OK]})
    wanted = [want(base, 'a.html'), want(base, 'b.html')]
    results = []
    for _ in texts: results.append(fetch(wanted, tmp_path, clock=clock)); tomorrow(clock)
    assert results == [counts(fetched=2)] + [counts(changed=1, unchanged=1)] * 3
    old = read_store(tmp_path/'superseded')
    assert [read_bytes(tmp_path/'superseded', r) for r in old] == texts[:3]
    assert [r.path.split('-')[2] for r in old] == ['01', '02', '03'] and {r.path.split('/', 1)[1] for r in old} == {'uscis-forms/a.html'}
    assert [read_bytes(tmp_path, r) for r in read_store(tmp_path)] == [texts[3], LAW]


def test_a_changed_text_does_not_inherit_the_date_of_the_old_one(open_site, clock, tmp_path):
    site, base = open_site({'/a.html': [OK, (200, {}, LAW + b' ')]})
    fetch([want(base, 'a.html', as_of='2025-01-01', as_of_basis='edition', note='read from the footer')], tmp_path, clock=clock); tomorrow(clock)
    fetch([want(base, 'a.html')], tmp_path, clock=clock)
    raw, = read_store(tmp_path)
    assert (raw.as_of, raw.note, raw.retrieved_at) == (None, None, '2026-01-02')


def test_a_corrected_list_corrects_the_manifest(open_site, clock, tmp_path):
    site, base = open_site({'/a.html': [OK]})
    fetch([want(base, 'a.html')], tmp_path, clock=clock); tomorrow(clock)
    fetch([want(base, 'a.html', title='Form A')], tmp_path, clock=clock)
    raw, = read_store(tmp_path)
    assert (raw.title, raw.retrieved_at) == ('Form A', '2026-01-01')


def test_a_run_is_a_day_or_a_name(open_site, clock, tmp_path):
    site, base = open_site({'/a.html': [OK]})
    wanted, named = [want(base, 'a.html')], FetchRules(run='november')
    assert fetch(wanted, tmp_path, clock=clock)['fetched'] == 1 and fetch(wanted, tmp_path, clock=clock)['done'] == 1
    assert fetch(wanted, tmp_path, clock=clock, rules=named)['unchanged'] == 1; tomorrow(clock)
    assert fetch(wanted, tmp_path, clock=clock, rules=named)['done'] == 1
    (tmp_path/'uscis-forms/a.html').unlink()
    assert fetch(wanted, tmp_path, clock=clock, rules=named) == counts(changed=1)


def test_errors_are_those_that_are_open(open_site, clock, tmp_path):
    site, base = open_site({'/a.html': [(404, {}, b''), OK], '/b.html': [(404, {}, b'')]})
    wanted = [want(base, 'a.html'), want(base, 'b.html')]
    assert fetch(wanted, tmp_path, clock=clock)['failed'] == 2
    assert fetch(wanted, tmp_path, clock=clock) == counts(fetched=1, failed=1)
    row, = read_jsonl(tmp_path/'fetch_errors.jsonl')
    assert row == dict(path='uscis-forms/b.html', url=f'{base}/b.html', run='2026-01-01', attempts=1, source_id='uscis-forms', reason='http 404', detail='')


def test_a_file_that_is_gone_stays_in_the_store(open_site, clock, tmp_path):
    site, base = open_site({'/a.html': [OK, (404, {}, b'')]})
    fetch([want(base, 'a.html')], tmp_path, clock=clock); tomorrow(clock)
    assert fetch([want(base, 'a.html')], tmp_path, clock=clock)['failed'] == 1
    assert read_bytes(tmp_path, read_store(tmp_path)[0]) == LAW


def test_cookies_are_not_written_down(open_site, clock, tmp_path):
    site, base = open_site({'/a.html': [(200, {'Set-Cookie': 'session=secret', 'X-Served-By': 'here'}, LAW)]})
    fetch([want(base, 'a.html')], tmp_path, clock=clock)
    log = (tmp_path/'fetch.jsonl').read_text()
    assert 'secret' not in log and 'x-served-by' in log


def test_a_dry_run_asks_and_writes_nothing(open_site, clock, tmp_path):
    site, base = open_site({'/a.html': [OK], '/b.html': [OK]})
    wanted = [want(base, 'a.html'), want(base, 'b.html')]
    fetch(wanted[:1], tmp_path, clock=clock); tomorrow(clock)
    with open(tmp_path/'fetch.jsonl', 'a') as f: f.write('{"path": "uscis-fo')
    before, asked = {p: p.read_bytes() for p in tmp_path.rglob('*') if p.is_file()}, len(site.asked)
    assert [w['action'] for w in fetch(wanted, tmp_path, clock=clock, dry_run=True)['todo']] == ['check', 'new']
    assert {p: p.read_bytes() for p in tmp_path.rglob('*') if p.is_file()} == before and len(site.asked) == asked
    assert fetch(wanted, tmp_path/'none', clock=clock, dry_run=True)['done'] == 0 and not (tmp_path/'none').exists()


def test_one_run_at_a_time(clock, tmp_path):
    with filelock.FileLock(tmp_path/'.fetch.lock'):
        with pytest.raises(BadInput, match='another fetch is writing'): fetch([], tmp_path, clock=clock)
    assert fetch([], tmp_path, clock=clock) == counts()
    (tmp_path/'f').write_text('')
    with pytest.raises(BadInput, match='is a file'): fetch([], tmp_path/'f', clock=clock)


def test_a_ledger_is_whole_after_every_row(tmp_path):
    file = tmp_path/'manifest.jsonl'
    file.write_text('{"path": "a", "n": 1}\n{"path": "b", "n')
    Ledger(file).put({'path': 'c', 'n': 1})
    ledger = Ledger(file); ledger.put({'path': 'a', 'n': 2})
    assert read_jsonl(file) == [{'path': 'a', 'n': 2}, {'path': 'c', 'n': 1}]
    file.write_text('{"path": "a"}\n{"pa\n{"path": "b"}\n')
    with pytest.raises(BadInput, match='line 2: not JSON'): Ledger(file)


class Killed(BaseException): pass


def pages_of_a_site(): return {f'/{n}.html': [(200, {'ETag': f'"{n}"'}, LAW + n.encode())] for n in 'abcd'} | {'/e.html': [(404, {}, b'')]}


@pytest.mark.parametrize('at', range(1, 17))
def test_a_run_killed_at_any_write_goes_on(open_site, clock, tmp_path, monkeypatch, at):
    "Every write of the store in turn is the last one; half of the killed lines are torn."
    site, base = open_site(pages_of_a_site())
    wanted, writes = [want(base, f'{n}.html') for n in 'abcde'], 0
    def dying(write, torn):
        def wrapped(path, data):
            nonlocal writes
            writes += 1
            if writes == at:
                if torn and at % 2: path.parent.mkdir(exist_ok=True); path.open('a').write('{"path": "uscis')
                raise Killed()
            return write(path, data)
        return wrapped
    with monkeypatch.context() as m:
        m.setattr(module, 'write_atomic', dying(module.write_atomic, False)); m.setattr(module, 'append_jsonl', dying(module.append_jsonl, True))
        m.setattr(module, 'write_jsonl', dying(module.write_jsonl, False))
        with pytest.raises(Killed): fetch(wanted, tmp_path/'broken', clock=clock)
    done = set(Ledger(tmp_path/'broken/fetch.jsonl').rows)
    clock.now, asked = START, len(site.asked)
    fetch(wanted, tmp_path/'broken', clock=clock)
    assert not {f'uscis-forms{p}' for p, *_ in site.asked[asked:]} & done
    site.pages = pages_of_a_site(); clock.now = START
    fetch(wanted, tmp_path/'whole', clock=clock)
    for name in ('manifest.jsonl', 'fetch_errors.jsonl'): assert (tmp_path/'broken'/name).read_bytes() == (tmp_path/'whole'/name).read_bytes()
    assert {p.relative_to(tmp_path/'broken') for p in (tmp_path/'broken').rglob('*')} == {p.relative_to(tmp_path/'whole') for p in (tmp_path/'whole').rglob('*')}


def test_an_unbroken_run_makes_16_writes(open_site, clock, tmp_path, monkeypatch):
    "So the test above stops at each of them: three a file, one for the failure, three to tidy up."
    site, base = open_site(pages_of_a_site())
    writes = []
    def counted(write): return lambda path, data: (writes.append(path.name), write(path, data))[1]
    for name in ('write_atomic', 'append_jsonl', 'write_jsonl'): monkeypatch.setattr(module, name, counted(getattr(module, name)))
    fetch([want(base, f'{n}.html') for n in 'abcde'], tmp_path, clock=clock)
    assert len(writes) == 4 * 3 + 1 + 3


def test_a_killed_change_keeps_the_old_text(open_site, clock, tmp_path, monkeypatch):
    site, base = open_site({'/a.html': [OK, (200, {}, LAW + b' ')]})
    fetch([want(base, 'a.html')], tmp_path, clock=clock); tomorrow(clock)
    real, calls = module.write_atomic, []
    def dying(path, data):
        calls.append(path)
        real(path, data)
        if len(calls) == 2: raise Killed() # The new bytes stand, the manifest still tells of the old ones
    with monkeypatch.context() as m:
        m.setattr(module, 'write_atomic', dying)
        with pytest.raises(Killed): fetch([want(base, 'a.html')], tmp_path, clock=clock)
    fetch([want(base, 'a.html')], tmp_path, clock=clock)
    assert read_bytes(tmp_path, read_store(tmp_path)[0]) == LAW + b' '
    assert [read_bytes(tmp_path/'superseded', r) for r in read_store(tmp_path/'superseded')] == [LAW]


def test_killed_by_the_system_it_goes_on(open_site, tmp_path):
    reached = threading.Event()
    def hang(handler): reached.set(); time.sleep(20)
    site, base = open_site({'/a.html': [OK], '/b.html': [OK], '/c.html': [hang, OK], '/d.html': [OK]})
    rows = [want(base, f'{n}.html').to_row() for n in 'abcd']
    code = ('import json, sys; from immig_research.fetch import fetch; from immig_research.plans import Wanted; from immig_research.polite import FetchRules\n'
            'print(json.dumps(fetch([Wanted.from_row(r) for r in json.loads(sys.argv[1])], sys.argv[2], rules=FetchRules(min_interval=0, run="one"))))')
    args = [sys.executable, '-c', code, json.dumps(rows), str(tmp_path/'store')]
    first = subprocess.Popen(args, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert reached.wait(60)
    until = time.monotonic() + 30
    while len(Ledger(tmp_path/'store/fetch.jsonl').rows) < 2 and time.monotonic() < until: time.sleep(0.01) # The writer may be behind
    first.send_signal(signal.SIGKILL); first.wait()
    (tmp_path/'store/uscis-forms'/f'.c.html.{first.pid}.part').write_bytes(b'<ht')
    site.asked.clear()
    done = json.loads(subprocess.run(args, capture_output=True, check=True, text=True).stdout)
    assert done == counts(fetched=2, done=2) and {p for p, *_ in site.asked} == {'/robots.txt', '/c.html', '/d.html'}
    assert len(read_store(tmp_path/'store')) == 4 and list((tmp_path/'store').rglob('*.part')) == []


def test_an_interrupt_ends_all_threads(open_site, clock, tmp_path, monkeypatch):
    names = [f'{n}.html' for n in range(60)]
    sites = [open_site({f'/{n}': [OK] for n in names}) for _ in range(2)]
    wanted = [replace(want(base, n), path=f'{k}/{n}') for k, (_, base) in enumerate(sites) for n in names]
    real, calls = module.record, []
    def interrupted(*args):
        calls.append(1)
        if len(calls) == 5: raise KeyboardInterrupt()
        return real(*args)
    monkeypatch.setattr(module, 'record', interrupted)
    with pytest.raises(KeyboardInterrupt): fetch(wanted, tmp_path, clock=clock)
    assert [t for t in threading.enumerate() if 'ThreadPool' in t.name] == []
    assert sum(len(site.asked) for site, _ in sites) < 60 # Of 122: what waited in the queue, and little more


def test_the_same_run_gives_the_same_files(open_site, clock, tmp_path):
    for name in ('one', 'two'):
        clock.now = START
        parts = [open_site({f'/{n}': [(503, {}, b''), OK] for n in ('a.html', 'b.html')}) for _ in range(2)]
        wanted = [replace(want(base, n), path=f'{k}/{n}') for k, (_, base) in enumerate(parts) for n in ('b.html', 'a.html')]
        fetch(wanted, tmp_path/name, clock=clock)
    rows = [[{**r.to_row(), 'url': ''} for r in read_store(tmp_path/name)] for name in ('one', 'two')]
    assert rows[0] == rows[1] and [r['path'] for r in rows[0]] == ['0/a.html', '0/b.html', '1/a.html', '1/b.html']


@pytest.mark.parametrize('path', ['/etc/x', '../x', 'a/../x', 'a/../../x', '', '.', './a', 'a/', 'a//b', 'a\\b', 'a\0b', '.hidden', 'a/.b', 'manifest.jsonl',
                                  'fetch.jsonl', 'fetch_errors.jsonl', 'superseded/a', None])
def test_paths_stay_in_the_folder_and_off_its_own_files(tmp_path, path):
    with pytest.raises(BadInput, match='wanted file 1: path'): fetch([replace(want('http://127.0.0.1', 'a.html'), path=path)], tmp_path)


def test_links_and_folders_in_the_store_are_not_written_through(tmp_path):
    store, outside = tmp_path/'store', tmp_path/'outside'
    for d in (store/'folder', outside): d.mkdir(parents=True)
    os.symlink(outside, store/'link'); (store/'file').write_text('')
    for path, said in (('link/a', 'leaves the folder'), ('folder', 'is a folder'), ('file/a', 'has a file for a folder')):
        with pytest.raises(BadInput, match=said): check_wanted([replace(want('http://127.0.0.1', 'a.html'), path=path)], store)


@pytest.mark.parametrize('url', ['file:///etc/passwd', 'ftp://h.gov/a', '/a', 'h.gov/a', '', 'http://', 'https://me@h.gov/', 'https://me:key@h.gov/', 'http://[::1', 'http://h.gov:99999999/',
                                 'data:text/html,x', None])
def test_only_http_addresses(tmp_path, url):
    with pytest.raises(BadInput, match='wanted file 1: url'): fetch([replace(want('http://127.0.0.1', 'a.html'), url=url)], tmp_path)


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=300), st.text(alphabet='./%2eE\\a?&=-', max_size=40))
def test_a_planned_path_never_leaves_its_folder(last, query):
    try: wanted = plan_urls('bia', [f'https://h.gov/{last}?{query}', f'https://h.gov/x/{query}'])
    except BadInput: return
    for w in wanted:
        folder, name = w.path.split('/')
        assert folder == 'bia' and 0 < len(name) <= 120 and name[0] not in '.-' and set(name) <= set('abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._@-')


def test_all_plans_can_be_fetched_and_have_paths_of_their_own(tmp_path):
    wanted = (plan_index() + plan_ecfr('2026-01-08', [1, 204, '214', '274a', 1003]) + plan_uscode([1101, '1229b', '1440-1'], release='119-102')
        + plan_policy_manual(['12-d-3', '7-A-7']) + plan_forms(['I-485', 'N-400', 'G-28', 'i-290b']) + plan_urls('bia', ['https://www.justice.gov/eoir/page/file/1/download']))
    assert len(check_wanted(wanted, tmp_path)) == len(wanted) and all(w.url.startswith('https://') for w in wanted)
    assert {w.as_of for w in wanted if w.source_id == 'ecfr' and 'index' not in w.path} == {'2026-01-08'}


@pytest.mark.parametrize('plan, said', [
    (lambda: plan_ecfr('2016-12-31'), 'no text of'), (lambda: plan_ecfr('01/08/2026'), 'ISO date'), (lambda: plan_ecfr('2026-01-08', ['1&x=2']), 'must be numbers'),
    (lambda: plan_uscode(['1101/../x']), 'must be like'), (lambda: plan_uscode(release='119/102'), 'must be like'), (lambda: plan_policy_manual(['12-d']), 'must be like'),
    (lambda: plan_forms(['I-485/../../x']), 'must be like'), (lambda: plan_forms(['I-485'], parts=['fees']), 'must be of'), (lambda: plan_index(['x']), 'choose from'),
    (lambda: plan_urls('a/b', []), 'must be like'), (lambda: ecfr_date({}, '2026-01-08'), 'has no title')])
def test_plans_refuse_what_no_address_has(plan, said):
    with pytest.raises(BadInput, match=said): plan()


@pytest.mark.store
@pytest.mark.skipif(not os.environ.get('IMMIG_STORE'), reason='IMMIG_STORE names no raw store')
def test_plans_know_the_addresses_of_the_real_store_and_its_files_pass():
    store = os.environ['IMMIG_STORE']
    raws = read_store(store)
    known = {r.url for r in raws}
    names = [r.url.rsplit('/', 1)[1] for r in raws if r.source_id == 'uscis-policy-manual' and 'chapter' in r.url]
    chapters = plan_policy_manual(sorted({n.replace('volume-', '').replace('part-', '').replace('chapter-', '') for n in names}))
    assert {w.url for w in chapters} <= known and len(chapters) > 100
    sections = [r.path[len('uscode/section-'):-3] for r in raws if r.path.startswith('uscode/section-')]
    assert {w.url for w in plan_uscode(sections)} <= known and len(sections) > 280
    assert {w.url for w in plan_forms(['I-485', 'I-130'], parts=['instructions'])} <= known and plan_uscode(release='119-102')[0].url in known
    for raw in raws: check_body(read_bytes(store, raw), raw.media_type)
