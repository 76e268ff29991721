// Asks the page of `immig serve` in headless Chromium as a reader does and prints what came of it as JSON.
// node serve.mjs CHROMIUM PAGE_URL SCREENSHOT_FOLDER
import { createRequire } from 'node:module';
const { chromium } = createRequire(import.meta.url)('playwright-core');

const [executablePath, url, shots] = process.argv.slice(2);
const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu'] });
const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
const log = { errors: [], elsewhere: [], overflow: {} };
page.on('pageerror', e => log.errors.push(String(e)));
page.on('request', r => { if (!r.url().startsWith(url)) log.elsewhere.push(r.url()); });
const shot = async name => {
  for (const width of [1280, 390]) {
    await page.setViewportSize({ width, height: 900 });
    log.overflow[`${name} ${width}`] = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    await page.screenshot({ path: `${shots}/serve-${name}-${width}.png` });
  }
};

// By keyboard alone: the field has the focus, the form is sent from its button
await page.goto(url);
log.focus = await page.evaluate(() => document.activeElement.id);
await page.keyboard.type('How soon after arriving must I apply for asylum?');
for (let n = 0; n < 12 && await page.evaluate(() => document.activeElement.type) !== 'submit'; n++) await page.keyboard.press('Tab');
await Promise.all([page.waitForNavigation(), page.keyboard.press('Enter')]);
log.heading = await page.textContent('#heading');
log.quotations = await page.$$eval('#answer blockquote', all => all.length);
log.kept = await page.inputValue('#question');
log.notice = (await page.textContent('#answer')).includes('no legal advice');
await shot('answered');

// The cited words in their document
await page.goto(new URL(await page.getAttribute('#answer a', 'href'), url).href);
log.marked = (await page.textContent('#cited')).trim().length;
log.visible = await page.evaluate(() => { const r = document.querySelector('#cited').getBoundingClientRect(); return r.top >= 0 && r.top < innerHeight; });
await shot('document');

// Markup in a question stays text; a refusal; a mistake
const markup = '<script>document.title = "run"</script> Who may apply?';
await page.goto(`${url}?question=${encodeURIComponent(markup)}`);
log.markup = [await page.inputValue('#question') === markup, await page.title() !== 'run'];
await page.goto(`${url}?question=${encodeURIComponent('Write a limerick about pizza in Rome.')}`);
log.refused = await page.textContent('#heading');
await page.goto(`${url}?question=asylum&as_of=2030-13-40`);
log.alert = await page.textContent('[role=alert]');
await shot('mistake');

console.log(JSON.stringify(log));
await browser.close();
