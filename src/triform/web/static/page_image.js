import { showTask } from "./task.js";
import { t } from "./texts.js";

const EXAMPLES = ["a red apple", "a green cat at night", "three yellow stars", "a blue fish on the beach", "a purple house to the left of an orange tree", "красный гриб над синей машиной"];

export async function show(main, state, parameters) {
  await showTask(main, state, {
    page: "image", button: t("make"), parameters, chipsAfter: "prompt",
    front: () => ({
      prompt: { label: t("image_prompt"), hint: t("image_prompt_hint") },
      num_images: { label: t("how_many_images"), hint: "", limits: { max: 16, kind: "slider", min: 1, step: 1 }, default: 4 },
      refine: { label: t("refine"), hint: t("refine_hint") },
      seed: { label: t("seed"), hint: t("seed_hint") },
    }),
    always: { show_stages: true },
    examples: () => EXAMPLES.map((text) => [text, { prompt: [text], like: undefined }]),
  });
}
