// A page with a form beside its result: what Make a shape, Find, Describe and Explore share.
import { runJob } from "./job.js";
import { showResult } from "./result.js";
import { language, t } from "./texts.js";
import { api, buildForm, h } from "./ui.js";

export const ownExamples = (row) => row.examples.map((each) => [each.title, each.settings]);

// Draws the page; `front(row)` names the settings in front, `examples` fill the form and run it.
// The examples stand below the setting `chipsAfter`. An example changes what it names and keeps
// the rest where `keeps`; `menu(row)` is shown where no result is. `check` finds what is missing.
export async function showTask(main, shared, { page, button, front, examples = ownExamples, parameters, pick = "system", always = {}, needs = [runs], chipsAfter = "", keeps = true, menu = null, check = () => "", onChoose = () => {} }) {
  const rows = shared.pages[page];
  const forms = new Map();
  const fieldsOf = (row) => {
    if (!forms.has(row)) forms.set(row, api(`forms/${row.system}/${row.verb}?language=${language}`).catch((error) => { forms.delete(row); throw error; }));
    return forms.get(row);
  };
  const source = parameters.get("from") ? api(`results/${parameters.get("from")}`).catch(() => null) : null;
  if (!source) fieldsOf(rows[0]).catch(() => {});  // asked for beside what the form needs
  const state = await withParts(shared, needs);
  const output = h("div", { id: "output" });
  const place = h("div", {});
  const fields = h("div", {});
  const problem = h("p", { class: "error", role: "alert" });
  const select = pickRow(rows, pick);
  const about = h("p", { class: "hint" }), note = h("p", { class: "hint note" });
  const chips = h("div", { class: "examples" });
  const run = h("button", { class: "main", type: "submit" });
  const label = (row) => (typeof button === "function" ? button(row) : button);
  let form, row;
  const canRun = () => row.ships || (state.runs || []).some((run) => run.system === row.system && run.has_weights);
  const all = menu ? h("button", { type: "button", class: "small", onclick: () => place.replaceChildren(menu(rows, openExample)) }, t("show_all")) : null;
  function empty() {
    if (!canRun()) place.replaceChildren(h("p", { class: "empty" }, t("no_weights", row.system), " ", h("a", { href: `/train?system=${row.system}` }, t("train")), ` · triform ${row.system} train`));
    else if (menu) place.replaceChildren(menu(rows, openExample));
    else place.replaceChildren(h("div", { class: "empty" }, t(chips.querySelector("button") ? (form.controls.images && !form.controls.text ? "nothing_yet_pictures" : "nothing_yet") : "nothing_yet_plain", label(row))));
  }
  async function choose(index) {
    const chosen = (row = rows[index]);
    select.value = `${row.system}/${row.verb}`;
    about.textContent = `${row.about}${pick === "verb" ? ` (${row.system} ${row.verb})` : ""}`;
    note.textContent = row.note;
    run.textContent = `${label(row)} (Ctrl+Enter)`;
    const all = await fieldsOf(row);
    if (row !== chosen) return;  // another was chosen meanwhile
    form = buildForm(all.filter((field) => !(field.name in always)), { ...state, system: row.system, ships: row.ships }, front(row));
    fields.replaceChildren(...[...form.first, form.more].filter(Boolean));
    const list = canRun() ? examples({ ...row, fields: all.map((field) => field.name) }) : [];
    chips.replaceChildren(...(list.length ? [h("p", { class: "label hint" }, t("examples")), h("div", { class: "chips" }, list.map(([text, values]) => exampleButton(text, values, () => runExample(values))))] : []), note);
    const after = form.controls[chipsAfter]?.element;
    if (after) after.after(chips); else fields.prepend(chips);
    problem.textContent = "";
    onChoose(row, form, { chips, output, submit, run: runOther });
    if (!place.firstChild || place.firstChild.classList.contains("empty")) empty();
  }
  async function runExample(values) {
    if (keeps) for (const [name, value] of Object.entries(values)) form.controls[name]?.set(value);
    else form.set(values);
    await submit();
  }
  async function openExample(chosen, values) {
    await choose(rows.indexOf(chosen));
    if (values) await runExample(values);
    else form.controls[Object.keys(front(row))[0]]?.input?.focus();
  }
  // Runs another verb of the same system with these settings.
  async function runOther(verb, settings) {
    await choose(rows.findIndex((each) => each.system === row.system && each.verb === verb));
    form.set(settings);
    await submit();
  }
  const collect = () => { try { return form.values(); } catch { return {}; } };
  async function submit(settings) {
    problem.textContent = "";
    try {
      if (!settings) {
        settings = form.values();
        const missing = check(form, row, settings);
        if (missing) throw new Error(missing);
      }
    } catch (error) {
      problem.textContent = error.message;
      return;
    }
    const focused = document.activeElement;
    place.replaceChildren();
    const used = row;
    const job = runJob(output, { system: row.system, verb: row.verb, settings: { ...always, ...settings }, page });
    reveal(output);
    const record = await job;
    if (record) showResult(place, record, actionsOf(used));
    reveal(output);
    if (focused?.isConnected) focused.focus({ preventScroll: true });
  }
  // What can be done with a result; its form may have been left for another one.
  const actionsOf = (used) => Object.fromEntries(Object.entries({
    again: (settings) => submit(settings),
    use: (settings) => { form.set(settings); form.controls[Object.keys(front(row))[0]]?.input?.focus(); },
    another: (settings) => { form.set(settings); submit(settings); },
    similar: (reference) => {
      const settings = { ...collect(), ...(form.controls.query ? { query: [reference] } : { image: [reference] }) };
      delete settings.text;
      delete settings.mesh;
      form.set(settings);
      submit(settings);
    },
  }).map(([name, act]) => [name, async (value) => { if (row !== used) await choose(rows.indexOf(used)); return act(value); }]));
  const chosen = rows.length > 1 ? h("div", { class: "field" }, h("label", { htmlFor: "pick" }, t(pick === "system" ? "system" : "what")), select, about, all) : null;
  let choosing = Promise.resolve();  // the form of another row is on its way
  select.addEventListener("change", () => { choosing = choose(select.selectedIndex).catch((error) => { problem.textContent = error.message; }); });
  const formElement = h("form", { class: "card", noValidate: true, onsubmit: async (event) => { event.preventDefault(); await choosing; submit(); } },
    pick === "verb" ? chosen : null, fields, pick === "system" ? chosen : null, h("div", { class: "run" }, problem, run));
  main.append(h("div", { class: "columns" }, formElement, h("div", {}, output, place)));
  const from = await source;
  const index = from ? rows.findIndex((each) => each.system === from.system && each.verb === from.verb) : 0;
  await choose(Math.max(0, index));
  if (from && index >= 0) form.set(from.settings);
}

