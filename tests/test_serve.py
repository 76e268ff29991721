"The page of `immig serve`, asked in a browser."
import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from test_report import browser

from immig_research.sources import collect
from immig_research.store import sample_store


@pytest.fixture
def served(tmp_path):
    "The address at which the sample corpus is served."
    collect(sample_store(), tmp_path/'corpus')
    run = subprocess.Popen([sys.executable, '-m', 'immig_research.cli', 'serve', '--corpus', str(tmp_path/'corpus'), '--words-only', '--port', '0'],
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    address = re.match(r'(http://127\.0\.0\.1:[1-9]\d*)  ', run.stdout.readline())
    assert address, run.stderr.read()[-2000:]
    yield address[1] + '/'
    run.send_signal(signal.SIGINT)
    assert run.wait(30) == 0 # Ctrl-C is how it ends


def test_a_free_port_is_told(served):
    with urllib.request.urlopen(served, timeout=60) as page: assert page.status == 200 and 'question' in page.read().decode()


@pytest.mark.slow
def test_a_reader_can_ask_by_keyboard_and_see_the_cited_words(served, tmp_path):
    chromium, modules = browser()
    script = Path(__file__).parent/'browser'/'serve.mjs'
    run = subprocess.run(['node', script, chromium, served, tmp_path], capture_output=True, text=True, timeout=240, env={**os.environ, 'NODE_PATH': modules})
    assert run.returncode == 0, run.stderr[-2000:]
    log = json.loads(run.stdout)
    assert (log['errors'], log['elsewhere']) == ([], []) # Nothing runs that came from outside, nothing is asked elsewhere
    assert log['focus'] == 'question' and log['kept'].endswith('for asylum?') and log['markup'] == [True, True]
    assert log['heading'] == 'What the sources say' and log['quotations'] >= 1 and log['notice']
    assert log['marked'] > 20 and log['visible']
    assert log['refused'] == 'Not answered' and '2030-13-40' in log['alert']
    assert max(log['overflow'].values()) <= 0, log['overflow']
