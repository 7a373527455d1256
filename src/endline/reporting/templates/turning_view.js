// Surfaces that turn: seen from a distance (no perspective), drawn from the farthest cell to the nearest.
for (const canvas of document.querySelectorAll(".turning canvas")) {
  const { rows, columns, relief, heights, colours } = canvas.dataset;
  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const m = Number(rows), n = Number(columns), high = new Uint16Array(bytes(heights).buffer), colour = bytes(colours);
  const context = canvas.getContext("2d"), [turn, tilt, times] = canvas.parentNode.querySelectorAll("input");
  const sorted = high.filter((value) => value > 0).sort(), floor = sorted[Math.floor(sorted.length / 20)] || 1;
  let waiting = false;
  const draw = () => {
    waiting = false;
    const a = turn.value * Math.PI / 180, e = tilt.value * Math.PI / 180, ca = Math.cos(a), sa = Math.sin(a);
    const lift = Number(relief) * times.value / 65534, steepest = 5 * times.value, length = Math.hypot(m, n);
    const scale = Math.min(canvas.width / length, canvas.height / (length * Math.sin(e) + Number(relief) * times.value * Math.cos(e)));
    const X = new Float32Array(m * n), Y = new Float32Array(m * n), Z = new Float32Array(m * n);
    for (let i = 0, k = 0; i < m; i++) for (let j = 0; j < n; j++, k++) {
      const x = j - (n - 1) / 2, y = i - (m - 1) / 2;
      Z[k] = (high[k] - floor) * lift;
      X[k] = canvas.width / 2 + scale * (x * ca - y * sa);
      Y[k] = canvas.height / 2 + scale * ((x * sa + y * ca) * Math.sin(e) + (Number(relief) * times.value / 2 - Z[k]) * Math.cos(e));
    }
    // The lamp stands at the upper left of the screen, wherever the part is turned.
    const lx = -0.5 * ca - 0.45 * sa, ly = 0.5 * sa - 0.45 * ca, lz = 0.74;
    context.clearRect(0, 0, canvas.width, canvas.height);
    context.lineWidth = 1;
    context.lineJoin = "round";
    for (let p = 0; p < m - 1; p++) for (let q = 0; q < n - 1; q++) {
      const i = ca > 0 ? p : m - 2 - p, j = sa > 0 ? q : n - 2 - q, k = i * n + j, b = k + n;
      if (!high[k] || !high[k + 1] || !high[b] || !high[b + 1]) continue;
      const four = [Z[k], Z[k + 1], Z[b], Z[b + 1]];
      if (Math.max(...four) - Math.min(...four) > steepest) continue; // from the part to what lies below it
      const sx = (Z[k + 1] + Z[b + 1] - Z[k] - Z[b]) / 2, sy = (Z[b] + Z[b + 1] - Z[k] - Z[k + 1]) / 2;
      const light = 0.35 + 0.87 * Math.max(0, (lz - sx * lx - sy * ly) / Math.sqrt(1 + sx * sx + sy * sy));
      const c = 3 * k;
      const paint = `rgb(${Math.min(255, colour[c] * light)} ${Math.min(255, colour[c + 1] * light)} ${Math.min(255, colour[c + 2] * light)})`;
      context.fillStyle = context.strokeStyle = paint;
      context.beginPath();
      context.moveTo(X[k], Y[k]);
      context.lineTo(X[k + 1], Y[k + 1]);
      context.lineTo(X[b + 1], Y[b + 1]);
      context.lineTo(X[b], Y[b]);
      context.closePath();
      context.fill();
      context.stroke();
    }
  };
  const later = () => {
    if (!waiting) requestAnimationFrame(draw);
    waiting = true;
  };
  let from = null;
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    from = { x: event.clientX, y: event.clientY, turn: Number(turn.value), tilt: Number(tilt.value) };
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!from) return;
    turn.value = (from.turn - (event.clientX - from.x) / 2 + 540) % 360 - 180;
    tilt.value = from.tilt + (event.clientY - from.y) / 3;
    later();
  });
  for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => { from = null; });
  for (const slider of [turn, tilt, times]) slider.addEventListener("input", later);
  draw();
}
