import { showTask, withRuns } from "./task.js";
import { t } from "./texts.js";
import { newSeed, h } from "./ui.js";

const EXAMPLES = ["a round table with four legs", "an office chair", "a sofa with three seats", "a double bed", "a bookcase with five shelves", "a floor lamp"];

export async function show(main, state, parameters) {
  await showTask(main, await withRuns(state), {
    page: "shape", button: t("make"), parameters,
    front: () => ({
      prompt: { label: t("prompt"), hint: t("prompt_hint") },
      image: { label: t("picture"), hint: "" },
      num_samples: { label: t("how_many"), hint: "", default: 2, limits: { max: 12, kind: "slider", min: 1, step: 1 } },
      seed: { label: t("seed"), hint: t("seed_hint") },
      size_mm: { label: t("size_mm"), hint: "", default: 100, limits: { kind: "number", max: 1e6 } },
    }),
    examples: () => EXAMPLES.map((text) => [text, { prompt: [text], image: [] }]),
  });
  const seed = main.querySelector("[id^='seed']");
  seed.after(h("button", { type: "button", class: "small", onclick: () => { seed.value = newSeed(); } }, t("new_seed")));
}
