// Controls for files that are sent: one field, or one for each class of examples.
import { t } from "./texts.js";
import { announce, api, h, labelled, referenceAddress, unique } from "./ui.js";

const sent = new Map();  // Reference -> name and size of a file that this page has sent.
const previews = new Map();  // Reference -> address of such an image.

export async function sendFile(file, wanted) {
  const upload = await api(`uploads?name=${encodeURIComponent(file.name)}`, { method: "POST", body: file });
  if (wanted !== upload.kind) throw new Error(t(`needs_${wanted}`, upload.name));
  const reference = `upload:${upload.id}`;
  sent.set(reference, `${upload.name}, ${upload.about}`);
  return reference;
}

export function filesControl(field, id, label, hint, state, onsent = () => {}) {
  const files = [];
  const list = h("ul", { ariaLabel: t("chosen") });
  const problem = h("p", { class: "error", role: "alert" });
  const accept = field.kind === "meshes" ? ".glb,.gltf,.obj,.stl,.ply,.3mf,.off,.dae" : "image/*,.webp,.avif,.heic";
  const input = h("input", { type: "file", id, class: "unseen", accept, multiple: Boolean(field.many), onchange: () => { add([...input.files]); input.value = ""; } });
  const draw = () => list.replaceChildren(...files.map((file, index) => h("li", {},
    file.preview ? h("img", { src: file.preview, alt: "", onerror: (event) => event.target.remove() }) : null, h("span", {}, file.text),
    h("button", { class: "small", type: "button", ariaLabel: t("take_away", file.text), onclick: () => { files.splice(index, 1); draw(); } }, "×"))));
  async function add(chosen) {
    problem.textContent = "";
    for (const file of chosen) {
      announce(t("sending", file.name));
      problem.textContent = "";
      try {
        if (file.size > state.max_upload_mb * 1e6) throw new Error(`${file.name}: > ${state.max_upload_mb} MB`);
        const value = await sendFile(file, field.kind === "meshes" ? "mesh" : "image");
        if (!field.many) files.length = 0;
        const preview = /^image\/(png|jpeg|webp|gif|avif)$/.test(file.type) ? URL.createObjectURL(file) : null;
        if (preview) previews.set(value, preview);
        files.push({ value, text: sent.get(value), preview });
        draw();
        announce(sent.get(value));
        onsent(value);
      } catch (error) {
        problem.textContent = error.message;
      }
    }
  }
  const choose = h("button", { type: "button", class: "small", onclick: () => input.click() }, t("choose"));
  choose.setAttribute("aria-label", `${label}: ${t("choose")}`);
  const drop = h("div", { class: "drop" }, h("span", {}, t("drop"), " "), choose, input, list, problem);
  input.tabIndex = -1;
  drop.addEventListener("dragover", (event) => { event.preventDefault(); drop.classList.add("over"); });
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => { event.preventDefault(); drop.classList.remove("over"); add([...event.dataTransfer.files]); });
  const element = h("div", { class: "field" }, h("label", { htmlFor: id }, label), drop, hint ? h("span", { class: "hint" }, hint) : null);
  const set = (value) => {
    files.length = 0;
    for (const each of Array.isArray(value) ? value : value ? [value] : []) files.push({ value: each, text: sent.get(each) || each.split(/[/:]/).pop(), preview: previews.get(each) || referenceAddress(each) });
    draw();
  };
  const get = () => (files.length ? (field.many ? files.map((file) => file.value) : files[0].value) : undefined);
  return { element, input, get, set };
}

// A folder of the server with a folder per class, or pictures of each class that are sent.
export function classesControl(field, id, label, hint, state) {
  const select = h("select", { id }, [["", t("sent_examples")], ...(state.folders || []).map((name) => [`folder:${name}`, name])].map(([value, text]) => h("option", { value }, text)));
  const list = h("div", {});
  const rows = [];
  function add(title = "", references = []) {
    const number = rows.length + 1;
    const name = h("input", { type: "text", id: unique("class"), maxLength: 60, value: title });
    const inner = { ...field, kind: "images", many: true };
    const files = filesControl(inner, unique("examples"), t("class_pictures", number), "", state);
    if (references.length) files.set(references);
    const row = { name, files };
    rows.push(row);
    list.append(h("fieldset", {}, h("legend", {}, t("class_number", number)), labelled(t("class_name"), "", name), files.element));
  }
  const more = h("button", { type: "button", class: "small", onclick: () => add() }, t("add_class"));
  const show = () => { list.hidden = more.hidden = Boolean(select.value); };
  const reset = (classes) => {
    rows.length = 0;
    list.replaceChildren();
    for (const [title, references] of Object.entries(classes)) add(title, references);
    while (rows.length < 2) add();
  };
  select.addEventListener("change", show);
  reset({});
  show();
  const set = (value) => {
    const isFolder = typeof value === "string";
    select.value = isFolder ? value : "";
    reset(isFolder ? {} : value || {});
    show();
  };
  const get = () => {
    if (select.value) return select.value;
    const used = rows.map((row, index) => [row.name.value.trim() || t("class_number", index + 1), row.files.get()]).filter(([, files]) => files);
    return used.length ? Object.fromEntries(used) : undefined;
  };
  return { element: h("div", {}, labelled(label, hint, select), list, more), input: select, get, set };
}
