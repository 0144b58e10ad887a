// The live part: pictures, state, controls, numbers.
import {askJson, follow, upload} from './api.js';
import {Edges} from './edges.js';
import {drawGraph} from './graph.js';
import {Screen} from './screen.js';

const byId = (id) => document.getElementById(id);
const WORDS = {
  starting: 'Starting', running: 'Live', holding: 'Holding the last picture', placeholder: 'Interrupted',
  off: 'Camera off', idle: 'Asleep: nobody watches', ended: 'Ended',
};
const past = [];  // {p50, p95} four times a second, of the last minute

let say = () => {};
let edges;
let isShown = true;
let showsBefore = false;
let isOff = false;
let drawing = false;

const visible = () => isShown && document.visibilityState === 'visible';

async function change(path, body) {
  try {
    write(await askJson(path, body));
    say('');
  } catch (error) {
    say(error.message);
  }
}

// A slider moves many times a second; the server gets the newest value, one request at a time.
function newestOnly(send) {
  let waiting;
  let busy = false;
  return async (value) => {
    waiting = {...waiting, ...value};
    if (busy) return;
    busy = true;
    while (waiting) {
      const now = waiting;
      waiting = undefined;
      await send(now);
    }
    busy = false;
  };
}
const changeMatting = newestOnly((values) => change('/api/live/matting', values));
const changeBackground = newestOnly(({text}) => change('/api/live/background', {text}));

// -- what is shown -------------------------------------------------------------------------------------------------

function write(state) {
  isOff = state.state === 'off';
  const words = [WORDS[state.state] || state.state, state.reason].filter(Boolean).join('. ');
  if (byId('state-text').textContent !== words) byId('state-text').textContent = words;  // spoken only when it changes
  byId('dot').dataset.state = state.state;
  byId('camera-button').textContent = isOff ? 'Camera on' : 'Camera off';
  const total = state.frames + state.dropped;
  const number = (value, unit) => (value === undefined ? '–' : `${Math.round(value)}${unit}`);
  byId('fps').textContent = state.frames ? `${state.fps.toFixed(1)} fps` : '–';
  const {p50, p95} = state.latency_ms;
  byId('latency').textContent = p50 === undefined ? '–' : `${Math.round(p50)}, ${Math.round(p95)} ms`;
  byId('offset').textContent = number(state.latency_ms.p50, ' ms');
  byId('dropped').textContent = total ? `${state.dropped}, ${((100 * state.dropped) / total).toFixed(state.dropped * 10 < total ? 1 : 0)} %` : '–';
  byId('cpu').textContent = number(state.cpu_percent, ' %');
  byId('faults').textContent = String(state.faults);
  byId('engine').textContent = [state.camera, state.engine, state.rung].filter(Boolean).join(' · ');
  byId('background-now').textContent = `Now: ${/[\\/]/.test(state.background) ? state.background.split(/[\\/]/).pop() : state.background}`;
  byId('after-caption').textContent = state.background === 'transparent'
    ? 'The cut-out, as OBS and recordings with alpha get it. A virtual camera has no transparency and shows black.'
    : 'What others see';
  edges.set(state.matting);
  if (state.matting.subject && document.activeElement !== byId('subject')) byId('subject').value = state.matting.subject;
  if (document.activeElement !== byId('region')) byId('region').value = state.matting.region || '';
  if (!drawing) showRegion(state.matting.region);
  writeStages(state.stages_ms);
}

function writeStages(stages) {
  // `matting` is the sum of what is listed with it.
  const entries = Object.entries(stages).filter(([name]) => name !== 'matting' || !('network' in stages));
  if (!entries.length) return;
  const most = Math.max(...entries.map(([, ms]) => ms), 1);
  byId('stages').replaceChildren(...entries.map(([name, ms]) => {
    const row = document.createElement('tr');
    const head = Object.assign(document.createElement('th'), {scope: 'row', textContent: name.replace(/_/g, ' ')});
    const bar = document.createElement('td');
    const meter = Object.assign(document.createElement('span'), {className: 'bar'});
    meter.style.width = `${(100 * ms) / most}%`;
    bar.append(meter);
    row.append(head, bar, Object.assign(document.createElement('td'), {textContent: `${ms.toFixed(1)} ms`}));
    return row;
  }));
}

