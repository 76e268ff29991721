"""What every benchmark here shares: a child process for each measurement, repeats that take turns, one result file.

A benchmark is a script with a function `child(system, what, args)` that does the work of one system once and returns
how many units it did. `turns` runs all systems in processes of their own, in turn, so that a slow minute of the machine
falls on all of them; the result is the median with its spread, and ratios are taken within one run only.
"""
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT/'benchmarks'/'results'


def machine():
    "Processor, cores and memory of this machine."
    names = [line.split(':', 1)[1].strip() for line in Path('/proc/cpuinfo').read_text().splitlines() if line.startswith('model name')] if Path('/proc/cpuinfo').exists() else []
    memory = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30
    return dict(processor=names[0] if names else platform.processor(), cores=os.cpu_count(), memory_gb=round(memory), system=platform.system(), python=platform.python_version())


def versions(*packages):
    "The installed version of each package; None where it is not there."
    def of(name):
        try: return version(name)
        except PackageNotFoundError: return None
    return {p: of(p) for p in packages}


def commit():
    "The commit of the working tree, with a plus sign where files differ from it."
    def git(*args): return subprocess.run(['git', *args], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()
    return (git('rev-parse', '--short', 'HEAD') or 'none') + ('+' if git('status', '--porcelain', '--untracked-files=no') else '')


def run_child(work):
    "What a child process does: time `work()` and print seconds, seconds of all processors, units and the peak of memory."
    start, busy = time.perf_counter(), time.process_time()
    units = work()
    seconds, busy = time.perf_counter() - start, time.process_time() - busy
    print(json.dumps(dict(seconds=seconds, cpu_seconds=busy, units=units, peak_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)))


def measure(script, system, what, args=()):
    "One measurement of `system` on `what` in a process of its own; a failure says what the child said."
    done = subprocess.run([sys.executable, str(script), '--child', system, what, *map(str, args)], capture_output=True, text=True, cwd=ROOT)
    if done.returncode: raise RuntimeError(f'{system} on {what} ended with {done.returncode}: {done.stderr.strip()[-400:]}')
    return json.loads(done.stdout.strip().splitlines()[-1])


def turns(script, plan, repeats=3, args=(), say=print):
    "All (system, what) of `plan` in turn, `repeats` times: {(system, what): [measurements]}."
    found = {cell: [] for cell in plan}
    for turn in range(repeats):
        for system, what in plan:
            m = measure(script, system, what, args)
            found[system, what].append(m)
            say(f'{turn + 1}/{repeats} {what:12} {system:14} {m["seconds"]:8.2f} s {m["cpu_seconds"]:8.2f} s of cores {m["peak_mb"]:7.0f} MB', flush=True)
    return found


def row(system, what, metric, values, unit, baseline=None):
    "A row of the result: median of `values` with their least and greatest, and its ratio to the median of `baseline`."
    value = statistics.median(values)
    return dict(system=system, what=what, metric=metric, value=round(value, 4), low=round(min(values), 4), high=round(max(values), 4), unit=unit, n=len(values),
                ratio=None if baseline is None else round(value / statistics.median(baseline), 3))


def write_result(name, rows, packages, note='', folder=RESULTS):
    "Write `benchmarks/results/NAME.json` and return it."
    result = dict(name=name, date=date.today().isoformat(), commit=commit(), machine=machine(), versions=versions(*packages), note=note, rows=rows)
    folder.mkdir(parents=True, exist_ok=True)
    (folder/f'{name}.json').write_text(json.dumps(result, indent=1) + '\n')
    return result
