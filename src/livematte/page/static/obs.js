// The transparent page for OBS: nothing but the cut-out picture, and nothing at all where there is none.
import {follow} from './api.js';
import {Screen} from './screen.js';

const screen = new Screen(document.getElementById('picture'));

follow('/api/obs/frame', {
  show: (bitmap, layout, width, height) => screen.show(bitmap, layout, width, height),
  clear: () => screen.clear(),
});
