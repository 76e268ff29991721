"The report: what a hostile answer can do to it (nothing), and whether it works in a browser."
import json
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser

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


PROBE = '''<script>
const log = {}, table = document.querySelector('table.sub'), names = () => [...table.tBodies[0].rows].map(r => r.cells[0].textContent.trim());
const values = () => [...table.tBodies[0].rows].map(r => parseFloat(r.cells[2].dataset.v)), heads = table.querySelectorAll('th button'), shown = () => document.getElementById('shown').textContent;
const set = (id, v) => { const e = document.getElementById(id); if (e.type === 'checkbox') e.checked = v; else e.value = v; e.dispatchEvent(new Event('input', {bubbles: true})); return shown(); };
log.start = names(); heads[2].click(); log.down = values(); log.aria = heads[2].closest('th').getAttribute('aria-sort'); heads[2].click(); log.up = values(); heads[2].click(); log.back = names();
log.words = set('f-text', 'travel  TRAVEL'); set('f-text', ''); log.appeals = set('f-sub', 'appeals'); set('f-sub', ''); log.threes = set('f-score', '3'); set('f-score', ''); log.apart = set('f-apart', true); log.all = set('f-apart', false);
document.getElementById('b-open').click(); log.open = document.querySelectorAll('details[open]').length; log.title = document.title;
document.body.textContent = ''; document.body.append(Object.assign(document.createElement('pre'), {id: 'log', textContent: JSON.stringify(log)}));
</script></body>'''


def dump(path, folder):
    "The page at `path` as a browser has it after its scripts."
    flags = '--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync'
    run = subprocess.run([shutil.which('chromium'), *flags.split(), f'--user-data-dir={folder}', '--virtual-time-budget=3000', '--dump-dom', path.as_uri()],
                         capture_output=True, text=True, timeout=120)
    return run.stdout


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which('chromium'), reason='needs chromium')
def test_sorting_filters_and_hostile_answers_in_a_browser(tmp_path, plain, hostile):
    (tmp_path/'hostile.html').write_text(hostile.replace('</main>', '<script>document.title = "a script of a stranger"</script></main>'))
    seen = dump(tmp_path/'hostile.html', tmp_path/'u1')
    assert '<html lang="en" class="js">' in seen and '<title>How well' in seen # ours ran, the stranger's did not
    (tmp_path/'probe.html').write_text(re.sub(r'<meta http-equiv[^>]*>', '', plain).replace('</body>', PROBE))
    log = json.loads(re.search(r'<pre id="log">(.*?)</pre>', dump(tmp_path/'probe.html', tmp_path/'u2'))[1])
    assert log['down'] == sorted(log['up'], reverse=True) and log['up'] == sorted(log['up']) and log['aria'] == 'descending'
    assert log['back'] == log['start'] and log['open'] == 101 and log['title'].startswith('How well')
    scores = [made.score('base', q.qa_id) for q in asked]
    assert log['words'] == '6 of 101 questions' and log['appeals'] == '3 of 101 questions' and log['all'] == '101 questions'
    assert log['threes'] == f'{scores.count(3)} of 101 questions' and log['apart'] == '0 of 101 questions'
