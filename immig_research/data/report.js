'use strict';
document.documentElement.classList.add('js');
const $ = id => document.getElementById(id), all = (q, at = document) => [...at.querySelectorAll(q)];
const value = cell => { const v = cell.dataset.v ?? cell.textContent.trim(), n = parseFloat(v); return Number.isNaN(n) || cell.tagName === 'TH' ? v : n; };
const compare = (a, b) => typeof a === 'number' && typeof b === 'number' ? a - b : typeof a === 'number' ? 1 : typeof b === 'number' ? -1 : a.localeCompare(b);
for (const table of all('table.sortable')) {
  const heads = all('thead th', table), body = table.tBodies[0], rows = [...body.rows];
  heads.forEach((head, column) => {
    if (head.classList.contains('nosort')) return;
    const button = document.createElement('button');
    button.type = 'button'; button.append(...head.childNodes); head.append(button);
    button.addEventListener('click', () => {
      const now = head.getAttribute('aria-sort'), first = head.dataset.kind === 'text' ? 'ascending' : 'descending';
      const next = !now ? first : now === first ? (first === 'ascending' ? 'descending' : 'ascending') : null;
      heads.forEach(h => h.removeAttribute('aria-sort'));
      if (next) head.setAttribute('aria-sort', next);
      const sign = next === 'descending' ? -1 : 1;
      body.append(...(next ? [...rows].sort((a, b) => sign * compare(value(a.cells[column]), value(b.cells[column]))) : rows));
    });
  });
}
const cards = all('.card'), form = document.querySelector('.filters');
const texts = new Map(cards.map(c => [c, c.textContent.toLowerCase()]));
function filter() {
  const words = $('f-text').value.toLowerCase().split(/\s+/).filter(Boolean), sub = $('f-sub').value;
  const system = $('f-sys').value, score = $('f-score').value, apart = $('f-apart').checked;
  let shown = 0;
  for (const c of cards) {
    const cells = c.dataset.scores.split(' ').filter(Boolean).map(s => s.split(':'));
    const hit = words.every(w => texts.get(c).includes(w)) && (!sub || c.dataset.sub === sub) && (!apart || 'apart' in c.dataset)
      && (!(system || score) || cells.some(([s, v]) => (!system || s === system) && (!score || v === score)));
    c.hidden = !hit; shown += hit;
  }
  $('shown').textContent = shown === cards.length ? `${shown} questions` : `${shown} of ${cards.length} questions`;
}
form.addEventListener('input', filter);
form.addEventListener('submit', e => e.preventDefault());
form.addEventListener('reset', () => setTimeout(filter));
$('b-open').addEventListener('click', () => cards.forEach(c => { if (!c.hidden) c.open = true; }));
$('b-close').addEventListener('click', () => cards.forEach(c => { c.open = false; }));
let before = [];
addEventListener('beforeprint', () => { before = cards.filter(c => !c.open && !c.hidden); before.forEach(c => { c.open = true; }); });
addEventListener('afterprint', () => before.forEach(c => { c.open = false; }));
function follow() { const at = location.hash && $(decodeURIComponent(location.hash.slice(1))); if (at && at.tagName === 'DETAILS') { at.hidden = false; at.open = true; at.scrollIntoView(); } }
addEventListener('hashchange', follow); follow(); filter();
