"""Build the docs site in `_docs/` from the notebooks' stored outputs, or with `--readme` only README.md from the index and
the pages, pictures and blocks that are made from result files (as `immig reproduce --offline` does).

Nothing is executed. The site is rendered by smalldocs from the folder that nbdev processed and from `_quarto.yml`, so
that it needs no Quarto; `nbdev_docs` renders the same folder where Quarto is installed. The build fails when a page is
missing, when an internal link leads nowhere, when a picture has no words for those who cannot see it, or when nbdev warns of a cell that mixes imports and code.
"""
import argparse
import ast
import dataclasses
import html
import json
import re
import shutil
import subprocess
import sys
import textwrap
from html.parser import HTMLParser
from pathlib import Path

import yaml
from fastcore import docments
from nbdev.config import get_config
from nbdev.doclinks import nbglob
from nbdev.quarto import proc_nbs, refresh_quarto_yml

from immig_research.reproduce import reproduce

root = Path(__file__).resolve().parent.parent


def outputs_md(cell):
    "A code cell's stored outputs as Markdown."
    for o in cell.get('outputs', []):
        data = o.get('data', {})
        text = data.get('text/markdown') or data.get('text/plain') or o.get('text', '')
        text = ''.join(text)
        yield text if 'text/markdown' in data else '\n'.join('    ' + line for line in text.splitlines())


def readme():
    "README.md: the index notebook's prose, code and outputs, without hidden cells, pictures found from the root; what is made from results first."
    reproduce(root)
    parts = ['<!-- Made from nbs/index.ipynb by `make readme`; edit that. -->']
    for cell in json.loads((root/'nbs/index.ipynb').read_text(encoding='utf-8'))['cells']:
        source = ''.join(cell['source']).strip()
        if cell['cell_type'] == 'markdown': parts.append(source.replace('](images/', '](nbs/images/'))
        elif cell['cell_type'] == 'code' and '#| hide' not in source:
            if '#| echo: false' not in source: parts.append(f'```python\n{source}\n```')
            parts += outputs_md(cell)
    (root/'README.md').write_text('\n\n'.join(p for p in parts if p) + '\n', encoding='utf-8')


class Links(HTMLParser):
    "The `href`, `src` and `id` values of a page, and its pictures without words."
    def __init__(self, page):
        super().__init__()
        self.refs, self.ids, self.wordless = [], set(), []
        self.feed(page.read_text(encoding='utf-8'))
    def handle_starttag(self, tag, attrs):
        for k, v in attrs:
            if k in ('href', 'src') and v: self.refs.append(v)
            if k == 'id' and v: self.ids.add(v)
        if tag == 'img' and not dict(attrs).get('alt'): self.wordless.append(dict(attrs).get('src', '')[:60])


def broken_links(site):
    "Internal links of `site` that lead to no file, or to no place in their page, and pictures without words."
    pages = {p: Links(p) for p in site.rglob('*.html')}
    for page, links in pages.items():
        yield from (f'{page.name}: no alt text: {src}' for src in links.wordless)
        for ref in links.refs:
            if re.match(r'[a-z]+:|//', ref): continue
            path, _, anchor = ref.partition('#')
            target = (page.parent/path.split('?')[0]).resolve() if path else page
            if target.is_dir(): target = target/'index.html'
            if not target.exists(): yield f'{page.name}: {ref}'
            elif anchor and target in pages and anchor not in pages[target].ids: yield f'{page.name}: {ref}'


def plain(name): return re.sub(r'^\d+[a-z]?_', '', name)


GROUPS = (('Sources', '00'), ('Dataset', '01'), ('Training', '02'), ('Answers', '03'), ('Judge', '04'), ('Analysis', '05'), ('Command line', '06'))
START = ('index.ipynb', 'tutorial.qmd', 'aws.qmd', 'honesty.qmd')
FOUND = ('results.qmd', 'benchmarks.qmd', 'data_card.qmd', 'model_card.qmd')