// Scrolls to what nobody would see of a job: beside a long form, or below it on a narrow screen.
export function reveal(element) {
  const { top } = element.getBoundingClientRect();
  if (top < 0 || top > innerHeight / 2) element.scrollIntoView({ block: "start" });
}

const KINDS = {
  create: ["generate", "interpolate", "mix", "translate", "reconstruct", "explore", "encode"],
  recognise: ["classify", "analyze", "search", "index", "duplicates"], play: ["play"], measure: ["evaluate"],
};
const kindOf = (row) => Object.keys(KINDS).find((kind) => KINDS[kind].includes(row.verb)) || "others";
export const kinds = (rows) => [...Object.keys(KINDS), "others"].map((kind) => [kind, rows.filter((row) => kindOf(row) === kind)]).filter(([, found]) => found.length);

// The first words of what a verb does: a title for it.
export const titleOf = (row) => row.about.replace(/[.;:].*$/s, "");

// A choice of systems, or of verbs: by what they do.
function pickRow(rows, pick) {
  const isAlone = (row) => rows.filter((each) => each.system === row.system).length === 1;
  const title = (row) => (pick === "verb" ? `${titleOf(row)} · ${row.system}` : isAlone(row) ? row.system : `${row.system} ${row.verb}`);
  return h("select", { id: "pick" }, rows.map((row) => h("option", { value: `${row.system}/${row.verb}` }, title(row))));
}

// An example to click; the pictures that it sends are on it.
export function exampleButton(text, values, onclick) {
  const names = Object.values(values).flatMap((value) => (value && typeof value === "object" && !Array.isArray(value) ? Object.values(value) : [value])).flat()
    .filter((value) => typeof value === "string" && value.startsWith("example:"));
  return h("button", { type: "button", class: "small", onclick }, names.slice(0, 3).map((name) => h("img", { class: "little", src: `/static/example_${name.slice(8)}.webp`, alt: "" })), text);
}

// What a form may need besides the state, all asked for at once.
export const runs = async () => ({ runs: await api("runs").catch(() => []) });
export const subfolders = async () => ({ subfolders: await api("folders").catch(() => []) });
export async function datasets(shared) {
  shared.datasets ??= await api("datasets").catch(() => []);
  return { datasets: shared.datasets };
}
export async function withParts(shared, needs) {
  return Object.assign({}, shared, ...await Promise.all(needs.map((need) => need(shared))));
}
