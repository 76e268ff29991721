// Drives report.html in headless Chromium as a reader does and prints what came of it as JSON.
// node report.mjs CHROMIUM PAGE_URL SCREENSHOT_FOLDER
import { createRequire } from 'node:module';
const { chromium } = createRequire(import.meta.url)('playwright-core');

const [executablePath, url, shots] = process.argv.slice(2);
const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu'] });
const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
const log = { errors: [], requests: [] };
page.on('pageerror', e => log.errors.push(String(e)));
page.on('console', m => { if (m.type() === 'error') log.errors.push(m.text()); });
page.on('request', r => { if (!r.url().startsWith('data:')) log.requests.push(r.url()); });
page.on('dialog', d => { log.errors.push(`dialog: ${d.message()}`); d.dismiss(); });
await page.goto(url);
log.title = await page.title();
const shown = () => page.textContent('#shown');
const column = n => page.$$eval('section[aria-labelledby=sub-h] tbody tr', (rows, n) => rows.filter(r => !r.hidden).map(r => r.cells[n].dataset.v ?? r.cells[n].textContent.trim()), n);

// Sorting, by mouse and by key
log.start = await column(0);
await page.click('section[aria-labelledby=sub-h] thead th:nth-child(3) button');
log.down = (await column(2)).map(Number);
log.aria = await page.getAttribute('section[aria-labelledby=sub-h] thead th:nth-child(3)', 'aria-sort');
await page.focus('section[aria-labelledby=sub-h] thead th:nth-child(3) button');
await page.keyboard.press('Enter');
log.up = (await column(2)).map(Number);
await page.keyboard.press('Enter');
log.back = await column(0);

// Rows of a table
await page.fill('section[aria-labelledby=sub-h] .rowfilter input', 'tra doc');
log.rows = await column(0);
await page.fill('section[aria-labelledby=sub-h] .rowfilter input', '');

// Filters of the questions
const pick = async (id, v) => { if (!await page.$(`#${id}`)) return null; await page.selectOption(`#${id}`, v); const s = await shown(); await page.selectOption(`#${id}`, ''); return s; };
log.all = await shown();
log.appeals = await pick('f-sub', 'appeals');
log.threes = await pick('f-score', '3');
log.open = await pick('f-score', 'open');
log.states = await page.$$eval('#f-state option', os => os.map(o => o.value));
log.unusual = {};
for (const s of log.states.filter(Boolean)) log.unusual[s] = await pick('f-state', s);
log.systems_apart = await pick('f-apart', 'systems');
log.judges_apart = await page.$('#f-apart option[value=judges]') ? await pick('f-apart', 'judges') : null;

// Keys only: / , words, j, Enter
await page.keyboard.press('Escape');
await page.evaluate(() => document.activeElement.blur());
await page.keyboard.press('/');
log.focus = await page.evaluate(() => document.activeElement.id);
await page.keyboard.type('travel TRAVEL');
log.words = await shown();
await page.evaluate(() => document.activeElement.blur());
await page.keyboard.press('j');
await page.keyboard.press('j');
await page.keyboard.press('Enter');
log.opened = await page.$$eval('details.card[open] .q', qs => qs.map(q => q.textContent));
log.second = await page.$$eval('details.card', cs => cs.filter(c => !c.hidden)[1]?.querySelector('.q').textContent);
await page.keyboard.press('k');
log.first_focused = await page.evaluate(() => document.activeElement.closest('.card')?.id);
await page.locator('details.card[open]').first().scrollIntoViewIfNeeded();
await page.waitForTimeout(600);
await page.screenshot({ path: `${shots}/drill-down.png` });
await page.click('button[type=reset]');
await page.waitForTimeout(50);
log.after_reset = await shown();

// A link to a question, looks, paper
const id = await page.getAttribute('details.card >> nth=3', 'id');
await page.goto(`${url}#${id}`);
log.linked = await page.$eval(`#${id}`, d => d.open);
log.marks = await page.$$eval('.answer .cite', cs => cs.map(c => [c.className, c.querySelector('.sign').textContent]));
log.wide = await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth);
await page.goto(url);
await page.screenshot({ path: `${shots}/top.png` });
await page.screenshot({ path: `${shots}/whole.png`, fullPage: true });
await page.emulateMedia({ colorScheme: 'dark' });
await page.screenshot({ path: `${shots}/dark.png` });
await page.emulateMedia({ colorScheme: 'light' });
await page.setViewportSize({ width: 390, height: 800 });
log.narrow = await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth);
await page.screenshot({ path: `${shots}/phone.png` });
await page.setViewportSize({ width: 1280, height: 900 });
log.pdf = (await page.pdf({ path: `${shots}/paper.pdf`, format: 'A4' })).length;
log.elements = await page.evaluate(() => ({ scripts: document.scripts.length, images: [...document.images].filter(i => !i.complete || !i.naturalWidth).length }));
await browser.close();
console.log(JSON.stringify(log));
