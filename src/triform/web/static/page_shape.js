import { filesControl } from "./files.js";
import { runJob } from "./job.js";
import { exampleButton, ownExamples, reveal, showTask } from "./task.js";
import { t } from "./texts.js";
import { announce, h, unique } from "./ui.js";

const EXAMPLES = ["a round table with four legs", "an office chair", "a sofa with three seats", "a double bed", "a bookcase with five shelves", "a floor lamp"];
const PICTURES = ["office_chair", "table"];

export async function show(main, state, parameters) {
  const describer = (state.pages.describe || []).find((row) => row.ships);
  await showTask(main, state, {
    page: "shape", button: t("make"), parameters, chipsAfter: "prompt",
    check: (form) => (form.controls.prompt && !form.controls.prompt.input.value.trim() && !form.controls.image?.get()?.length ? t("no_prompt") : ""),
    front: (row) => ({
      prompt: { label: t("prompt"), hint: row.verb === "generate" ? t("prompt_hint") : undefined },
      image: { label: t("picture"), hint: "" },
      num_samples: { label: t("how_many"), hint: "", default: 4, limits: { max: 12, kind: "slider", min: 1, step: 1 } },
      seed: { label: t("seed"), hint: t("seed_hint") },
      size_mm: { label: t("size_mm"), hint: "", default: 100, limits: { kind: "number", max: 1e6 } },
    }),
    examples: (row) => (row.examples.length ? ownExamples(row) : EXAMPLES.map((text) => [text, { prompt: [text], image: [] }])),
    // A system that takes pictures itself needs no words for them; an interpolation needs two.
    onChoose: (row, form, shown) => { if (describer && !form.controls.image && row.verb === "generate") shown.chips.after(wordsOfPicture(form, state, describer, shown)); },
  });
}

// A picture that is sent is described, and its description becomes the prompt.
function wordsOfPicture(form, state, { system, verb }, { output, submit }) {
  const note = h("p", { class: "hint", role: "status" }), problem = h("p", { class: "error", role: "alert" });
  const prompt = form.controls.prompt;
  async function describe(reference) {
    problem.textContent = note.textContent = "";
    const job = runJob(output, { system, verb, settings: { images: [reference] }, page: "describe" });
    reveal(output);
    const record = await job;
    if (!record) return false;
    const caption = record.answer?.[0]?.caption;
    if (!caption) {
      if (record.state !== "stopped") problem.textContent = record.error || record.answer?.[0]?.problem || t(record.state);
      return false;
    }
    prompt.set([caption]);
    note.textContent = t("described", caption);
    announce(note.textContent);
    prompt.input.focus({ preventScroll: innerWidth > 832 });
    return true;
  }
  const picture = filesControl({ kind: "images", many: false }, unique("words"), t("words_of_picture"), t("words_of_picture_hint"), state, describe);
  const examples = h("div", { class: "chips" }, PICTURES.map((name) => exampleButton(t(`picture_${name}`), { images: [`example:${name}`] }, async () => {
    picture.set([`example:${name}`]);
    if (await describe(`example:${name}`)) await submit();
  })));
  return h("div", {}, picture.element, note, problem, examples);
}
