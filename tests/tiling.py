"What holds for the paragraphs of every document."


def texts(doc, kind=None):
    "Texts of the paragraphs of `doc`, of one `kind` if it is given."
    return [doc.text[p['start']:p['end']] for p in doc.paragraphs if kind in (None, p['kind'])]


def check_tiling(doc, own=False):
    "Paragraphs of `doc` follow each other without gap or overlap, ids differ, and, with `own`, begin with its citation."
    end = 0
    for p in doc.paragraphs:
        text = doc.text[p['start']:p['end']]
        assert text and text == text.strip() and p['start'] >= end and not doc.text[end:p['start']].strip()
        end = p['end']
    assert end == len(doc.text) and len({p['id'] for p in doc.paragraphs}) == len(doc.paragraphs)
    assert not {'\x02', '\x03'} & set(doc.text)
    assert not own or all(p['id'].startswith(doc.citation) for p in doc.paragraphs)