def sidebar():
    "The entries of the site's sidebar: start, the six stages and the command line, results, and folded the parts of each stage."
    there = sorted(p.name for p in (root/'nbs').iterdir() if p.suffix in ('.ipynb', '.qmd'))
    stages = [n for n in there if re.match(r'\d\d_', n)]
    parts = [dict(section=f'Parts: {title.lower()}', contents=[plain(n) for n in there if re.match(rf'{number}[a-z]_', n)]) for title, number in GROUPS]
    rest = [n for n in there if not re.match(r'\d', n) and n not in START + FOUND]
    groups = [[n for n in START if n in there], [plain(n) for n in stages], [n for n in FOUND if n in there], [p for p in parts if p['contents']], rest]
    return [entry for group in groups if group for entry in [dict(text='---'), *group]][1:]


def linked(text, there):
    "`text` with the names of notebooks and pages that are `there`, in backticks, as links to their pages; code blocks and links stay."
    parts = re.split(r'(^```.*?^```$|\[[^\]]*\]\([^)]*\))', text, flags=re.S | re.M)
    name = lambda m: f'[`{m[1]}`]({plain(m[1])}.html)' if m[1] in there else m[0]
    return ''.join(p if k % 2 else re.sub(r'`(?:nbs/)?(\d\d[a-z]?_\w+|\w+(?=\.qmd))(?:\.qmd)?`', name, p) for k, p in enumerate(parts))


def described(text):
    "`text` in which a description of more than 120 characters is a picture's alt text and no caption below it."
    return re.sub(r'^!\[([^\]"]{120,})\]\((\S+)\)$', r'![](\2){fig-alt="\1"}', text, flags=re.M)


def with_words(output):
    "A stored picture that has words for those who cannot see it, as HTML that says them; the renderer drops them otherwise."
    words, picture = output.get('metadata', {}).get('image/png', {}).get('alt'), output.get('data', {}).get('image/png')
    if not (words and picture): return output
    tag = f'<img src="data:image/png;base64,{"".join(picture).strip()}" alt="{html.escape(words)}" class="img-fluid">'
    return {**output, 'data': {'text/html': tag}, 'metadata': {}}


def helpers_told(cells):
    "Id of a cell that is the first to try helpers of the module, which have no heading of their own -> Markdown that says what they do."
    told, notes = {}, {}
    for cell in cells:
        if cell['cell_type'] != 'code': continue
        source = ''.join(cell['source'])
        if re.match(r'#\|\s*exports?\b', source):
            defs = [n for n in ast.parse(source).body if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and n.name.startswith('_')]
            told |= {n.name: ast.get_docstring(n) for n in defs if ast.get_docstring(n)}
        elif not re.search(r'#\|\s*(hide|default_exp)\b', source):
            names = [n for n in dict.fromkeys(re.findall(r'(?<![\w.])_\w+', source)) if n in told]
            if names: notes[cell['id']] = '\n\n'.join(f'`{n}`: {told.pop(n)}' for n in names)
    return notes


def mend_pages(cache):
    "In the pages of `cache`, make the names of notebooks links, give pictures their words, and say what the helpers do that a cell tries."
    there = {p.stem for p in (*(root/'nbs').glob('[0-9]*.ipynb'), *(root/'nbs').glob('*.qmd'))}
    for page in cache.glob('*.qmd'): page.write_text(described(linked(page.read_text(encoding='utf-8'), there)), encoding='utf-8')
    for page in cache.glob('*.ipynb'):
        book = json.loads(page.read_text(encoding='utf-8'))
        original = root/'nbs'/page.name
        notes = helpers_told(json.loads(original.read_text(encoding='utf-8'))['cells']) if original.exists() else {}
        told = {i: dict(cell_type='markdown', id=f'{i}-told', metadata={}, source=text) for i, text in notes.items()}
        book['cells'] = [c for cell in book['cells'] for c in (told.get(cell.get('id')), cell) if c]
        for cell in book['cells']:
            if cell['cell_type'] == 'markdown': cell['source'] = described(linked(''.join(cell['source']), there))
            if cell['cell_type'] == 'code': cell['outputs'] = [with_words(o) for o in cell.get('outputs', [])]
        page.write_text(json.dumps(book), encoding='utf-8')


def drop_numbers(cache):
    "Name each page as nbdev's own links do, without the number that orders the notebooks: records.html, not 00a_records.html."
    for nb in sorted(cache.glob('[0-9]*.ipynb')): nb.rename(cache/plain(nb.name))
    (cache/'sidebar.yml').write_text(yaml.safe_dump({'website': {'sidebar': {'contents': sidebar()}}}, sort_keys=False), encoding='utf-8')


