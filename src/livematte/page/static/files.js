// Photos and clips: dropped, tried, made, saved.
import {ask, askJson, client, upload} from './api.js';
import {Edges} from './edges.js';

const byId = (id) => document.getElementById(id);
let say = () => {};
let info;
let edges;

function readable(bytes) {
  const units = [['GB', 1e9], ['MB', 1e6], ['kB', 1e3]];
  const [unit, factor] = units.find(([, size]) => bytes >= size) || ['bytes', 1];
  return `${factor === 1 ? bytes : (bytes / factor).toPrecision(3)} ${unit}`;
}

function minutes(seconds) {
  const whole = Math.round(seconds);
  return whole < 60 ? `${whole} s` : `${Math.floor(whole / 60)} min ${whole % 60} s`;
}

function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

function announce(text) { byId('files-status').textContent = text; }

function behind() {
  const choice = byId('behind').value;
  return choice === 'colour' ? byId('behind-colour').value : choice;
}

function order(kind) {
  const asked = {quality: byId('quality').value, ...edges.changes()};
  if (behind()) asked.background = behind();
  if (kind === 'clip') asked.preset = byId('preset').value;
  else {
    asked.format = behind() ? 'jpeg' : byId('format').value;
    asked.crop = byId('crop').checked;
  }
  return asked;
}

class Item {
  constructor(file) {
    this.file = file;
    this.name = make('strong', {textContent: file.name});
    this.what = make('span', {className: 'quiet small', textContent: readable(file.size)});
    this.buttons = make('span', {className: 'row end'});
    this.bar = make('progress', {max: 1, value: 0, hidden: true});
    this.bar.setAttribute('aria-label', `Progress of ${file.name}`);
    this.status = make('p', {className: 'small', role: 'status'});
    this.notes = make('ul', {className: 'small quiet notes'});
    this.shown = make('div', {className: 'shown'});
    this.element = make('li', {className: 'card item'},
      make('div', {className: 'row'}, this.name, this.what, this.buttons), this.bar, this.status, this.shown, this.notes);
    byId('items').prepend(this.element);
    this.send();
  }

  offer(...buttons) {
    this.buttons.replaceChildren(...buttons.map(([text, act, kind]) => {
      const button = make('button', {type: 'button', textContent: text, className: kind || ''});
      button.setAttribute('aria-label', `${text}: ${this.file.name}`);
      button.addEventListener('click', act);
      return button;
    }));
  }

  tell(text, isError = false) {
    this.status.textContent = text;
    this.status.classList.toggle('error', isError);
  }

  progress(value) {
    this.bar.hidden = value === undefined;
    if (value === null) this.bar.removeAttribute('value');
    else if (value !== undefined) this.bar.value = value;
  }

  async send() {
    const sending = upload(`/api/uploads?client=${client}&name=${encodeURIComponent(this.file.name)}`, this.file,
      (share) => this.progress(share));
    this.offer(['Stop', () => sending.abort()]);
    this.tell('Coming in…');
    try {
      Object.assign(this, await sending.done);
    } catch (error) {
      this.fail(error.message);
      this.offer(['Remove', () => this.element.remove()]);
      return;
    }
    this.progress(undefined);
    this.tell('');
    this.ready();
    if (this.kind === 'photo') this.run('run');
  }

  ready(...more) {
    const tries = this.kind === 'clip' ? [['See six frames', () => this.run('try')]] : [];
    this.offer(...more, ...tries, [this.kind === 'clip' ? 'Convert' : 'Again', () => this.run('run'), more.length ? '' : 'strong'],
      ['Remove', () => this.remove()]);
  }

  fail(message) {
    this.progress(undefined);
    this.tell(message, true);
  }

  async run(what) {
    try {
      let job = await askJson(`/api/uploads/${this.id}/${what}`, order(this.kind));
      const path = `/api/jobs/${job.id}`;
      this.offer(['Stop', () => askJson(`${path}/stop`, {}).catch((error) => say(error.message)), 'strong']);
      this.notes.replaceChildren();
      while (job.state === 'waiting' || job.state === 'running') {
        this.showProgress(job, what);
        await new Promise((resolve) => setTimeout(resolve, 300));
        job = await askJson(path);
      }
      this.progress(undefined);
      await this.finish(job, what, path);
    } catch (error) {
      this.fail(error.message);
      this.ready();
    }
  }

  showProgress(job, what) {
    if (job.state === 'waiting') { this.progress(null); this.tell('Waiting for its turn…'); return; }
    const {frames, expected_frames: expected, fps, seconds_left: left} = job.progress;
    if (what === 'try') { this.progress(null); this.tell('Looking at six frames…'); return; }
    this.progress(frames && expected ? frames / expected : null);
    if (!frames) { this.tell('Working…'); return; }
    this.tell(`${frames}${expected ? ` of ${expected}` : ''} frames, ${fps.toFixed(1)} a second${left === null ? '' : `, ${minutes(left)} left`}`);
  }

