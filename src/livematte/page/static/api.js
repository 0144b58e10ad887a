// Talking to the server: the token (Note [Two tokens] in tokens.py), errors, and pictures as they come.

const KEY = `livematte-token-${location.port}`;

function takeToken() {
  const given = location.hash.slice(1);
  if (/^[\w-]{16,}$/.test(given)) {
    try { sessionStorage.setItem(KEY, given); } catch { /* storage switched off: the token lives until a reload */ }
    history.replaceState(null, '', location.pathname);
    return given;
  }
  try { return sessionStorage.getItem(KEY) || ''; } catch { return ''; }
}

const token = location.pathname === '/obs' ? location.hash.slice(1) : takeToken();
export const client = crypto.randomUUID();

export class Refusal extends Error {
  constructor(status, message) { super(message); this.status = status; }
}

export function ask(path, options = {}) {
  return fetch(path, {...options, headers: {Authorization: `Bearer ${token}`, ...options.headers}, cache: 'no-store'});
}

export async function askJson(path, body, method = body === undefined ? 'GET' : 'POST') {
  const options = {method};
  if (body !== undefined) {
    options.body = JSON.stringify(body);
    options.headers = {'Content-Type': 'application/json'};
  }
  let answer;
  try {
    answer = await ask(path, options);
  } catch {
    throw new Refusal(0, 'livematte does not answer: has it ended?');
  }
  const value = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Refusal(answer.status, value.message || `The server answered ${answer.status}.`);
  return value;
}

// A file, with its progress from 0 to 1: fetch cannot tell how much of a body has gone out.
export function upload(path, file, progress) {
  const request = new XMLHttpRequest();
  const done = new Promise((resolve, reject) => {
    request.open('POST', path);
    request.setRequestHeader('Authorization', `Bearer ${token}`);
    request.setRequestHeader('Content-Type', 'application/octet-stream');
    request.responseType = 'json';
    request.upload.onprogress = (event) => progress(event.lengthComputable ? event.loaded / event.total : 0);
    request.onload = () => (request.status < 300 ? resolve(request.response)
      : reject(new Refusal(request.status, request.response?.message || `The server answered ${request.status}.`)));
    request.onerror = () => reject(new Refusal(0, 'The upload was refused or broke off: the file may be too large.'));
    request.onabort = () => reject(new Refusal(0, 'Stopped.'));
  });
  request.send(file);
  return {done, abort: () => request.abort()};
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// Asks for pictures for as long as `wanted()` says so; each goes to `show(bitmap, layout, width, height)`, `clear()`
// where there is nothing to show. Reconnects by itself: the server may end and begin again at any time.
export async function follow(path, {show, clear, wanted = () => true, lost = () => {}}) {
  let after = 0;
  let failures = 0;
  for (;;) {
    if (!wanted()) { after = 0; await pause(200); continue; }
    try {
      const separator = path.includes('?') ? '&' : '?';
      const answer = await ask(`${path}${separator}client=${client}&after=${after}`, {signal: AbortSignal.timeout(8000)});
      if (!answer.ok) throw new Refusal(answer.status, (await answer.json().catch(() => ({}))).message || '');
      failures = 0;
      const layout = answer.headers.get('X-Livematte-Layout');
      if (layout === 'same') continue;
      after = Number((answer.headers.get('ETag') || '"0"').replace(/\D/g, ''));
      if (layout === 'empty') { clear(); continue; }
      const [width, height] = answer.headers.get('X-Livematte-Size').split('x').map(Number);
      const bitmap = await createImageBitmap(await answer.blob(), {premultiplyAlpha: 'none', colorSpaceConversion: 'none'});
      if (wanted()) show(bitmap, layout, width, height);
      bitmap.close();
    } catch (error) {
      failures += 1;
      after = 0;
      if (failures >= 2) { clear(); lost(error); }
      await pause(error.status === 401 ? 5000 : Math.min(250 * failures, 2000));
    }
  }
}
