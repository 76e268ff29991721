"The house style of the notebooks, as CONTRIBUTING.md tells it."
import ast
import json
import re
import statistics
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted(p for p in (ROOT/'nbs').glob('[0-9]*.ipynb'))
EXPORTS = {'export', 'exports', 'exporti'}
DOCUMENTED = r'#\s*\|\s*([a-z_]+)'


def cells(nb): return json.loads(nb.read_text(encoding='utf-8'))['cells']
def source(cell): return ''.join(cell['source'])
def directives(cell): return set(re.findall(rf'^{DOCUMENTED}', source(cell), re.M))
def code(nb): return [c for c in cells(nb) if c['cell_type'] == 'code']
def imports_only(src): return all(isinstance(n, (ast.Import, ast.ImportFrom)) for n in ast.parse(src).body)
def exported(nb): return [c for c in code(nb) if directives(c) & EXPORTS and not imports_only(source(c))]
def lines(cell): return sum(1 for line in source(cell).splitlines() if line.strip() and not line.startswith('#|'))


def functions(tree):
    "Public functions and methods of a parsed cell."
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith('_'): yield node
        if isinstance(node, ast.ClassDef) and not node.name.startswith('_'):
            yield from (m for m in node.body if isinstance(m, ast.FunctionDef) and not m.name.startswith('_'))


def test_there_are_notebooks(): assert len(NOTEBOOKS) >= 20


@pytest.mark.parametrize('nb', NOTEBOOKS, ids=lambda p: p.stem)
class TestNotebook:
    def test_opens_with_module_title_and_sentence(self, nb):
        first, second = cells(nb)[:2]
        assert source(first).startswith('#| default_exp ') and first['cell_type'] == 'code'
        assert re.fullmatch(r'# [^\n]+\n\n> [^\n]+', source(second).strip()), source(second)

    def test_cells_are_small(self, nb):
        sizes = [lines(c) for c in exported(nb)]
        assert max(sizes) <= 40, [source(c)[:60] for c in exported(nb) if lines(c) > 40]
        assert statistics.median(sizes) <= 14

    def test_exports_are_shown_and_tested(self, nb):
        all_code = code(nb)
        exports = [i for i, c in enumerate(all_code) if directives(c) & EXPORTS and not imports_only(source(c))]
        shown = [i for i in exports if i + 1 < len(all_code) and not directives(all_code[i + 1]) & EXPORTS]
        tests = [c for c in all_code if re.search(r'\bassert\b|\btest_\w+\(|expect_fail', source(c)) and not directives(c) & EXPORTS]
        assert len(shown) >= 0.7 * len(exports) and len(tests) >= 0.6 * len(exports)

    def test_imports_stand_alone(self, nb):
        for c in code(nb):
            body = '\n'.join(line for line in source(c).splitlines() if not line.startswith(('%', '!')))
            top = ast.parse(body).body
            kinds = {isinstance(n, (ast.Import, ast.ImportFrom)) for n in top}
            assert len(kinds) < 2 or 'hide' in directives(c), f"cell {c['id']} mixes imports and code"

    def test_public_functions_are_documented(self, nb):
        for c in exported(nb):
            src = source(c)
            for f in functions(ast.parse(src)):
                assert ast.get_docstring(f), f'{f.name} has no docstring'
                text = src.splitlines()
                args = [a for a in f.args.args + f.args.kwonlyargs if a.arg not in ('self', 'cls')]
                bare = [a.arg for a in args if '#' not in text[a.end_lineno - 1]]
                assert not bare, f'{f.name}: no comment on {bare}'

    def test_outputs_are_kept_and_clean(self, nb):
        outputs = [o for c in code(nb) for o in c.get('outputs', [])]
        assert outputs, 'no outputs are kept'
        assert not [o for o in outputs if o['output_type'] == 'error']
        assert not re.search(r'/(root|home|tmp|work)/', json.dumps(outputs)), 'a machine path in an output'
        assert nb.stat().st_size <= 400_000

    def test_pictures_are_small_and_have_words(self, nb):
        "For those who cannot see them: words in the output, or in the cell's `fig-alt`."
        for c in code(nb):
            for o in c.get('outputs', []):
                if 'image/png' not in o.get('data', {}): continue
                words = o.get('metadata', {}).get('image/png', {}).get('alt') or ''.join(re.findall(r'#\| fig-alt: *(.+)', source(c)))
                assert len(words) > 10 and len(o['data']['image/png']) * 3 / 4 < 100_000, c['id']

    def test_ids_are_names_and_unique(self, nb):
        ids = [c['id'] for c in cells(nb)]
        assert len(ids) == len(set(ids)) and all(re.fullmatch(r'[\w-]+', i) for i in ids)
