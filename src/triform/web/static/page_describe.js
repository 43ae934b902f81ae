import { showTask } from "./task.js";
import { t } from "./texts.js";

export async function show(main, state, parameters) {
  await showTask(main, state, {
    page: "describe", button: t("describe"), parameters, chipsAfter: "images",
    front: () => ({ images: { label: t("pictures"), hint: "" } }),
  });
}
