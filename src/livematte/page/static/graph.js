// A small graph of latency: the median as a line, up to the 95th percentile as a band.

export function drawGraph(canvas, points) {
  const scale = devicePixelRatio || 1;
  const width = Math.round(canvas.clientWidth * scale);
  const height = Math.round(canvas.clientHeight * scale);
  if (!width || !height) return;
  if (canvas.width !== width || canvas.height !== height) { canvas.width = width; canvas.height = height; }
  const context = canvas.getContext('2d');
  const style = getComputedStyle(canvas);
  const line = style.getPropertyValue('--accent');
  const grid = style.getPropertyValue('--line');
  const ink = style.getPropertyValue('--quiet');
  context.clearRect(0, 0, width, height);
  const top = Math.max(50, ...points.map((one) => one.p95)) * 1.15;
  const step = top > 400 ? 200 : top > 200 ? 100 : top > 100 ? 50 : 20;
  const y = (ms) => height - (ms / top) * height;
  const x = (at) => width - ((points.length - 1 - at) / 239) * width;
  context.font = `${11 * scale}px system-ui, sans-serif`;
  context.lineWidth = scale;
  for (let ms = step; ms < top * 0.95; ms += step) {
    context.strokeStyle = grid;
    context.beginPath();
    context.moveTo(0, y(ms));
    context.lineTo(width, y(ms));
    context.stroke();
    context.fillStyle = ink;
    context.fillText(`${ms} ms`, 4 * scale, y(ms) - 3 * scale);
  }
  if (points.length < 2) return;
  context.fillStyle = line;
  context.globalAlpha = 0.22;
  context.beginPath();
  points.forEach((one, at) => context.lineTo(x(at), y(one.p95)));
  for (let at = points.length - 1; at >= 0; at -= 1) context.lineTo(x(at), y(points[at].p50));
  context.fill();
  context.globalAlpha = 1;
  context.strokeStyle = line;
  context.lineWidth = 2 * scale;
  context.beginPath();
  points.forEach((one, at) => context.lineTo(x(at), y(one.p50)));
  context.stroke();
  const last = points[points.length - 1];
  canvas.setAttribute('aria-label', `Latency now: median ${Math.round(last.p50)} ms, 95 percent within ${Math.round(last.p95)} ms`);
}