PAGE_WIDTH = 80 # Characters in a line of code on the site


def dataclass_source(cls):
    "The source of a dataclass that nbdev made by running a notebook's cell, which is in no file that `inspect` knows: its twin in the package."
    for module in sorted(get_config().lib_path.glob('*.py')):
        source = module.read_text(encoding='utf-8')
        for node in ast.parse(source).body:
            if not isinstance(node, ast.ClassDef) or node.name != cls.__name__: continue
            if [f.target.id for f in node.body if isinstance(f, ast.AnnAssign)] == list(cls.__annotations__):
                return '\n'.join(source.splitlines()[node.lineno - 1:node.end_lineno])
    return ''


def commented(code, comment, indent=''):
    "Lines of `code` with `comment` behind it, cut to the width of the page; the comment goes on below where it began."
    if not comment: return [indent + code]
    room = PAGE_WIDTH - len(indent + code) - 3
    if room < 20 and len(comment) > room:
        return [indent + code, *(f'{indent}    # {line}' for line in textwrap.wrap(comment, PAGE_WIDTH - len(indent) - 6))]
    first, *more = textwrap.wrap(comment, room) if len(comment) > room else [comment]
    return [f'{indent}{code} # {first}', *(' ' * len(indent + code) + f' # {line}' for line in more)]


def short_types(code):
    "`code` of a signature with classes by their own names, without the modules they are in, their addresses and what fastcore says of a choice."
    code = re.sub(r'(?<![\w.])(?:__main__|immig_research\.\w+|collections\.abc|pathlib|numpy)\.(?=\w)', '', code)
    code = re.sub(r'<(\w+) object at 0x[0-9a-f]+>', r'\1()', re.sub(r'<[\w.]+\.(?=\w+ object at 0x)', '<', code))
    return re.sub(r'(:str) <[^>]*>', r'\1', code)


def signature(name, params, ret_str, maxline, prefix='def'):
    "A signature with one parameter or field a line where they have comments."
    code, _, comment = ret_str.partition(' # ')
    code, params = short_types(code), [(short_types(text), doc) for text, doc in params]
    if any(doc for _, doc in params):
        lines = [line for text, doc in params for line in commented(f'{text},', ' '.join((doc or '').split()), '    ')]
    else: lines = textwrap.wrap(', '.join(text for text, _ in params), PAGE_WIDTH, initial_indent='    ', subsequent_indent='    ', break_on_hyphens=False)
    if lines: return '\n'.join([f'{prefix} {name}(', *lines, *commented(code, comment)])
    return '\n'.join(commented(f'{prefix} {name}({code}', comment))


def default_text(value, kind=None):
    "A default as a reader would write it: no address in memory, no long list."
    if value is docments.empty: return ''
    if repr(value) == '<factory>': return {list: '[]', dict: '{}'}.get(kind, '...')
    name = getattr(value, '__name__', None)
    if name: return '...' if name.startswith('<') else name
    cls = type(value)
    if ' object at 0x' in repr(value): return f'{cls.__name__}()'
    if dataclasses.is_dataclass(cls) and not isinstance(value, type):
        told = {f.name: getattr(value, f.name) for f in dataclasses.fields(cls) if f.init}
        usual = {f.name: f.default if f.default_factory is dataclasses.MISSING else f.default_factory() for f in dataclasses.fields(cls)}
        shown = f"{cls.__name__}({', '.join(f'{k}={v!r}' for k, v in told.items() if v != usual[k])})"
    else: shown = repr(value)
    return shown if len(shown) <= 80 else '...'


def param_text(self, name, param):
    "`name`, its type without the modules that it comes from, and its default."
    star = {docments.Parameter.VAR_POSITIONAL: '*', docments.Parameter.VAR_KEYWORD: '**'}.get(param.get('kind'), '')
    kind, default = param.get('anno', docments.empty), param.get('default', docments.empty)
    told = '' if kind is docments.empty else re.sub(r'\b(?:\w+\.)+(?=\w)', '', docments._maybe_nm(kind))
    text = star + name + (f':{told}' if told not in ('', 'NoneType', 'module') else '')
    return text if default is docments.empty else f'{text}={default_text(default, kind)}'


