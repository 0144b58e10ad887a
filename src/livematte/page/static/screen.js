// A canvas that shows pictures of both layouts (pictures.py, Note [Side by side]).
//
// WebGL: the shader takes colour from the left half and alpha from the right one, and gives out PREMULTIPLIED colours
// (rgb * a, a), which is what a canvas with premultipliedAlpha (the default) hands to the compositor unchanged. Giving
// straight colours to such a canvas, or premultiplied ones to the other kind, makes bright or dark edges.
// Without WebGL (OBS with hardware acceleration switched off) the same is done on the CPU: about 10 ms for 720p.

const VERTEX = `attribute vec2 place; varying vec2 at;
void main() { at = vec2(place.x * .5 + .5, .5 - place.y * .5); gl_Position = vec4(place, 0., 1.); }`;

const FRAGMENT = `precision highp float; varying vec2 at; uniform sampler2D both; uniform float share; uniform float sides;
void main() {
  if (sides < .5) { gl_FragColor = vec4(texture2D(both, at).rgb, 1.); return; }
  vec2 left = vec2(at.x * share * .5, at.y);
  vec3 colour = texture2D(both, left).rgb;
  float coded = texture2D(both, left + vec2(.5, 0.)).g;
  float a = clamp((coded * 255. - 3.) / 249., 0., 1.);  /* what JPEG leaves of exact 0 and 1 */
  gl_FragColor = vec4(colour * a, a);
}`;

export class Screen {
  constructor(canvas) {
    this.canvas = canvas;
    this.gl = canvas.getContext('webgl', {alpha: true, premultipliedAlpha: true, antialias: false, depth: false});
    if (this.gl) {
      canvas.addEventListener('webglcontextlost', (event) => event.preventDefault());
      canvas.addEventListener('webglcontextrestored', () => this.prepare());
      this.prepare();
    } else {
      this.flat = canvas.getContext('2d', {willReadFrequently: true});
      this.scratch = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
    }
  }

  prepare() {
    const gl = this.gl;
    const program = gl.createProgram();
    for (const [kind, text] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, text);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    gl.useProgram(program);
    this.share = gl.getUniformLocation(program, 'share');
    this.sides = gl.getUniformLocation(program, 'sides');
    gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
    gl.bufferData(gl.ARRAY_BUFFER, new Float32Array([-1, -1, 1, -1, -1, 1, 1, 1]), gl.STATIC_DRAW);
    const place = gl.getAttribLocation(program, 'place');
    gl.enableVertexAttribArray(place);
    gl.vertexAttribPointer(place, 2, gl.FLOAT, false, 0, 0);
    gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_S, gl.CLAMP_TO_EDGE);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_T, gl.CLAMP_TO_EDGE);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.NEAREST);  // drawn 1:1; CSS scales what was joined
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, gl.NEAREST);
    gl.pixelStorei(gl.UNPACK_PREMULTIPLY_ALPHA_WEBGL, false);
    gl.disable(gl.BLEND);
  }

  size(width, height) {
    if (this.canvas.width !== width || this.canvas.height !== height) {
      this.canvas.width = width;
      this.canvas.height = height;
    }
  }

  show(bitmap, layout, width, height) {
    this.size(width, height);
    if (this.gl) this.join(bitmap, layout, width, height);
    else this.joinOnCpu(bitmap, layout, width, height);
    this.canvas.dataset.layout = layout;
    this.canvas.dataset.count = Number(this.canvas.dataset.count || 0) + 1;
  }

  join(bitmap, layout, width, height) {
    const gl = this.gl;
    gl.viewport(0, 0, width, height);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, bitmap);
    gl.uniform1f(this.sides, layout === 'sides' ? 1 : 0);
    gl.uniform1f(this.share, layout === 'sides' ? (2 * width) / bitmap.width : 1);
    gl.drawArrays(gl.TRIANGLE_STRIP, 0, 4);
  }

  joinOnCpu(bitmap, layout, width, height) {
    if (layout !== 'sides') { this.flat.drawImage(bitmap, 0, 0); return; }
    const half = bitmap.width / 2;
    this.scratch.canvas.width = bitmap.width;
    this.scratch.canvas.height = height;
    this.scratch.drawImage(bitmap, 0, 0);
    const colour = this.scratch.getImageData(0, 0, width, height);
    const alpha = this.scratch.getImageData(half, 0, width, height).data;
    for (let at = 0; at < alpha.length; at += 4) colour.data[at + 3] = ((alpha[at + 1] - 3) * 255) / 249;
    this.flat.putImageData(colour, 0, 0);
  }

  clear() {
    if (this.gl) {
      this.gl.clearColor(0, 0, 0, 0);
      this.gl.clear(this.gl.COLOR_BUFFER_BIT);
    } else {
      this.flat.clearRect(0, 0, this.canvas.width, this.canvas.height);
    }
    this.canvas.dataset.layout = 'empty';
  }
}
