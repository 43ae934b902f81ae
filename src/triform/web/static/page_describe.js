import { showTask, withRuns } from "./task.js";
import { t } from "./texts.js";
import { api } from "./ui.js";

// An image of furniture that comes with the application.
async function sendExample(name) {
  const image = await (await fetch(`/static/example_${name}.webp`)).blob();
  const upload = await api(`uploads?name=${name}.webp`, { method: "POST", body: image });
  return { images: [`upload:${upload.id}`] };
}

export async function show(main, state, parameters) {
  await showTask(main, await withRuns(state), {
    page: "describe", button: t("describe"), parameters,
    examples: () => ["office_chair", "table", "bicycle"].map((name) => [t(`example_${name}`), () => sendExample(name)]),
    front: () => ({ images: { label: t("pictures"), hint: "" } }),
  });
}
