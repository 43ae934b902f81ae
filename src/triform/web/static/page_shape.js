import { filesControl } from "./files.js";
import { runJob } from "./job.js";
import { ownExamples, showTask } from "./task.js";
import { t } from "./texts.js";
import { announce, newSeed, h, unique } from "./ui.js";

const EXAMPLES = ["a round table with four legs", "an office chair", "a sofa with three seats", "a double bed", "a bookcase with five shelves", "a floor lamp"];

export async function show(main, state, parameters) {
  await showTask(main, state, {
    page: "shape", button: t("make"), parameters,
    front: () => ({
      prompt: { label: t("prompt"), hint: t("prompt_hint") },
      image: { label: t("picture"), hint: "" },
      num_samples: { label: t("how_many"), hint: "", default: 2, limits: { max: 12, kind: "slider", min: 1, step: 1 } },
      seed: { label: t("seed"), hint: t("seed_hint") },
      size_mm: { label: t("size_mm"), hint: "", default: 100, limits: { kind: "number", max: 1e6 } },
    }),
    examples: (row) => (row.examples.length ? ownExamples(row) : EXAMPLES.map((text) => [text, { prompt: [text], image: [] }])),
  });
  const seed = main.querySelector("[id^='seed']");
  seed.after(h("button", { type: "button", class: "small", onclick: () => { seed.value = newSeed(); } }, t("new_seed")));
  const describer = (state.pages.describe || []).find((row) => row.ships);
  if (describer) main.querySelector("form > .chips, form > button.main").before(wordsOfPicture(main, state, describer));
}

// A picture that is sent is described, and its description becomes the prompt.
function wordsOfPicture(main, state, { system, verb }) {
  const place = h("div", {});
  const problem = h("p", { class: "error", role: "alert" });
  const picture = filesControl({ kind: "images", many: false }, unique("words"), t("words_of_picture"), t("words_of_picture_hint"), state, async (reference) => {
    problem.textContent = "";
    const record = await runJob(place, { system, verb, settings: { images: [reference] }, page: "describe" });
    if (!record) return;
    const caption = record.answer?.[0]?.caption;
    const prompt = main.querySelector("textarea[id^='prompt']");
    if (caption && prompt) {
      prompt.value = caption;
      prompt.focus();
      announce(caption);
    } else if (record.state !== "stopped") problem.textContent = record.error || record.answer?.[0]?.problem || t(record.state);
  });
  return h("div", {}, picture.element, place, problem);
}
