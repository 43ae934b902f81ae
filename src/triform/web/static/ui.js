// Elements, requests, forms. Texts are always set as text, never as HTML.
import { classesControl, filesControl } from "./files.js";
import { language, t } from "./texts.js";

export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class") element.className = value;
    else if (name in element && name !== "list" && name !== "form") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

let counter = 0;
export const unique = (name) => `${name.replace(/\W/g, "_")}_${++counter}`;
export const announce = (text) => { document.getElementById("live").textContent = text; };

function userName() {
  let name = localStorage.getItem("user");
  if (!name) {
    name = [...crypto.getRandomValues(new Uint8Array(12))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    localStorage.setItem("user", name);
  }
  return name;
}

export async function api(path, { method = "GET", json, body } = {}) {
  const headers = { "X-Triform-User": userName() };
  if (json !== undefined) headers["Content-Type"] = "application/json";
  if (body !== undefined) headers["Content-Type"] = "application/octet-stream";
  let answer;
  try {
    answer = await fetch(`/api/${path}`, { method, headers, body: json !== undefined ? JSON.stringify(json) : body });
  } catch {
    throw new Error(t("offline"));
  }
  const content = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(content.error || `${answer.status} ${answer.statusText}`);
  return content;
}

export const fileAddress = (id, name) => `/api/results/${id}/files/${name.split("/").map(encodeURIComponent).join("/")}`;
// Address of the image that a reference names; null for what is no image, or not shown.
export function referenceAddress(reference) {
  const [kind, rest] = [reference.split(":")[0], reference.slice(reference.indexOf(":") + 1)];
  const [id, ...parts] = rest.split("/");
  if (!/\.(png|jpe?g|webp|gif)$/i.test(rest) && kind !== "example") return null;
  if (kind === "example") return `/static/example_${rest}.webp`;
  if (kind === "result") return fileAddress(id, parts.join("/"));
  if (kind === "input") return `/api/results/${id}/inputs/${encodeURIComponent(parts.join("/"))}`;
  return null;
}
export function round(value) {
  if (value !== 0 && Math.abs(value) < 0.001) return value.toExponential(1);
  return Math.abs(value) >= 100 ? value.toFixed(0) : Number(value.toPrecision(3)).toString();
}

export function labelled(label, hint, control, ...others) {
  const id = control.id || (control.id = unique("field"));
  const hintElement = hint ? h("span", { class: "hint", id: `${id}_hint` }, hint) : null;
  if (hint) control.setAttribute("aria-describedby", `${id}_hint`);
  return h("div", { class: "field" }, h("label", { htmlFor: id }, label), control, ...others, hintElement);
}

// Controls of the fields of a form: { element, get, set }. get() is undefined for the default.
export function control(field, state, label = field.label, hint = field.hint) {
  const id = unique(field.name);
  // In English a label is the flag in words; in other languages the flag stands in small print.
  if (language !== "en" && label === field.label) hint = [hint, " ", h("code", { class: "flag" }, `--${field.flag}`)];
  switch (field.kind) {
    case "switch": return switchControl(field, id, label, hint);
    case "choice": return choiceControl(field, id, label, hint);
    case "slider": return sliderControl(field, id, label, hint);
    case "number": return numberControl(field, id, label, hint);
    case "text": return textControl(field, id, label, hint);
    case "query": return queryControl(field, id, label, hint, state);
    case "line": return lineControl(field, id, label, hint);
    case "images": case "meshes": return filesControl(field, id, label, hint, state);
    case "folder": return field.many ? namesControl(field, id, label, hint, state) : classesControl(field, id, label, hint, state);
    case "environment": return lineControl(field, id, label, hint);
    default: return namesControl(field, id, label, hint, state);
  }
}

const differs = (value, field) => JSON.stringify(value) !== JSON.stringify(field.default);

function switchControl(field, id, label, hint) {
  const input = h("input", { type: "checkbox", id, checked: Boolean(field.default) });
  const element = h("div", { class: "field" }, h("label", { htmlFor: id }, input, label), hint ? h("span", { class: "hint", id: `${id}_hint` }, hint) : null);
  if (hint) input.setAttribute("aria-describedby", `${id}_hint`);
  return {
    element, input,
    get: () => (differs(input.checked, field) ? input.checked : undefined),
    set: (value) => { input.checked = Boolean(value ?? field.default); },
  };
}

function choiceControl(field, id, label, hint) {
  const input = h("select", { id, multiple: Boolean(field.many) }, field.choices.map((choice) => h("option", { value: JSON.stringify(choice) }, String(choice))));
  const set = (value) => {
    const values = (Array.isArray(value) ? value : [value]).map((each) => JSON.stringify(each));
    for (const option of input.options) option.selected = values.includes(option.value);
  };
  set(field.default);
  const get = () => {
    const values = [...input.selectedOptions].map((option) => JSON.parse(option.value));
    const value = field.many ? values : values[0];
    return differs(value, field) ? value : undefined;
  };
  return { element: labelled(label, hint, input), input, get, set: (value) => set(value ?? field.default) };
}

function sliderControl(field, id, label, hint) {
  const values = { min: field.min, max: field.max, step: field.step };
  const number = h("input", { type: "number", id, ...values, step: field.whole ? 1 : "any", value: field.default });
  const range = h("input", { type: "range", ...values, value: field.default, ariaLabel: label, tabIndex: -1 });
  range.addEventListener("input", () => { number.value = range.value; });
  number.addEventListener("input", () => { range.value = number.value; });
  const get = () => (number.value === "" || !differs(Number(number.value), field) ? undefined : Number(number.value));
  const set = (value) => { number.value = range.value = value ?? field.default; };
  const element = labelled(label, hint, number);
  const both = h("div", { class: "range" }, range);
  number.before(both);
  both.append(number);
  return { element, input: number, get, set };
}

function numberControl(field, id, label, hint) {
  const input = h("input", { type: "number", id, min: field.min ?? undefined, max: field.max ?? undefined, step: field.whole ? 1 : "any", value: field.default ?? "" });
  const get = () => (input.value === "" || !differs(Number(input.value), field) ? undefined : Number(input.value));
  // A seed is drawn anew more often than it is typed.
  const draw = isSeed(field) ? h("button", { type: "button", class: "small", onclick: () => { input.value = newSeed(); } }, t("new_seed")) : null;
  const element = labelled(label, hint, input);
  if (draw) {
    const row = h("div", { class: "row" });
    input.before(row);
    row.append(input, draw);
  }
  return { element, input, get, set: (value) => { input.value = value ?? field.default ?? ""; } };
}
const isSeed = (field) => field.name === "seed" || field.name.endsWith(".seed");

function textControl(field, id, label, hint) {
  const input = h("textarea", { id, rows: 3, maxLength: 4000 });
  const initial = field.many ? (field.default || []).join("\n") : field.default ?? "";
  const set = (value) => { input.value = value === undefined || value === null ? initial : Array.isArray(value) ? value.join("\n") : value; };
  set();
  const get = () => {
    if (!field.many) return input.value.trim() || undefined;
    const lines = input.value.split("\n").map((line) => line.trim()).filter(Boolean);
    return lines.length && differs(lines, field) ? lines : undefined;
  };
  return { element: labelled(label, hint, input), input, get, set };
}

// Words of the query language, and images that are sent.
function queryControl(field, id, label, hint, state) {
  const words = textControl(field, id, label, hint);
  const files = filesControl({ kind: "images", many: true }, unique("images"), t("pictures"), "", state);
  const isFile = (text) => /^(upload|input|result):/.test(text);
  return {
    element: h("div", {}, words.element, files.element), input: words.input,
    get: () => { const all = [...(words.get() || []), ...(files.get() || [])]; return all.length ? all : undefined; },
    set: (value) => { const all = value || []; words.set(all.filter((text) => !isFile(text))); files.set(all.filter(isFile)); },
  };
}

function lineControl(field, id, label, hint) {
  const input = h("input", { type: "text", id, value: field.default ?? "" });
  return { element: labelled(label, hint, input), input, get: () => input.value.trim() || undefined, set: (value) => { input.value = value ?? ""; } };
}

function namesControl(field, id, label, hint, state) {
  const isMany = Boolean(field.many) && field.kind !== "gallery";
  const options = [];
  const runsOf = (runs) => (runs || []).filter((run) => run.system === state.system && (run.has_weights || field.name.endsWith("resume_from"))).map((run) => [`run:${run.name}`, run.name]);
  const isWeights = ["weights", "initial_weights"].includes(field.kind);
  if (isWeights) {
    const first = field.name.endsWith("resume_from") ? "new_run" : field.kind === "initial_weights" ? "random_weights" : state.ships === false ? "newest" : "shipped";
    options.push(["", t(first)], ...(field.choices || []).map((name) => [name, t(name)]));
    options.push(...runsOf(state.runs));
  } else if (field.kind === "dataset") {
    options.push(["", "—"]);
  }
  // Models of the command line are on this machine, and so is the one that ships.
  const models = field.kind === "model" ? [...(state.models || []), ...field.choices] : [];
  const ready = state.models?.[0] || models.find((name) => name.startsWith("triform-"));
  options.push(...models.map((name) => [name, name]));
  if (field.kind === "subfolder") options.push(["", t("all_folders")]);
  if (!isWeights && field.kind !== "model") options.push(...(state.subfolders || state.folders || []).map((name) => [`folder:${name}`, name]));
  if (field.kind === "dataset" || field.kind === "gallery") {
    options.push(...(state.datasets || []).filter((set) => set.is_here).map((set) => [set.name, set.name]));
  }
  if (field.kind === "index" || field.kind === "folder") options.splice(0, 0, ["", t("a_folder")]);
  if (!options.length) options.push(["", t("no_datasets")]);
  const input = h("select", { id }, options.map(([value, text]) => h("option", { value }, text)));
  const add = ([value, text]) => {
    if (options.some(([each]) => each === value)) return;
    options.push([value, text]);
    input.append(h("option", { value }, text));
  };
  const set = (value) => {
    const wanted = Array.isArray(value) ? value[0] : value;
    // An example or a former result may name what is not in the list, such as testdataset:40.
    if (wanted) add([wanted, wanted.replace(/^run:/, "")]);
    input.value = options.some(([each]) => each === wanted) ? wanted : ready || options[0][0];
  };
  set(field.default);
  const get = () => {
    if (!input.value) return undefined;
    const value = field.many || isMany ? [input.value] : input.value;
    return differs(value, field) || field.required ? value : undefined;
  };
  // Runs that have begun since the form was made.
  const offer = isWeights ? (runs) => runsOf(runs).forEach(add) : undefined;
  return { element: labelled(label, hint, input), input, get, set, offer };
}

// A form: chosen fields in front with words of their own, the others folded away.
export function buildForm(fields, state, front = {}) {
  const controls = {};
  const first = [];
  for (const [name, words] of Object.entries(front)) {
    const field = fields.find((each) => each.name === name);
    if (!field) continue;
    const adapted = words.default === undefined ? field : { ...field, ...words.limits };
    controls[name] = control(adapted, state, words.label || field.label, words.hint === undefined ? field.hint : words.hint);
    if (words.default !== undefined) {
      const inner = controls[name];
      inner.set(words.default);
      controls[name] = { ...inner, set: (value) => inner.set(value ?? words.default) };
    }
    first.push(controls[name].element);
  }
  const rest = [];
  let group = "";
  for (const field of fields) {
    if (controls[field.name]) continue;
    controls[field.name] = control(field, state);
    if (field.group !== group) { group = field.group; rest.push(h("h3", {}, field.heading)); }
    rest.push(controls[field.name].element);
  }
  const more = rest.length ? h("details", {}, h("summary", {}, t("more")), rest) : null;
  const values = () => {
    const result = {};
    for (const [name, each] of Object.entries(controls)) {
      const value = each.get();
      if (value !== undefined) result[name] = value;
      const field = { ...fields.find((one) => one.name === name), ...front[name]?.limits };
      const isOutside = typeof value === "number" && ((field.min ?? value) > value || (field.max ?? value) < value);
      if (isOutside) throw new Error(t(field.max === undefined || field.max === null ? "at_least" : "range", front[name]?.label || field.label, field.min ?? "−∞", field.max));
      if (value === undefined && field.required) throw new Error(t("required", front[name]?.label || field.label));
    }
    return result;
  };
  const set = (settings) => { for (const [name, each] of Object.entries(controls)) each.set(settings[name]); };
  return { first, more, controls, values, set };
}
export const newSeed = () => Math.floor(Math.random() * 2 ** 31);