async function watchState() {
  let first = true;
  for (;;) {
    if (visible()) {
      try {
        const state = await askJson('/api/live/state');
        write(state);
        if (first) { chooseKind(state.background); say(''); }
        first = false;
        if (state.state === 'running') {
          past.push({p50: state.latency_ms.p50 ?? 0, p95: state.latency_ms.p95 ?? 0});
          if (past.length > 240) past.shift();
        }
        drawGraph(byId('graph'), past);
      } catch (error) {
        byId('state-text').textContent = error.message;
        byId('dot').dataset.state = 'placeholder';
        first = true;
      }
    }
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
}

// -- background ----------------------------------------------------------------------------------------------------

function chooseKind(text) {
  const kind = text.startsWith('blur') ? 'blur' : text === 'transparent' ? 'transparent'
    : /[\\/.]/.test(text) ? 'file' : 'colour';
  const radio = document.querySelector(`input[name=kind][value=${kind}]`);
  radio.checked = true;
  if (kind === 'blur' && text.includes('=')) byId('blur').value = text.split('=')[1];
  if (kind === 'colour' && /^#[0-9a-f]{6}$/i.test(text)) byId('colour').value = text;
  byId('blur-out').textContent = `${byId('blur').value} px`;
  showKind(kind);
}

function showKind(kind) {
  for (const part of document.querySelectorAll('[data-kind]')) part.hidden = part.dataset.kind !== kind;
}

function beginBackground() {
  for (const radio of document.querySelectorAll('input[name=kind]')) {
    radio.addEventListener('change', () => {
      showKind(radio.value);
      if (radio.value === 'blur') changeBackground({text: `blur=${byId('blur').value}`});
      if (radio.value === 'colour') changeBackground({text: byId('colour').value});
      if (radio.value === 'transparent') changeBackground({text: 'transparent'});
    });
  }
  byId('blur').addEventListener('input', () => {
    byId('blur-out').textContent = `${byId('blur').value} px`;
    changeBackground({text: `blur=${byId('blur').value}`});
  });
  byId('colour').addEventListener('input', () => changeBackground({text: byId('colour').value}));
  byId('green').addEventListener('click', () => { byId('colour').value = '#78ff9b'; changeBackground({text: 'green'}); });
  byId('use-path').addEventListener('click', () => changeBackground({text: byId('path').value}));
  byId('path').addEventListener('keydown', (event) => { if (event.key === 'Enter') { event.preventDefault(); byId('use-path').click(); } });
  byId('background-file').addEventListener('change', async () => {
    const file = byId('background-file').files[0];
    if (!file) return;
    try {
      write(await upload(`/api/live/background/file?name=${encodeURIComponent(file.name)}`, file, () => {}).done);
      say('');
    } catch (error) {
      say(error.message);
    }
  });
}

// -- region --------------------------------------------------------------------------------------------------------

function showRegion(text) {
  const box = byId('region-box');
  const parts = (text || '').split(',').map(Number);
  const inPixels = parts.some((part) => part > 1);
  const canvas = byId('after');
  const [width, height] = inPixels ? [canvas.width, canvas.height] : [1, 1];
  box.hidden = parts.length !== 4 || parts.some(Number.isNaN);
  if (box.hidden) return;
  const sides = [parts[0] / width, parts[1] / height, parts[2] / width, parts[3] / height];
  ['left', 'top', 'width', 'height'].forEach((side, at) => { box.style[side] = `${100 * sides[at]}%`; });
}

function beginRegion() {
  const place = byId('after-picture');
  const button = byId('draw-region');
  const setRegion = (text) => changeMatting({region: text || null});
  let from;
  const stopDrawing = () => { drawing = false; from = undefined; button.setAttribute('aria-pressed', 'false'); place.classList.remove('drawing'); };
  const at = (event) => {
    const frame = byId('after').getBoundingClientRect();
    const share = (value, low, size) => Math.min(1, Math.max(0, (value - low) / size));
    return [share(event.clientX, frame.left, frame.width), share(event.clientY, frame.top, frame.height)];
  };
  const textOf = (one, other) => {
    const x = Math.min(one[0], other[0]);
    const y = Math.min(one[1], other[1]);
    return [x, y, Math.abs(one[0] - other[0]), Math.abs(one[1] - other[1])].map((part) => Number(part.toFixed(3))).join(',');
  };
  button.addEventListener('click', () => {
    drawing = !drawing;
    button.setAttribute('aria-pressed', String(drawing));
    place.classList.toggle('drawing', drawing);
  });
  place.addEventListener('pointerdown', (event) => {
    if (!drawing) return;
    from = at(event);
    place.setPointerCapture(event.pointerId);
    event.preventDefault();
  });
  place.addEventListener('pointermove', (event) => { if (from) showRegion(textOf(from, at(event))); });
  place.addEventListener('pointerup', (event) => {
    if (!from) return;
    const to = at(event);
    const large = Math.abs(from[0] - to[0]) > 0.02 && Math.abs(from[1] - to[1]) > 0.02;
    const text = textOf(from, to);
    stopDrawing();
    if (large) setRegion(text);
  });
  addEventListener('keydown', (event) => { if (event.key === 'Escape' && drawing) stopDrawing(); });
  byId('use-region').addEventListener('click', () => setRegion(byId('region').value.trim()));
  byId('region').addEventListener('keydown', (event) => { if (event.key === 'Enter') { event.preventDefault(); byId('use-region').click(); } });
  byId('clear-region').addEventListener('click', () => setRegion(''));
}

// -- cameras, OBS --------------------------------------------------------------------------------------------------

async function listCameras() {
  const list = byId('cameras');
  const line = (text) => Object.assign(document.createElement('li'), {textContent: text});
  if (!navigator.mediaDevices?.enumerateDevices) { list.replaceChildren(line('This browser does not tell.')); return; }
  try {
    const cameras = (await navigator.mediaDevices.enumerateDevices()).filter((one) => one.kind === 'videoinput');
    const names = cameras.map((one, at) => one.label || `Camera ${at + 1} (name not told yet)`);
    list.replaceChildren(...(names.length ? names : ['None. Start the virtual camera, then restart the browser.']).map(line));
    byId('camera-names').hidden = !cameras.length || cameras.every((one) => one.label);
  } catch (error) {
    list.replaceChildren(line(`This browser does not tell: ${error.message}`));
  }
}

async function askForNames() {
  try {
    // Opens a camera for a moment: that is the only way to be told names. Nothing of its picture is used.
    const stream = await navigator.mediaDevices.getUserMedia({video: true});
    stream.getTracks().forEach((track) => track.stop());
  } catch (error) {
    say(`The browser did not open a camera (${error.name}): it was not allowed, or another program holds it.`);
  }
  await listCameras();
}

function beginDetails(info) {
  byId('cameras-details').addEventListener('toggle', () => { if (byId('cameras-details').open) listCameras(); });
  byId('camera-names').addEventListener('click', askForNames);
  navigator.mediaDevices?.addEventListener?.('devicechange', () => { if (byId('cameras-details').open) listCameras(); });
  if (!info.obs_url) return;
  byId('obs-details').hidden = false;
  byId('obs-url').value = info.obs_url;
  byId('obs-url').addEventListener('focus', () => byId('obs-url').select());
  byId('obs-details').addEventListener('toggle', async () => {  // known once the camera is open
    const {obs_size: size} = await askJson('/api/info').catch(() => ({}));
    if (size) byId('obs-size').textContent = size;
  });
  byId('copy-obs').addEventListener('click', async () => {
    try { await navigator.clipboard.writeText(info.obs_url); byId('copy-obs').textContent = 'Copied'; } catch { byId('obs-url').select(); }
  });
}

export function beginLive(info, notice) {
  say = notice;
  edges = new Edges(byId('live-edges'), 'live', changeMatting);
  byId('subject').addEventListener('change', () => changeMatting({subject: byId('subject').value}));
  byId('camera-button').addEventListener('click', () => change('/api/live/camera', {off: !isOff}));
  byId('before-button').hidden = !info.allow_raw;
  byId('before-button').addEventListener('click', () => {
    showsBefore = !showsBefore;
    byId('before-pane').hidden = !showsBefore;
    byId('before-button').textContent = showsBefore ? 'Hide the room' : 'Show the room';
  });
  byId('controls').addEventListener('submit', (event) => event.preventDefault());
  document.addEventListener('part', (event) => { isShown = event.detail === 'live'; });
  beginBackground();
  beginRegion();
  beginDetails(info);
  const after = new Screen(byId('after'));
  follow('/api/live/frame?view=after', {
    wanted: visible,
    show: (bitmap, layout, width, height) => { byId('waiting').hidden = true; after.show(bitmap, layout, width, height); },
    clear: () => { after.clear(); byId('waiting').hidden = false; },
  });
  if (info.allow_raw) {
    const before = new Screen(byId('before'));
    follow('/api/live/frame?view=before', {
      wanted: () => showsBefore && visible(),
      show: (bitmap, layout, width, height) => before.show(bitmap, layout, width, height),
      clear: () => before.clear(),
    });
  }
  watchState();
}
