import { showTask, withDatasets, withRuns } from "./task.js";
import { t } from "./texts.js";

const FRONT = ["examples", "images", "text", "labels", "classes", "num_samples", "seed", "steps", "episodes", "environment"];

export async function show(main, state, parameters) {
  await withDatasets(state);
  await showTask(main, await withRuns(state), {
    page: "explore", button: t("run"), parameters, pick: "verb",
    front: () => Object.fromEntries(FRONT.map((name) => [name, {}])),
  });
}
