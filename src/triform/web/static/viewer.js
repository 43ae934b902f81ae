// Shows GLB files, each in a canvas of its own, drawn by one WebGL context.
import { t } from "./texts.js";
import { h } from "./ui.js";

const VERTEX = `#version 300 es
in vec3 position; in vec3 normal; uniform mat4 view; uniform mat3 turn; out vec3 n;
void main() { gl_Position = view * vec4(position, 1.0); n = turn * normal; }`;
const FRAGMENT = `#version 300 es
precision highp float; in vec3 n; uniform vec3 color; out vec4 pixel;
void main() {
  vec3 unit = normalize(gl_FrontFacing ? n : -n);
  float key = max(dot(unit, normalize(vec3(0.4, 0.7, 0.8))), 0.0);
  float fill = max(dot(unit, normalize(vec3(-0.7, 0.1, 0.4))), 0.0);
  float sky = 0.5 + 0.5 * unit.y;
  vec3 linear = color * (0.22 + 0.2 * sky + 0.62 * key + 0.16 * fill);
  pixel = vec4(pow(clamp(linear, 0.0, 1.0), vec3(1.0 / 2.2)), 1.0);
}`;
let shared;
const shown = new Map();  // Canvas -> its model, whose buffers are freed when the canvas is gone.

function context() {
  if (shared !== undefined) return shared;
  const canvas = document.createElement("canvas");
  const gl = canvas.getContext("webgl2", { antialias: true, alpha: true, preserveDrawingBuffer: true });
  if (!gl) return (shared = null);
  const program = gl.createProgram();
  for (const [kind, source] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  const place = (name) => gl.getUniformLocation(program, name);
  return (shared = { canvas, gl, program, view: place("view"), turn: place("turn"), color: place("color") });
}

function readGlb(buffer) {
  const data = new DataView(buffer);
  if (data.getUint32(0, true) !== 0x46546c67) throw new Error("not a GLB file");
  const length = data.getUint32(12, true);
  const tree = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 20, length)));
  const start = 28 + length;
  const array = (index) => {
    const accessor = tree.accessors[index];
    const view = tree.bufferViews[accessor.bufferView];
    const offset = start + (view.byteOffset || 0) + (accessor.byteOffset || 0);
    const size = accessor.count * { SCALAR: 1, VEC3: 3 }[accessor.type];
    const kind = { 5126: Float32Array, 5125: Uint32Array, 5123: Uint16Array }[accessor.componentType];
    return new kind(buffer.slice(offset, offset + size * kind.BYTES_PER_ELEMENT));
  };
  const parts = tree.meshes.flatMap((mesh) => mesh.primitives).map((part) => ({
    positions: part.attributes.POSITION,
    indices: array(part.indices),
    color: tree.materials?.[part.material]?.pbrMetallicRoughness?.baseColorFactor?.slice(0, 3) || [0.58, 0.58, 0.58],
  }));
  return { positions: array(parts[0].positions), parts };
}

function normals(positions, parts) {
  const sums = new Float32Array(positions.length);
  for (const { indices } of parts) {
    for (let i = 0; i < indices.length; i += 3) {
      const [a, b, c] = [3 * indices[i], 3 * indices[i + 1], 3 * indices[i + 2]];
      const u = [0, 1, 2].map((k) => positions[b + k] - positions[a + k]);
      const v = [0, 1, 2].map((k) => positions[c + k] - positions[a + k]);
      const cross = [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]];
      for (const corner of [a, b, c]) for (let k = 0; k < 3; k++) sums[corner + k] += cross[k];
    }
  }
  for (let i = 0; i < sums.length; i += 3) {
    const length = Math.hypot(sums[i], sums[i + 1], sums[i + 2]) || 1;
    for (let k = 0; k < 3; k++) sums[i + k] /= length;
  }
  return sums;
}

export function viewer(address, number, title) {
  const canvas = h("canvas", { tabIndex: 0, width: 512, height: 512, role: "img", ariaLabel: t("viewer", number, title) });
  const note = h("p", { class: "soft" });
  const state = { azimuth: 0.6, elevation: 0.35, zoom: 1, model: null };
  const draw = () => state.model && requestAnimationFrame(() => render(canvas, state));
  load(address, state).then(() => { free(); shown.set(canvas, state.model); canvas.dataset.ready = "true"; draw(); }).catch((error) => { note.textContent = error.message; });
  let last = null;
  canvas.addEventListener("pointerdown", (event) => { last = [event.clientX, event.clientY]; canvas.setPointerCapture(event.pointerId); });
  canvas.addEventListener("pointermove", (event) => {
    if (!last) return;
    state.azimuth -= (event.clientX - last[0]) / 120;
    tilt(state, (event.clientY - last[1]) / 120);
    last = [event.clientX, event.clientY];
    draw();
  });
  canvas.addEventListener("pointerup", () => { last = null; });
  canvas.addEventListener("wheel", (event) => { event.preventDefault(); scale(state, Math.exp(-event.deltaY / 600)); draw(); }, { passive: false });
  canvas.addEventListener("keydown", (event) => {
    const act = {
      ArrowLeft: () => { state.azimuth -= 0.2; }, ArrowRight: () => { state.azimuth += 0.2; },
      ArrowUp: () => tilt(state, 0.2), ArrowDown: () => tilt(state, -0.2),
      "+": () => scale(state, 1.2), "=": () => scale(state, 1.2), "-": () => scale(state, 1 / 1.2),
    }[event.key];
    if (!act || event.ctrlKey || event.metaKey) return;
    act();
    event.preventDefault();
    draw();
  });
  return [canvas, note];
}

