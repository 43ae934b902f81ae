import { datasets, runs, showTask } from "./task.js";
import { t } from "./texts.js";

const FRONT = ["examples", "images", "text", "labels", "classes", "num_samples", "seed", "steps", "episodes", "environment"];

export async function show(main, state, parameters) {
  await showTask(main, state, {
    page: "explore", button: t("run"), parameters, pick: "verb", needs: [runs, datasets],
    front: () => Object.fromEntries(FRONT.map((name) => [name, {}])),
  });
}