  async finish(job, what, path) {
    this.notes.replaceChildren(...job.messages.map((text) => make('li', {textContent: text})));
    if (job.state !== 'done') {
      this.tell(job.state === 'stopped' ? 'Stopped. Nothing was kept.' : job.error, job.state === 'failed');
      announce(`${this.file.name}: ${this.status.textContent}`);
      this.ready();
      return;
    }
    if (job.has_picture) await this.showPicture(`${path}/picture`, what);
    if (what === 'try') {
      const {expected_bytes: bytes, expected_seconds: seconds, fps} = job.summary;
      this.tell(bytes ? `Expected: ${readable(bytes)} in ${minutes(seconds)}, ${fps.toFixed(1)} frames a second here.` : '');
      this.ready();
    } else {
      const {frames, fps, shows} = job.summary;
      const speed = frames ? `${frames} frames, ${fps.toFixed(1)} a second. ` : '';
      this.tell(`${job.name}, ${readable(job.bytes)}. ${speed}${shows || ''}`);
      this.ready(['Save', () => this.save(path), 'strong']);
    }
    announce(`${this.file.name}: done. ${this.status.textContent}`);
  }

  async showPicture(path, what) {
    const answer = await ask(path);
    if (!answer.ok) return;
    const address = URL.createObjectURL(await answer.blob());
    const image = make('img', {
      src: address,
      alt: what === 'try' ? `Six frames of ${this.file.name}: as they are, over checker, over magenta` : `${this.file.name}, cut out`,
      className: what === 'try' ? 'sheet' : 'checker',
    });
    image.addEventListener('load', () => URL.revokeObjectURL(address), {once: true});
    this.shown.replaceChildren(image);
  }

  async save(path) {
    try {
      const {url} = await askJson(`${path}/ticket`, {});
      const link = make('a', {href: url, download: ''});
      document.body.append(link);
      link.click();
      link.remove();
    } catch (error) {
      this.fail(error.message);
    }
  }

  async remove() {
    try { await askJson(`/api/uploads/${this.id}`, undefined, 'DELETE'); } catch (error) { if (error.status !== 404) say(error.message); }
    this.element.remove();
    announce(`${this.file.name} removed.`);
  }
}

function take(files) {
  say('');
  for (const file of files) {
    const suffix = file.name.includes('.') ? file.name.slice(file.name.lastIndexOf('.')).toLowerCase() : '';
    const isClip = info.clip_suffixes.includes(suffix);
    if (!isClip && !info.photo_suffixes.includes(suffix)) say(`${file.name} is neither a photo nor a clip by its ending.`);
    else if (file.size > (isClip ? info.limits.clip_bytes : info.limits.photo_bytes)) {
      say(`${file.name} is larger than the page takes. Use the command line: livematte ${isClip ? 'convert' : 'photo'}`);
    } else new Item(file);
  }
}

function beginDropping() {
  const drop = byId('drop');
  byId('chosen').addEventListener('change', () => { take(byId('chosen').files); byId('chosen').value = ''; });
  let depth = 0;
  const over = (isOver) => drop.classList.toggle('over', isOver);
  addEventListener('dragenter', (event) => { event.preventDefault(); depth += 1; over(true); });
  addEventListener('dragleave', () => { depth = Math.max(0, depth - 1); over(depth > 0); });
  addEventListener('dragover', (event) => event.preventDefault());
  addEventListener('drop', (event) => {
    event.preventDefault();
    depth = 0;
    over(false);
    if (event.dataTransfer.files.length && !byId('files').hidden) take(event.dataTransfer.files);
  });
}

export function beginFiles(about, notice) {
  say = notice;
  info = about;
  edges = new Edges(byId('file-edges'), 'file', () => {});
  byId('preset').add(new Option('Editors: ProRes 4444', ''));
  for (const preset of info.presets) {
    const words = preset.title.split(':')[0].replace(/^For /, '') || preset.name;
    byId('preset').add(new Option(words.charAt(0).toUpperCase() + words.slice(1), preset.name));
  }
  const showHelp = () => { byId('preset-help').textContent = info.presets.find((one) => one.name === byId('preset').value)?.title || 'MOV with alpha, every picture with its own time.'; };
  byId('preset').addEventListener('change', showHelp);
  showHelp();
  byId('behind').addEventListener('change', () => {
    byId('behind-colour-row').hidden = byId('behind').value !== 'colour';
    byId('behind-help').hidden = !byId('behind').value;
  });
  byId('order').addEventListener('submit', (event) => event.preventDefault());
  beginDropping();
}
