import { sendFile } from "./files.js";
import { showTask, withRuns } from "./task.js";
import { t } from "./texts.js";

// An image of furniture that comes with the application.
async function sendExample(name) {
  const image = await (await fetch(`/static/example_${name}.webp`)).blob();
  return { images: [await sendFile(image, `${name}.webp`)] };
}

export async function show(main, state, parameters) {
  await showTask(main, await withRuns(state), {
    page: "describe", button: t("describe"), parameters,
    examples: () => ["office_chair", "table", "bicycle"].map((name) => [t(`example_${name}`), () => sendExample(name)]),
    front: () => ({ images: { label: t("pictures"), hint: "" } }),
  });
}
