// Opens every page of the docs site in headless Chromium, wide and narrow, and prints what is wrong with each as JSON.
// node pages.mjs CHROMIUM SITE_FOLDER SCREENSHOT_FOLDER [PAGE...]
import { createRequire } from 'node:module';
import { readdirSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
const { chromium } = createRequire(import.meta.url)('playwright-core');

const [executablePath, site, shots, ...some] = process.argv.slice(2);
const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu', '--allow-file-access-from-files'] });
const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
const found = {};
let errors = [], outside = [];
page.on('pageerror', e => errors.push(String(e)));
page.on('request', r => { if (!/^(data|file|blob):/.test(r.url())) outside.push(r.url()); });
const names = some.length ? some : readdirSync(site).filter(n => n.endsWith('.html')).sort();
for (const name of names) {
  errors = []; outside = [];
  await page.setViewportSize({ width: 1280, height: 900 });
  await page.goto(pathToFileURL(`${site}/${name}`).href);
  const over = () => page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  const seen = await page.evaluate(() => ({
    title: document.title, h1: document.querySelectorAll('h1').length,
    broken: [...document.images].filter(i => i.complete && !i.naturalWidth).map(i => i.src.slice(0, 80)),
    wordless: [...document.images].filter(i => !i.alt).length,
    comments: [...document.querySelectorAll('main p, main li, main td')].filter(e => /<!(--|\u2013)/.test([...e.childNodes].filter(n => n.nodeType === 3).map(n => n.data).join(''))).length,
    // Code or plain output that can be read only by scrolling sideways
    cut: [...document.querySelectorAll('.cell-output pre')].filter(p => p.scrollWidth > p.clientWidth + 2).length,
  }));
  seen.wide = await over();
  if (shots !== '-' ) await page.screenshot({ path: `${shots}/${name}.png`, fullPage: some.length > 0 });
  await page.setViewportSize({ width: 390, height: 800 });
  seen.narrow = await over();
  found[name] = { ...seen, errors, outside };
}
await browser.close();
console.log(JSON.stringify(found));
