'use strict';
document.documentElement.classList.add('js');
const byId = id => document.getElementById(id);
const all = (query, at = document) => [...at.querySelectorAll(query)];

// Tables: a click on a heading sorts, a second click turns the order round, a third restores it.
function value(cell) {
  const text = cell.dataset.v ?? cell.textContent.trim(), number = parseFloat(text);
  return Number.isNaN(number) || cell.tagName === 'TH' ? text : number;
}
function compare(a, b) {
  if (typeof a === 'number' && typeof b === 'number') return a - b;
  if (typeof a === 'number') return 1; // numbers after texts and empty cells
  if (typeof b === 'number') return -1;
  return a.localeCompare(b);
}
function nextOrder(now, first) {
  const other = first === 'ascending' ? 'descending' : 'ascending';
  return !now ? first : now === first ? other : null;
}
function sortable(table) {
  const heads = all('thead th', table), body = table.tBodies[0], rows = [...body.rows];
  heads.forEach((head, column) => {
    if (head.classList.contains('nosort')) return;
    const button = document.createElement('button');
    button.type = 'button';
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener('click', () => {
      const first = head.dataset.kind === 'text' ? 'ascending' : 'descending';
      const order = nextOrder(head.getAttribute('aria-sort'), first), sign = order === 'descending' ? -1 : 1;
      heads.forEach(h => h.removeAttribute('aria-sort'));
      if (order) head.setAttribute('aria-sort', order);
      const sorted = [...rows].sort((a, b) => sign * compare(value(a.cells[column]), value(b.cells[column])));
      body.append(...(order ? sorted : rows));
    });
  });
}
function filterable(table) {
  const rows = [...table.tBodies[0].rows];
  if (rows.length < 6) return;
  const label = document.createElement('label'), input = document.createElement('input');
  label.className = 'rowfilter';
  input.type = 'search';
  label.append('Rows with ', input);
  input.addEventListener('input', () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of rows) row.hidden = !words.every(w => row.textContent.toLowerCase().includes(w));
  });
  (table.closest('.scroll') ?? table).before(label);
}
all('table.sortable').forEach(table => { sortable(table); filterable(table); });

// Questions: words, subdomain, system and score, status, disagreement.
const cards = all('.card'), form = document.querySelector('.filters');
const texts = new Map(cards.map(card => [card, card.textContent.toLowerCase()]));
const chosen = id => byId(id)?.value ?? '';
function hasState(card, state) {
  const states = card.dataset.states.split('|').filter(Boolean);
  return !state || (state === '-' ? !states.length : states.includes(state));
}
function hasScore(card, system, score) {
  if (!system && !score) return true;
  const cells = card.dataset.scores.split(' ').filter(Boolean).map(cell => cell.split(':'));
  return cells.some(([s, v]) => (!system || s === system) && (!score || v === score));
}
function matches(card) {
  const words = chosen('f-text').toLowerCase().split(/\s+/).filter(Boolean), sub = chosen('f-sub'), apart = chosen('f-apart');
  return words.every(w => texts.get(card).includes(w)) && (!sub || card.dataset.sub === sub)
    && hasScore(card, chosen('f-sys'), chosen('f-score')) && hasState(card, chosen('f-state'))
    && (!apart || card.dataset.apart.split(' ').includes(apart));
}
function filter() {
  const shown = cards.filter(card => { const hit = matches(card); card.hidden = !hit; return hit; }).length;
  byId('shown').textContent = shown === cards.length ? `${shown} questions` : `${shown} of ${cards.length} questions`;
}
form.addEventListener('input', filter);
form.addEventListener('submit', event => event.preventDefault());
form.addEventListener('reset', () => setTimeout(filter));
byId('b-open').addEventListener('click', () => cards.forEach(card => { if (!card.hidden) card.open = true; }));
byId('b-close').addEventListener('click', () => cards.forEach(card => { card.open = false; }));

// Keys: / to the words, j and k from question to question.
function step(by) {
  const visible = cards.filter(card => !card.hidden), at = visible.indexOf(document.activeElement?.closest?.('.card'));
  const next = visible[at < 0 && by < 0 ? visible.length - 1 : Math.min(visible.length - 1, Math.max(0, at + by))];
  next?.querySelector('summary').focus();
}
document.addEventListener('keydown', event => {
  if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
  if (event.key === '/') { event.preventDefault(); byId('f-text').focus(); }
  if (event.key === 'j') step(1);
  if (event.key === 'k') step(-1);
});

// Paper: all answers that are not filtered out are printed.
let closed = [];
addEventListener('beforeprint', () => { closed = cards.filter(c => !c.open && !c.hidden); closed.forEach(c => { c.open = true; }); });
addEventListener('afterprint', () => closed.forEach(c => { c.open = false; }));

// Links to a question open it.
function follow() {
  const at = location.hash && byId(decodeURIComponent(location.hash.slice(1)));
  if (at?.tagName === 'DETAILS') { at.hidden = false; at.open = true; at.scrollIntoView(); }
}
addEventListener('hashchange', follow);
follow();
filter();
