import { showTask } from "./task.js";
import { language, t } from "./texts.js";

const EXAMPLES = {
  en: ["a red apple", "a green cat at night", "three yellow stars", "a blue fish on the beach", "an orange butterfly", "two purple umbrellas in the snow"],
  ru: ["красное яблоко", "зелёный кот ночью", "три жёлтые звезды", "синяя рыба на пляже", "оранжевая бабочка", "два фиолетовых зонта на снегу"],
};

export async function show(main, state, parameters) {
  await showTask(main, state, {
    page: "image", button: t("make"), parameters, chipsAfter: "prompt",
    check: (form) => (form.controls.prompt && !form.controls.prompt.input.value.trim() ? t("no_prompt") : ""),
    front: () => ({
      prompt: { label: t("image_prompt"), hint: t("image_prompt_hint"), default: [EXAMPLES[language][0]] },
      num_images: { label: t("how_many_images"), hint: "", limits: { max: 16, kind: "slider", min: 1, step: 1 }, default: 4 },
      refine: { label: t("refine"), hint: t("refine_hint") },
      seed: { label: t("seed"), hint: t("seed_hint") },
    }),
    always: { show_stages: true },
    examples: () => EXAMPLES[language].map((text) => [text, { prompt: [text], like: undefined }]),
  });
}
