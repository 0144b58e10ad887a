// The edge controls, for the live picture and for files alike.

const SLIDERS = [
  {key: 'shrink', label: 'Shrink', min: -15, max: 15, step: 0.5, value: 0, unit: ' px'},
  {key: 'feather', label: 'Feather', min: 0, max: 15, step: 0.5, value: 0, unit: ' px'},
  {key: 'black', label: 'Black level', min: 0, max: 0.9, step: 0.01, value: 0, unit: ''},
  {key: 'white', label: 'White level', min: 0.1, max: 1, step: 0.01, value: 1, unit: ''},
  {key: 'despill', label: 'Despill', min: 0, max: 1, step: 0.05, value: 0, unit: ''},
];

export class Edges {
  // changed(values): called with what a person changed, in the settings' own names.
  constructor(place, prefix, changed) {
    this.inputs = {};
    this.outputs = {};
    this.touched = new Set();
    for (const one of SLIDERS) {
      const row = document.createElement('div');
      row.className = 'slider';
      const id = `${prefix}-${one.key}`;
      const label = Object.assign(document.createElement('label'), {htmlFor: id, textContent: one.label});
      const input = Object.assign(document.createElement('input'),
        {type: 'range', id, min: one.min, max: one.max, step: one.step, value: one.value});
      const output = document.createElement('output');
      output.htmlFor = id;
      row.append(label, input, output);
      place.append(row);
      this.inputs[one.key] = input;
      this.outputs[one.key] = {output, unit: one.unit};
      input.addEventListener('input', () => { this.keepOrder(one.key); this.touched.add(one.key); this.write(); changed(this.part(one.key)); });
    }
    const smooth = Object.assign(document.createElement('select'), {id: `${prefix}-smooth`});
    for (const [value, text] of [['off', 'Off'], ['normal', 'Normal'], ['strong', 'Strong']]) smooth.add(new Option(text, value));
    smooth.value = 'normal';
    smooth.addEventListener('change', () => { this.touched.add('smooth'); changed({smooth: smooth.value}); });
    const label = Object.assign(document.createElement('label'), {htmlFor: smooth.id, textContent: 'Smoothing in time'});
    const reset = Object.assign(document.createElement('button'), {type: 'button', textContent: 'Reset the edge'});
    reset.addEventListener('click', () => {
      this.set({shrink: 0, feather: 0, levels: [0, 1], despill: 0, smooth: 'normal'});
      changed(this.all());
      this.touched.clear();
    });
    const row = document.createElement('div');
    row.className = 'row spread';
    row.append(label, smooth);
    place.append(row, reset);
    this.smooth = smooth;
    this.write();
  }

  keepOrder(key) {  // white stays above black
    const {black, white} = this.inputs;
    if (key === 'black' && Number(white.value) <= Number(black.value)) white.value = Number(black.value) + 0.05;
    if (key === 'white' && Number(black.value) >= Number(white.value)) black.value = Number(white.value) - 0.05;
  }

  part(key) {
    if (key === 'black' || key === 'white') return {levels: [Number(this.inputs.black.value), Number(this.inputs.white.value)]};
    return {[key]: Number(this.inputs[key].value)};
  }

  all() {
    return {...this.part('shrink'), ...this.part('feather'), ...this.part('black'), ...this.part('despill'), smooth: this.smooth.value};
  }

  // Only what a person changed: the rest is the preset's.
  changes() {
    const found = {};
    for (const key of this.touched) Object.assign(found, key === 'smooth' ? {smooth: this.smooth.value} : this.part(key));
    return found;
  }

  set(values) {
    const active = document.activeElement;
    const put = (input, value) => { if (input !== active && value !== undefined) input.value = value; };
    for (const key of ['shrink', 'feather', 'despill']) put(this.inputs[key], values[key]);
    if (values.levels) { put(this.inputs.black, values.levels[0]); put(this.inputs.white, values.levels[1]); }
    put(this.smooth, values.smooth);
    this.write();
  }

  write() {
    for (const [key, {output, unit}] of Object.entries(this.outputs)) output.textContent = this.inputs[key].value + unit;
  }
}
