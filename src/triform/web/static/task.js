// A page with a form beside its result: what Make a shape, Find, Describe and Explore share.
import { runJob } from "./job.js";
import { showResult } from "./result.js";
import { language, t } from "./texts.js";
import { api, buildForm, h } from "./ui.js";

export const ownExamples = (row) => row.examples.map((each) => [each.title, each.settings]);

// Draws the page; `front(row)` names the settings in front, `examples` fill the form and run it.
export async function showTask(main, shared, { page, button, front, examples = ownExamples, parameters, pick = "system", always = {}, needs = [runs] }) {
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
  const isAlone = (row) => rows.filter((each) => each.system === row.system).length === 1;
  const title = (row) => (pick === "system" && isAlone(row) ? row.system : `${row.system} ${row.verb}`);
  const select = h("select", { id: "pick" }, rows.map((row, index) => h("option", { value: index }, title(row))));
  const about = h("p", { class: "hint" });
  const chips = h("div", {});
  let form, row;
  const canRun = () => row.ships || (state.runs || []).some((run) => run.system === row.system);
  const empty = () => place.replaceChildren(canRun() ? h("div", { class: "empty" }, t(chips.firstChild ? "nothing_yet" : "nothing_yet_plain", button))
    : h("p", { class: "empty" }, t("no_weights", row.system), " ", h("a", { href: `/train?system=${row.system}` }, t("train")), ` · triform ${row.system} train`));
  async function choose(index) {
    const chosen = (row = rows[index]);
    select.value = index;
    about.textContent = row.about;
    const all = await fieldsOf(row);
    if (row !== chosen) return;  // another was chosen meanwhile
    form = buildForm(all.filter((field) => !(field.name in always)), { ...state, system: row.system, ships: row.ships }, front(row));
    fields.replaceChildren(...[...form.first, form.more].filter(Boolean));
    const list = examples({ ...row, fields: all.map((field) => field.name) });
    chips.replaceChildren(...(list.length ? [h("p", { class: "label hint" }, t("examples")), h("div", { class: "chips" }, list.map(([text, values]) => h("button", { type: "button", class: "small", onclick: () => runExample(values) }, text)))] : []));
    if (!place.firstChild || place.firstChild.classList.contains("empty")) empty();
  }
  async function runExample(values) {
    try {
      form.set({ ...collect(), ...values });
    } catch (error) {
      problem.textContent = error.message;
      return;
    }
    await submit();
  }
  const collect = () => { try { return form.values(); } catch { return {}; } };
  async function submit(settings) {
    problem.textContent = "";
    try {
      settings ??= form.values();
    } catch (error) {
      problem.textContent = error.message;
      return;
    }
    const focused = document.activeElement;
    place.replaceChildren();
    const used = row;
    const record = await runJob(output, { system: row.system, verb: row.verb, settings: { ...always, ...settings }, page });
    if (record) showResult(place, record, actionsOf(used));
    if (focused?.isConnected) focused.focus();
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
  const chosen = rows.length > 1 ? h("div", { class: "field" }, h("label", { htmlFor: "pick" }, t(pick === "system" ? "system" : "what")), select, about) : null;
  select.addEventListener("change", () => choose(Number(select.value)).catch((error) => { problem.textContent = error.message; }));
  const formElement = h("form", { class: "card", noValidate: true, onsubmit: (event) => { event.preventDefault(); submit(); } },
    chosen, fields, problem, h("button", { class: "main", type: "submit" }, button, " (Ctrl+Enter)"), chips);
  main.append(h("div", { class: "columns" }, formElement, h("div", {}, output, place)));
  const from = await source;
  const index = from ? rows.findIndex((each) => each.system === from.system && each.verb === from.verb) : 0;
  await choose(Math.max(0, index));
  if (from && index >= 0) form.set(from.settings);
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