def told_return(self):
    "The end of a signature; the comment on what is returned also where no type is named."
    kind, comment = self.dm.get('return', {}).get('anno', docments.empty), self.dm.get('return', {}).get('docment')
    if not comment and docments.isfunction(self.obj):
        found = re.search(r'^(?:def .*|\s*)\):[ ]*#[ ]*(.+)$', docments.getsource(self.obj).partition('"')[0], re.M)
        comment = found[1] if found else ''
    told = '' if kind is docments.empty else '->' + re.sub(r'\b(?:\w+\.)+(?=\w)', '', docments._maybe_nm(kind))
    return f'){told}:' + (f' # {comment}' if comment else '')


def class_text(shown, text):
    "The signature `text` of the class that is `shown`, as a class; one that takes whatever its base takes names its base alone."
    if [name for name, _ in shown.params] not in ([], ['*args', '**kwargs']): return re.sub(r'^def ', 'class ', re.sub(r'\)(->None)?:$', ')', text))
    return f"class {shown.obj.__name__}({', '.join(b.__name__ for b in shown.obj.__bases__ if b is not object)})".removesuffix('()')


def widen_signatures():
    "Let nbdev show signatures with all comments, also on the fields of dataclasses, and cut them to the page."
    text_of, docments_of = docments.DocmentText.__str__, docments.docments
    def shown(self): return class_text(self, text_of(self)) if docments.isclass(self.obj) else text_of(self)
    docments.docments = lambda *args, **kwargs: docments_of(*args, **{'args_kwargs': True, **kwargs})
    docments.get_dataclass_source, docments._fmt_sig, docments.DocmentText.__str__ = dataclass_source, signature, shown
    docments.DocmentText._fmt_param, docments.DocmentText._ret_str = param_text, property(told_return)


def site():
    "Render the site and check that every notebook has its page."
    cfg = get_config()
    refresh_quarto_yml()
    shutil.rmtree(root/'_proc', ignore_errors=True)
    widen_signatures()
    cache = proc_nbs(cfg.nbs_path, n_workers=0, force=True)
    shutil.copytree(root/'nbs'/'images', cache/'images', dirs_exist_ok=True)  # nbdev leaves out what is older than its cache
    if failed := sorted(p.name for p in cache.glob('*.ipynb') if 'Traceback (most recent call last)' in p.read_text(encoding='utf-8')): sys.exit(f'no signature could be shown in {", ".join(failed)}')
    mend_pages(cache)
    drop_numbers(cache)
    done = subprocess.run(['smalldocs', 'render', str(cache), '--quiet'], capture_output=True, text=True)
    print(''.join(w for w in (done.stdout + done.stderr).splitlines(True) if not re.search('output-file|keep-md|commonmark|html.grid', w)), end='')
    if done.returncode: sys.exit(done.returncode)
    out = Path(cfg.doc_path)
    shutil.rmtree(out, ignore_errors=True)
    shutil.move(cache/out.name, out)
    base = f'{cfg.doc_host}{cfg.doc_baseurl}/'
    for page in out.glob('*.html'):
        page.write_text(page.read_text(encoding='utf-8').replace(f'href="{base}', 'href="'), encoding='utf-8')
    for sheet in out.rglob('*.css'): # The theme asks a server for its font: pages load nothing from outside
        sheet.write_text(re.sub(r'@import\s*url\(["\']?https?://[^)]*\)\s*;', '', sheet.read_text(encoding='utf-8')), encoding='utf-8')
    pages = [*map(Path, nbglob(cfg.nbs_path)), *(root/'nbs').glob('*.qmd')]
    missing = [f.name for f in pages if not (out/f'{plain(f.stem)}.html').exists()]
    if missing: sys.exit(f'no page for {missing}')
    broken = sorted(set(broken_links(out)))
    if broken: sys.exit(f'{len(broken)} broken links and pictures without words:\n' + '\n'.join(broken[:20]))
    print(f"{len(list(out.glob('*.html')))} pages in {out.name}/, no broken links")


if __name__ == '__main__':
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument('--readme', action='store_true', help='only README.md')
    readme() if ap.parse_args().readme else site()