function free() {
  for (const [canvas, model] of shown) {
    if (canvas.isConnected) continue;
    for (const buffer of [model.positions, model.normals, ...model.parts.map((part) => part.indices)]) shared.gl.deleteBuffer(buffer);
    shown.delete(canvas);
  }
}

const tilt = (state, by) => { state.elevation = Math.min(1.5, Math.max(-1.5, state.elevation + by)); };
const scale = (state, by) => { state.zoom = Math.min(6, Math.max(0.4, state.zoom * by)); };

async function load(address, state) {
  const shared = context();
  if (!shared) throw new Error(t("no_webgl"));
  const answer = await fetch(address);
  if (!answer.ok) throw new Error(`${answer.status} ${answer.statusText}`);
  const { positions, parts } = readGlb(await answer.arrayBuffer());
  const low = [Infinity, Infinity, Infinity], high = [-Infinity, -Infinity, -Infinity];
  for (let i = 0; i < positions.length; i++) {
    low[i % 3] = Math.min(low[i % 3], positions[i]);
    high[i % 3] = Math.max(high[i % 3], positions[i]);
  }
  const { gl } = shared;
  const buffer = (kind, data) => { const one = gl.createBuffer(); gl.bindBuffer(kind, one); gl.bufferData(kind, data, gl.STATIC_DRAW); return one; };
  state.model = {
    middle: low.map((value, k) => (value + high[k]) / 2),
    radius: Math.hypot(...low.map((value, k) => high[k] - value)) / 2 || 1,
    positions: buffer(gl.ARRAY_BUFFER, positions),
    normals: buffer(gl.ARRAY_BUFFER, normals(positions, parts)),
    parts: parts.map((part) => ({ color: part.color, count: part.indices.length, indices: buffer(gl.ELEMENT_ARRAY_BUFFER, new Uint32Array(part.indices)) })),
  };
}

function render(canvas, { azimuth, elevation, zoom, model }) {
  const { gl, program, view, turn, color, canvas: target } = shared;
  if (target.width !== canvas.width) { target.width = canvas.width; target.height = canvas.height; }
  gl.viewport(0, 0, canvas.width, canvas.height);
  gl.clearColor(0, 0, 0, 0);
  gl.enable(gl.DEPTH_TEST);
  gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
  gl.useProgram(program);
  const [sa, ca, se, ce] = [Math.sin(azimuth), Math.cos(azimuth), Math.sin(elevation), Math.cos(elevation)];
  const rows = [[ca, 0, -sa], [-sa * se, ce, -ca * se], [sa * ce, se, ca * ce]];
  const size = zoom / model.radius * 0.95;
  const shift = rows.map((row) => -row.reduce((sum, value, k) => sum + value * model.middle[k], 0));
  const depth = -0.2 * size / zoom;
  const matrix = [];
  for (let column = 0; column < 3; column++) matrix.push(rows[0][column] * size, rows[1][column] * size, rows[2][column] * depth, 0);
  matrix.push(shift[0] * size, shift[1] * size, shift[2] * depth, 1);
  gl.uniformMatrix4fv(view, false, matrix);
  gl.uniformMatrix3fv(turn, false, [0, 1, 2].flatMap((column) => rows.map((row) => row[column])));
  for (const [name, buffer] of [["position", model.positions], ["normal", model.normals]]) {
    const place = gl.getAttribLocation(program, name);
    gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
    gl.enableVertexAttribArray(place);
    gl.vertexAttribPointer(place, 3, gl.FLOAT, false, 0, 0);
  }
  for (const part of model.parts) {
    gl.uniform3fv(color, part.color);
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, part.indices);
    gl.drawElements(gl.TRIANGLES, part.count, gl.UNSIGNED_INT, 0);
  }
  const flat = canvas.getContext("2d");
  flat.clearRect(0, 0, canvas.width, canvas.height);
  flat.drawImage(target, 0, 0);
}
