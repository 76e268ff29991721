"""Readers against general extractors on the same files, and the whole of `immig sources collect`.

    make bench NAME=sources            the real store that IMMIG_STORE names, else the packaged sample

Peers give plain text only; ours also gives paragraphs with citations, footnotes, tables, dates and a coverage figure,
which is computed in the same time. The baseline of each ratio is the peer; `ours` has the ratio against the best of them.
"""
import argparse
import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from bench import row, run_child, turns, write_result

from immig_research.citations import parse_citations
from immig_research.sources import collect, find_reader
from immig_research.store import Reject, read_bytes, read_store, sample_store

STORE = Path(os.environ.get('IMMIG_STORE') or sample_store())
PEERS = dict(html=('trafilatura',), pdf=('pypdf', 'pdfplumber'), citations=('eyecite',))
KINDS = {'text/html': 'html', 'application/pdf': 'pdf', 'text/markdown': 'markdown', 'text/plain': 'text', 'text/csv': 'csv',
         'application/xml': 'xml', 'application/json': 'json'}
AT_MOST = dict(pdf=24, csv=6, markdown=120, text=80) # Files of a kind, evenly spaced over the manifest, so that a turn takes seconds


def files_of(what):
    "The files of one kind that a reader takes, evenly spaced over the manifest."
    def readable(raw):
        try: return bool(find_reader(raw).read(raw, read_bytes(STORE, raw)))
        except Reject: return False
    found = [r for r in read_store(STORE) if KINDS.get(r.media_type) == what]
    keep = AT_MOST.get(what, len(found))
    return [r for r in ([found[i * len(found) // keep] for i in range(keep)] if len(found) > keep else found) if readable(r)]


def trafilatura_text(data):
    import trafilatura
    return trafilatura.extract(data.decode('utf-8', 'replace'), include_tables=True, include_formatting=False) or ''


def pypdf_text(data):
    import io

    import pypdf
    reader = pypdf.PdfReader(io.BytesIO(data))
    if reader.is_encrypted: reader.decrypt('')
    return '\n'.join(page.extract_text() for page in reader.pages)


def pdfplumber_text(data):
    import io

    import pdfplumber
    with pdfplumber.open(io.BytesIO(data)) as pdf: return '\n'.join(page.extract_text() or '' for page in pdf.pages)


def eyecite_citations(text):
    import eyecite
    return eyecite.get_citations(text)


def cite(system):
    "The work of finding the citations in ten court opinions, the texts that eyecite is made for."
    texts = [read_bytes(STORE, r).decode() for r in read_store(STORE) if r.source_id == 'federal-courts'][:10]
    find = parse_citations if system == 'ours' else eyecite_citations
    find(texts[0])
    def run():
        for text in texts: find(text)
        return sum(len(text.encode()) for text in texts)
    return run


def work(system, what):
    "The work of one system on all files of a kind, warmed up on the first; returns bytes."
    if what == 'citations': return cite(system)
    if what == 'collect':
        def whole():
            with tempfile.TemporaryDirectory() as out: collect(STORE, out)
            return sum((STORE/r.path).stat().st_size for r in read_store(STORE))
        return whole
    raws = [(r, read_bytes(STORE, r)) for r in files_of(what)]
    repeats = 10 if what == 'html' else 1
    if system == 'ours':
        def one(raw, data): return find_reader(raw).read(raw, data)
    else:
        text_of = dict(trafilatura=trafilatura_text, pypdf=pypdf_text, pdfplumber=pdfplumber_text)[system]
        def one(raw, data): return text_of(data)
    one(*min(raws, key=lambda pair: len(pair[1])))
    def run():
        for _ in range(repeats):
            for raw, data in raws: one(raw, data)
        return repeats * sum(len(data) for _, data in raws)
    return run


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument('--child', nargs=2)
    ap.add_argument('--repeats', type=int, default=3)
    ap.add_argument('--out', type=Path)
    args = ap.parse_args()
    if args.child: run_child(work(*args.child)); return
    kinds = [k for k in dict.fromkeys(KINDS.values()) if files_of(k)]
    plan = [(s, k) for k in kinds for s in ('ours', *PEERS.get(k, ()))] + [('ours', 'citations'), ('eyecite', 'citations'), ('ours', 'collect')]
    found, rows = turns(__file__, plan, args.repeats), []
    speed = {cell: [m['units'] / 1e6 / m['seconds'] for m in ms] for cell, ms in found.items()}
    for (system, what), ms in found.items():
        peers = [speed[p, what] for p in PEERS.get(what, ())]
        best = max(peers, key=lambda v: sorted(v)[len(v) // 2]) if peers and system == 'ours' else None
        rows.append(row(system, what, 'mb_per_s', speed[system, what], 'MB/s', best))
        rows.append(row(system, what, 'peak_mb', [m['peak_mb'] for m in ms], 'MB'))
        if what == 'collect': rows.append(row(system, what, 'seconds', [m['seconds'] for m in ms], 's'))
    note = f'{len(read_store(STORE))} files of {"a real store" if "IMMIG_STORE" in os.environ else "the packaged sample"}; by kind: ' + ', '.join(f'{k} {len(files_of(k))}' for k in kinds)
    more = {} if args.out is None else dict(folder=args.out)
    write_result('sources', rows, ('trafilatura', 'pypdf', 'pdfplumber', 'pypdfium2', 'selectolax', 'eyecite'), note, **more)


if __name__ == '__main__': main()
