import { goesOn, runJob } from "./job.js";
import { showResult } from "./result.js";
import { language, t } from "./texts.js";
import { api, fileAddress, h, unique } from "./ui.js";

const date = new Intl.DateTimeFormat(language, { dateStyle: "short", timeStyle: "medium" });

export async function show(main, state, parameters) {
  const detail = h("div", { id: "output" });
  const grid = h("div", { class: "grid narrow" });
  const total = h("p", { class: "soft", role: "status" });
  const more = h("button", { type: "button", hidden: true }, t("load_more"));
  const id = unique("search");
  const search = h("input", { type: "search", id, maxLength: 100 });
  main.append(h("div", { class: "field" }, h("label", { htmlFor: id }, t("search_history")), search), detail, total, grid, more);
  let count = 0;
  async function load(anew) {
    if (anew) count = 0;
    const asked = search.value;
    const answer = await api(`results?start=${count}&text=${encodeURIComponent(asked)}`);
    if (asked !== search.value) return;  // more was typed meanwhile, and is asked for
    const tiles = answer.entries.map(tile);
    if (anew) grid.replaceChildren(...tiles); else grid.append(...tiles);
    count += answer.entries.length;
    total.textContent = answer.total ? t("total", answer.total) : "";
    if (!answer.total) grid.replaceChildren(h("div", { class: "empty" }, asked ? t("no_such_result", asked) : t("nothing_found")));
    more.hidden = count >= answer.total;
  }
  const tile = (entry) => {
    const words = entry.kind === "run" ? entry.name : entry.title;
    const state = entry.kind === "run" ? t("training") : entry.origin ? t("from_command") : t(entry.state);
    const sample = entry.sample ? `/api/runs/${entry.kind === "run" ? entry.name : entry.run}/samples/${encodeURIComponent(entry.sample)}` : null;
    const source = entry.thumbnail ? `/api/results/${entry.id}/thumbnail` : entry.image ? fileAddress(entry.id, entry.image) : sample;
    const image = source ? h("img", { src: source, alt: "", loading: "lazy" }) : h("span", { class: "blank", ariaHidden: "true" }, entry.system || "");
    const isTraining = entry.kind !== "run" && entry.verb.startsWith("train") && goesOn(entry);
    const address = entry.kind === "run" ? `/train?run=${encodeURIComponent(entry.name)}` : isTraining ? `/train?job=${entry.id}` : `/history?id=${entry.id}`;
    return h("a", { class: "card tile", href: address }, image, h("strong", {}, words), h("br"), h("span", { class: "soft" }, `${state} · ${date.format(1000 * entry.created)}`));
  };
  // A result with its actions; the job that repeats it takes its place.
  function showDetail(record) {
    const { system, verb, preset, page } = record;
    const again = async (settings) => {
      const next = await runJob(detail, { system, verb, preset, page, settings }, { isTraining: verb.startsWith("train") });
      if (!next) return;
      showDetail(next);
      await load(true);
    };
    try {
      showResult(detail, record, { again, another: again });
    } catch {  // a record in a folder may say anything
      showResult(detail, { ...record, answer: null }, { again });
    }
  }
  let timer;
  search.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(() => load(true), 200); });
  more.addEventListener("click", async () => {
    more.disabled = true;  // a second click would show the same results again
    await load(false).finally(() => { more.disabled = false; });
  });
  // A job that goes on is followed, and can be stopped, until it is ended.
  async function open(record) {
    const ended = await runJob(detail, null, { isTraining: record.verb.startsWith("train"), sent: record });
    if (!ended) return;
    showDetail(ended);
    await load(true);
  }
  const chosen = parameters.get("id") ? await api(`results/${parameters.get("id")}`) : null;
  if (chosen && goesOn(chosen)) open(chosen);
  else if (chosen) showDetail(chosen);
  await load(true);
}
