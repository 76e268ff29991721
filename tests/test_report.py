"The report: what a hostile answer can do to it (nothing), and whether it works in a browser."
import json
import os
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import made_benchmark as made
import pytest

from immig_research.analysis import analyze
from immig_research.report import safe_json, safe_link, script_hash

asked = made.questions()
HOSTILE = ['</script><script>document.title="owned"</script>', '<img src=x onerror="document.title=1">', '</p></details><h1>Our model wins</h1>',
           '" onmouseover="alert(1)" x="', "{{ 7 * 7 }} {% raw %} {{ config }}", '<!-- <script> -->', '\ud800 \x00 \u202e \u2028 <svg/onload=alert(1)>',
           '&lt;script&gt;', 'javascript:alert(1)', '</style><style>body{display:none}</style>']


def page_of(folder, questions, predictions, judgments):
    analyze(questions, judgments, predictions, folder)
    return (folder/'report.html').read_text(encoding='utf-8')


class Tags(HTMLParser):
    "Counts tags and keeps every attribute."
    def __init__(self, page):
        super().__init__(); self.tags, self.attributes = [], []
        self.feed(page)
    def handle_starttag(self, tag, attrs): self.tags.append(tag); self.attributes += attrs


@pytest.fixture(scope='module')
def plain(tmp_path_factory):
    return page_of(tmp_path_factory.mktemp('plain'), asked, made.answers('base', asked), made.judgments('base', asked))


@pytest.fixture(scope='module')
def hostile(tmp_path_factory):
    "The same benchmark with hostile text in every field that comes from a model, a source or a file."
    bad = lambda i: HOSTILE[i % len(HOSTILE)]
    clean = lambda i: bad(i).encode('utf-8', 'replace').decode()
    questions = [replace(q, question=bad(i), answer=bad(i + 1), citation=bad(i + 2), source_doc_id=bad(i + 3), source_url=bad(i + 8), as_of=clean(i + 4)) for i, q in enumerate(asked)]
    said = [replace(p, prediction=bad(i), system='<b>base', model=bad(i)) for i, p in enumerate(made.answers('base', asked))]
    scored = [replace(j, reason=bad(i + 5), system='<b>base', judge='"><i>') for i, j in enumerate(made.judgments('base', asked))]
    return page_of(tmp_path_factory.mktemp('hostile'), questions, said, scored)


def test_hostile_text_adds_no_element(plain, hostile):
    a, b = Tags(plain), Tags(hostile)
    links = lambda tags: [t for t in tags if t != 'a']
    assert links(b.tags) == links(a.tags)
    assert not [n for n, _ in b.attributes if n.startswith('on')]


def test_only_web_links_and_nothing_loaded(plain, hostile):
    for page in (plain, hostile):
        for name, value in Tags(page).attributes:
            if name in ('src', 'srcset', 'data', 'action'): assert value.startswith('data:image/png;base64,')
            if name == 'href': assert value.startswith('#')
    assert safe_link('https://www.uscis.gov/i-485') and not safe_link('data:text/html,x') and not safe_link('//x.org')


def test_scripts_are_ours_and_named_by_the_policy(hostile):
    scripts = re.findall(r'<script>(.*?)</script>', hostile, re.S)
    assert len(scripts) == 1 and f"script-src '{script_hash(scripts[0])}'" in hostile
    assert "default-src 'none'" in hostile


def test_data_can_be_read_back(hostile):
    data = json.loads(re.search(r'<script type="application/json" id="report-data">(.*?)</script>', hostile, re.S)[1])
    assert data['overall'][0]['system'] == '<b>base' and data['overall'][0]['n'] == 101
    assert json.loads(safe_json({'x': HOSTILE})) == {'x': HOSTILE}


def test_each_question_is_there_with_its_place(plain):
    assert plain.count('<details class="card"') == 101
    assert 'characters 10 to 30' in plain and 'as of 2025-01-03' in plain and 'Not legal advice' in plain


def test_ids_are_unique_and_references_lead_somewhere(plain):
    attributes = Tags(plain).attributes
    ids = [v for n, v in attributes if n == 'id']
    assert len(ids) == len(set(ids))
    assert {v[1:] for n, v in attributes if n == 'href' and v.startswith('#')} | {v for n, v in attributes if n == 'aria-labelledby'} <= set(ids)


