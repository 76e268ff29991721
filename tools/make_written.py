"""Make the packaged written set from its drafts: `python tools/make_written.py --corpus CORPUS --drafts FILE... --reviews FILE...`.

A draft quotes its span, so drafts stay out of the repository. What comes out holds no text of a source:
`immig_research/data/written.jsonl` (rows with anchors) and `written-reviews.jsonl` (the second reader's verdicts).
Rows whose review says `dropped` are left out. A part once given to a row (train, dev, test) is kept when the tool runs again.
"""
import argparse
import json
import re
import sys
from collections import Counter

from immig_research.records import read_jsonl, write_atomic, write_jsonl
from immig_research.sources import read_corpus
from immig_research.store import Reject
from immig_research.written import (
    WrittenRow,
    anchor_of,
    check_written,
    deal_traps,
    deal_written,
    documents_by_path,
    packaged_written,
    read_written,
    written_card,
    written_pairs,
)


def place(draft, by_path):
    "The document and offsets of the quotation of `draft`, in the paragraph that it names."
    pattern = r'\s+'.join(map(re.escape, draft['quote'].split()))
    spans = [(d, m.start(), m.end()) for d in by_path.get(draft['raw_path'], []) for m in re.finditer(pattern, d.text)]
    named = [s for s in spans if any(p['id'] == draft['paragraph_id'] and p['start'] <= s[1] < p['end'] for p in s[0].paragraphs)]
    if not (named or spans): raise Reject('quotation not in the document')
    return min(named or spans, key=lambda s: s[0].doc_id != draft.get('source_doc_id'))


def row_of(draft, by_path):
    "The row of `draft`, with an anchor where it quotes a source."
    anchor = {}
    if draft.get('quote'):
        doc, start, end = place(draft, by_path)
        anchor = anchor_of(doc, start, end) | dict(raw_path=draft['raw_path'], as_of=doc.as_of)
    return WrittenRow(draft['qa_id'], draft['question'].strip(), draft['answer'].strip(), draft['immigration_subtopic'],
                      '' if draft.get('trap') and draft.get('kind') is None else draft.get('kind') or '', draft.get('style') or 'plain',
                      trap=draft.get('trap'), **anchor)


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument('--corpus', required=True)
    ap.add_argument('--drafts', nargs='+', required=True)
    ap.add_argument('--reviews', nargs='+', default=[])
    args = ap.parse_args()
    corpus, reviews = read_corpus(args.corpus), [r for f in args.reviews for r in read_jsonl(f)]
    by_path = documents_by_path(corpus.documents.values())
    dropped = {r['qa_id'] for r in reviews if r['outcome'] == 'dropped'}
    rows = [row_of(d, by_path) for f in args.drafts for d in read_jsonl(f) if d['qa_id'] not in dropped]
    before = {r.qa_id: r.split for r in read_written(traps=None)} if packaged_written().exists() else {}
    pairs, lost = written_pairs(corpus, [r for r in rows if r.span_sha256])
    for r in lost: print(f"{r['qa_id']}: {r['reason']}", file=sys.stderr)
    parts = deal_written(pairs)
    parts |= deal_traps([r for r in rows if r.trap], parts)
    away = {r['qa_id'] for r in lost}
    rows = [r for r in rows if r.qa_id not in away or r.trap]
    for r in rows: r.split = before.get(r.qa_id) or parts[r.qa_id]
    rows = check_written(sorted(rows, key=lambda r: r.qa_id))
    kept = {r.qa_id for r in rows} | dropped
    write_jsonl(packaged_written(), rows)
    reviews = sorted((r for r in reviews if r['qa_id'] in kept), key=lambda r: r['qa_id'])
    write_jsonl(packaged_written().with_name('written-reviews.jsonl'), reviews)
    write_atomic(packaged_written().with_name('written-card.md'), written_card(rows, reviews))
    print(json.dumps(dict(rows=len(rows), pairs=sum(not r.trap for r in rows), refused=len(lost), parts=Counter(r.split for r in rows))))


if __name__ == '__main__': main()
