import { chart } from "./chart.js";
import { goesOn, runJob } from "./job.js";
import { showResult } from "./result.js";
import { datasets, reveal, runs, withParts } from "./task.js";
import { language, t } from "./texts.js";
import { api, buildForm, h, labelled, round } from "./ui.js";

const WEIGHTS = "training.initial_weights";
const FRONT = ["data.dataset", "data.library", "environment.name", "training.epochs", "training.max_minutes", "data.batch_size", "training.lr", WEIGHTS, "seed"];
const LIVE = 2000;

// Samples are named by their step.
const titleOf = (sample) => (/^\d+/.test(sample) ? `${t("step")} ${parseInt(sample, 10)}` : sample);

export async function show(main, state, parameters) {
  state = await withParts(state, [runs, datasets]);
  const rows = state.pages.train;
  const system = h("select", {}, rows.map((row) => h("option", { value: row.system }, row.system)));
  const preset = h("select", {});
  const about = h("p", { class: "hint" }), fit = h("p", { class: "hint", role: "status" });
  const fields = h("div", {}), problem = h("p", { class: "error", role: "alert" });
  const output = h("div", { id: "output" }), live = h("div", {}), list = h("div", {});
  let form, row, shown = "", fieldsOf = [];
  let going = new Map();  // Run -> id of the job that trains it now
  const ended = (run) => (run.is_finished ? run.ended : t(going.has(run.name) ? "running" : "unfinished"));
  // One after the other, and before anything is sent: values of a form that is on its way would be those of another one.
  let loading = Promise.resolve();
  const load = (work) => (loading = loading.then(work).catch((error) => { problem.textContent = error.message; }));
  async function choose() {
    row = rows.find((each) => each.system === system.value);
    about.textContent = row.summary;
    preset.replaceChildren(h("option", { value: "" }, t("no_preset")), ...row.presets.map((name) => h("option", { value: name }, name)));
    if (row.presets.includes("tiny")) preset.value = "tiny";
    fieldsOf = await api(`forms/${row.system}/train?language=${language}`);
    form = buildForm(fieldsOf, { ...state, system: row.system }, { ...Object.fromEntries(FRONT.map((name) => [name, {}])), [WEIGHTS]: { label: t("initial_weights"), hint: t("initial_weights_hint") } });
    form.controls[WEIGHTS]?.input.addEventListener("change", () => load(fitPreset));
    await usePreset();
    fields.replaceChildren(...[...form.first, form.more].filter(Boolean));
  }
  let presets = {};
  async function usePreset() {
    presets = await api(`presets/${row.system}`);
    form.set({ [WEIGHTS]: form.controls[WEIGHTS]?.get(), ...presets[preset.value] });
  }
  // Weights need networks of their own shapes: a preset that has them is chosen with them.
  async function fitPreset() {
    fit.textContent = "";
    const weights = form.controls[WEIGHTS].get();
    if (!weights) return;
    const names = await api(`presets/${row.system}/fitting?weights=${encodeURIComponent(weights)}`).catch(() => []);
    if (names.includes(preset.value)) return;
    if (names.length) { preset.value = names[0]; await usePreset(); }
    fit.textContent = names.length ? t("preset_fits", names[0] || t("no_preset")) : t("no_preset_fits");
  }
  async function start(settings, name, sent = null) {
    problem.textContent = "";
    shown = "";
    const tail = setInterval(() => shown && showRun(shown), LIVE);
    const request = { system: row.system, verb: "train", page: "train", settings, preset: name };
    const record = await runJob(output, request, { isTraining: true, sent, onUpdate: (now) => {
      if (now.run) going.set(now.run, now.id);
      if (now.run && !shown) { showRun(now.run); listRuns(); }  // at once, and then as often as LIVE says
      shown = now.run;
    } });
    clearInterval(tail);
    if (!record) return;
    going.delete(record.run);
    showResult(output, record);
    if (record.run) await showRun((shown = record.run));
    await listRuns();
  }
  async function showRun(name) {
    const [run, lines] = await Promise.all([api(`runs/${name}`), api(`runs/${name}/curves`)]);
    const names = Object.keys(lines);
    const sample = (each) => `/api/runs/${name}/samples/${encodeURIComponent(each)}`;
    const lastSamples = run.samples.slice(-4).reverse();
    live.replaceChildren(h("section", { class: "card", ariaLabel: name }, h("h2", {}, name),
      h("p", { class: "soft" }, [ended(run), run.best === null || run.best === undefined ? null : `${run.monitor} ${round(run.best)}`, run.step === null || run.step === undefined ? null : `${t("step")} ${run.step}`].filter(Boolean).join(" · ")),
      going.has(name) ? (name === shown ? null : h("p", {}, h("a", { href: `/train?job=${going.get(name)}` }, t("watch")))) : h("div", { class: "chips" },
        run.can_resume ? h("button", { type: "button", class: "small", onclick: () => resume(run) }, t("resume")) : null,
        run.has_weights ? h("button", { type: "button", class: "small", onclick: () => beginFrom(run) }, t("use_weights")) : null),
      lastSamples.length ? h("h3", {}, t("samples")) : null,
      h("div", { class: "grid" }, lastSamples.map((each) => h("figure", {}, h("a", { href: sample(each), target: "_blank", rel: "noopener" }, h("img", { src: sample(each), alt: `${t("samples")}: ${titleOf(each)}` })), h("figcaption", {}, titleOf(each))))),
      h("h3", {}, t("curves")), names.length ? h("div", { class: "grid" }, names.slice(0, 24).map((each) => h("figure", {}, h("figcaption", {}, each), chart(each, lines[each])))) : h("p", { class: "soft" }, t("no_curve"))));
  }
  async function resume(run) {
    if (system.value !== run.system) { system.value = run.system; await load(choose); }
    await start({ "training.resume_from": `run:${run.name}` }, "");
  }
  // Fills the form for a new run that begins with the weights of another one.
  async function beginFrom(run) {
    if (system.value !== run.system) { system.value = run.system; await load(choose); }
    const weights = form.controls[WEIGHTS];
    weights.set(`run:${run.name}`);
    reveal(weights.element);
    weights.input.focus({ preventScroll: true });
    await fitPreset();
  }
  async function listRuns() {
    const [{ runs: found }, jobs] = await Promise.all([runs(), api("jobs").catch(() => [])]);
    going = new Map(jobs.filter((each) => each.run).map((each) => [each.run, each.id]));
    state.runs = found;
    for (const each of Object.values(form.controls)) each.offer?.(found);
    list.replaceChildren(h("h2", {}, t("runs")), found.length ? h("div", { class: "table", tabIndex: 0, role: "region", ariaLabel: t("runs") }, h("table", {}, h("tbody", {}, found.slice(0, 50).map((run) => h("tr", {},
      h("td", {}, h("button", { type: "button", class: "small", onclick: () => showRun(run.name) }, run.name)), h("td", {}, run.best === null ? "" : `${run.monitor ?? ""} ${run.best === undefined || run.best === null ? "" : round(run.best)}`), h("td", { class: "soft" }, ended(run)), h("td", { class: "soft" }, new Date(1000 * run.created).toLocaleString(language))))))) : h("div", { class: "empty" }, t("no_runs")));
  }
  system.addEventListener("change", () => load(choose));
  preset.addEventListener("change", () => load(usePreset));
  const submit = async (event) => {
    event.preventDefault();
    await loading;
    let settings;
    try { settings = form.values(); } catch (error) { problem.textContent = error.message; return; }
    const base = presets[preset.value] || {};
    for (const [name, value] of Object.entries(base)) {
      const plain = fieldsOf.find((each) => each.name === name)?.default;
      if (JSON.stringify(settings[name]) === JSON.stringify(value)) delete settings[name];
      else if (settings[name] === undefined && plain !== undefined && plain !== null && JSON.stringify(plain) !== JSON.stringify(value)) settings[name] = plain;
    }
    start(settings, preset.value);
  };
  main.append(h("div", { class: "columns" },
    h("form", { class: "card", noValidate: true, onsubmit: submit }, labelled(t("system"), "", system, about), labelled(t("preset"), t("preset_hint"), preset), fit, fields, problem, h("button", { class: "main", type: "submit" }, t("start"), " (Ctrl+Enter)")),
    h("div", {}, output, live, list)));
  if (rows.some((each) => each.system === parameters.get("system"))) system.value = parameters.get("system");
  if (parameters.get("run")) system.value = parameters.get("run").split("/")[0];
  const from = parameters.get("from") ? await api(`results/${parameters.get("from")}`).catch(() => null) : null;
  const job = parameters.get("job") ? await api(`results/${parameters.get("job")}`).catch(() => null) : null;
  if (job && rows.some((each) => each.system === job.system)) system.value = job.system;
  if (from && rows.some((each) => each.system === from.system)) system.value = from.system;
  await load(choose);
  if (from) { preset.value = from.preset; form.set({ ...presets[from.preset], ...from.settings }); }
  await listRuns();
  if (job && goesOn(job)) start({}, "", job);  // a job that was sent before
  else if (job?.run) await showRun(job.run);
  if (parameters.get("run")) await showRun(parameters.get("run"));
}