def test_open_cells_are_said_at_the_top(tmp_path):
    page = page_of(tmp_path, asked, made.answers('base', asked), made.opened(made.judgments('base', asked), 4, 9))
    assert re.search(r'<p class="lead">base: between [\d.]+ and [\d.]+ of 3 on 101 questions, 2 of them still open.</p>', page)
    assert 'judge error: made reason' in page and 'lopen' in page


def browser():
    "Chromium, node and playwright-core, or a skip that says what is absent."
    chromium = next((p for p in map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome')) if p), None)
    if not chromium or not shutil.which('node') or not shutil.which('npm'): pytest.skip('needs chromium, node and npm')
    modules = subprocess.run(['npm', 'root', '-g'], capture_output=True, text=True).stdout.strip()
    if not (Path(modules)/'playwright-core').is_dir(): pytest.skip('needs playwright-core: npm install -g playwright-core')
    return chromium, modules


def drive(page, folder):
    "What tests/browser/report.mjs found in the page."
    chromium, modules = browser()
    folder.mkdir(parents=True, exist_ok=True)
    script = Path(__file__).parent/'browser'/'report.mjs'
    run = subprocess.run(['node', script, chromium, page.as_uri(), folder], capture_output=True, text=True, timeout=240, env={**os.environ, 'NODE_PATH': modules})
    assert run.returncode == 0, run.stderr[-2000:]
    return json.loads(run.stdout)


def rich(folder):
    "A report with everything: two systems, two judges, open cells, abstentions, checked citations, hard errors."
    said = made.answers('base', asked) + made.answers('tuned', asked)
    for i, p in enumerate(said):
        if i % 9 == 0: p.disposition = 'abstained'
        if i % 4 == 0: p.prediction += f' See 8 U.S.C. {1100 + i} and 8 U.S.C. 1.'; p.citations = [dict(citation=f'8 U.S.C. {1100 + i}', verdict='VERIFIED', doc_id='uscode:x'), dict(citation='8 U.S.C. 1', verdict='NOT_FOUND')]
    scored = made.judgments('base', asked) + made.judgments('tuned', asked)
    other = [replace(j, judge='other', score=min(3, j.score + i % 2)) for i, j in enumerate(scored)]
    analyze(asked, made.opened(scored, 4, 9) + other, said, folder, train_report=dict(curve=[dict(step=s, loss=2 - s / 50) for s in range(30)]))
    return folder/'report.html'


@pytest.mark.slow
def test_a_reader_can_sort_filter_drill_down_and_print(tmp_path):
    log = drive(rich(tmp_path/'run'), tmp_path/'shots')
    scores = {s: {q.qa_id: made.score(s, q.qa_id) for q in asked} for s in ('base', 'tuned')}
    assert log['errors'] == [] and len(log['requests']) == 2 and all(r.startswith('file:') for r in log['requests'])
    assert log['down'] == sorted(log['up'], reverse=True) and log['up'] == sorted(log['up']) and log['aria'] == 'descending'
    assert log['back'] == log['start'] and log['rows'] == ['travel documents']
    assert (log['all'], log['appeals'], log['words'], log['after_reset']) == ('101 questions', '3 of 101 questions', '6 of 101 questions', '101 questions')
    assert log['open'] == '2 of 101 questions' and log['unusual']['judge error'] == '2 of 101 questions'
    assert {'abstained', 'citation failed', 'judge error'} <= set(log['states'])
    apart = [q for i, q in enumerate(asked) if i not in (4, 9) and abs(scores['base'][q.qa_id] - scores['tuned'][q.qa_id]) >= 2]
    assert int(log['systems_apart'].split()[0]) >= len(apart) and int(log['judges_apart'].split()[0]) > 0
    assert log['focus'] == 'f-text' and log['opened'] == [log['second']] and log['first_focused'].startswith('q-travel')
    assert log['linked'] and ['cite good', '✓'] in log['marks'] and ['cite bad', '✗'] in log['marks']
    assert log['wide'] and log['narrow'] and log['pdf'] > 50_000 and log['elements'] == dict(scripts=2, images=0)


@pytest.mark.slow
def test_hostile_answers_stay_text_in_a_browser(tmp_path, hostile):
    (tmp_path/'hostile.html').write_text(hostile.replace('</main>', '<script>document.title = "a script of a stranger"</script></main>'))
    log = drive(tmp_path/'hostile.html', tmp_path/'shots')
    assert log['title'].startswith('How well') # ours ran, the stranger's did not
    assert len(log['errors']) == 2 and all('Content Security Policy' in e for e in log['errors']) # one for each load of the page
    assert not [r for r in log['requests'] if not r.startswith('file:')] and log['all'] == '101 questions'
