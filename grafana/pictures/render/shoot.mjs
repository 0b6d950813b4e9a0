// Photographs the built page: `node shoot.mjs PROMETHEUS END FOLDER`, with Debian's chromium.

import { createServer } from 'node:http';
import { readFile } from 'node:fs/promises';
import { chromium } from 'playwright-core';

const [prometheus, to, folder] = process.argv.slice(2);
// the overview goes on for each currency; one is enough
const HIGHEST = { overview: 1676 };
const SHOWN = {
  overview: {},
  account: { 'var-provider': 'bridge-gh', 'var-account': 'gh-payouts' },
  exporter: {},
};
const TYPES = { html: 'text/html', js: 'text/javascript', css: 'text/css' };

const server = createServer(async ({ url }, reply) => {
  const file = url === '/' || url.startsWith('/?') ? '/index.html' : url;
  try {
    const content = await readFile(`dist${file}`);
    reply.writeHead(200, { 'content-type': TYPES[file.split('.').at(-1)] ?? 'application/octet-stream' }).end(content);
  } catch {
    reply.writeHead(404).end();
  }
});
await new Promise((ready) => server.listen(0, '127.0.0.1', ready));
const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox'] });
for (const [name, variables] of Object.entries(SHOWN)) {
  const page = await browser.newPage({ viewport: { width: 1400, height: 3400 } });
  page.on('pageerror', (error) => console.error(`${name}: ${error.message}`));
  const query = new URLSearchParams({ dashboard: `balance-${name}`, prometheus, to, ...variables });
  await page.goto(`http://127.0.0.1:${server.address().port}/?${query}`);
  await page.waitForFunction('window.drawn || window.failed', null, { timeout: 60_000 });
  const failed = await page.evaluate('window.failed');
  if (failed) throw new Error(failed);
  const height = await page.evaluate("document.getElementById('dashboard').scrollHeight + 16");
  await page.screenshot({
    path: `${folder}/${name}.png`,
    clip: { x: 0, y: 0, width: 1400, height: HIGHEST[name] ?? height },
  });
}
await browser.close();
server.close();
