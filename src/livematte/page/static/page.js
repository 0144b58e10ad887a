// Begins: what can this server do, which parts are shown, is the page still there.
import {askJson, ask, client} from './api.js';
import {beginLive} from './live.js';
import {beginFiles} from './files.js';

const byId = (id) => document.getElementById(id);

export function say(text) {
  const notice = byId('notice');
  notice.textContent = text;
  notice.hidden = !text;
}

function showPart(name) {
  for (const one of ['live', 'files']) {
    byId(one).hidden = one !== name;
    byId(`show-${one}`).setAttribute('aria-current', String(one === name));
  }
  document.title = name === 'live' ? 'livematte' : 'Photos and clips – livematte';
  document.dispatchEvent(new CustomEvent('part', {detail: name}));
}

async function begin() {
  let info;
  try {
    info = await askJson('/api/info');
  } catch (error) {
    say(error.message);
    return;
  }
  beginFiles(info, say);
  byId('show-live').addEventListener('click', () => showPart('live'));
  byId('show-files').addEventListener('click', () => showPart('files'));
  byId('parts').hidden = !info.live;
  if (info.live) beginLive(info, say);
  showPart(info.live ? 'live' : 'files');
}

addEventListener('hashchange', () => { if (location.hash.length > 16) location.reload(); });
// While this page is open its files are kept; when it closes they are deleted.
setInterval(() => ask(`/api/here?client=${client}`, {method: 'POST'}).catch(() => {}), 10000);
addEventListener('pagehide', () => {
  ask(`/api/bye?client=${client}`, {method: 'POST', keepalive: true}).catch(() => {});
});
addEventListener('pageshow', (event) => { if (event.persisted) location.reload(); });
begin();
