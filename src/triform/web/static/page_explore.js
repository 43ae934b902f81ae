import { datasets, exampleButton, kinds, runs, showTask, titleOf } from "./task.js";
import { t } from "./texts.js";
import { h } from "./ui.js";

const FRONT = ["examples", "images", "text", "labels", "classes", "prompt", "num_samples", "seed", "steps", "episodes", "environment"];

export async function show(main, state, parameters) {
  await showTask(main, state, {
    page: "explore", button: t("run"), parameters, pick: "verb", needs: [runs, datasets], keeps: false, menu,
    front: () => Object.fromEntries(FRONT.map((name) => [name, {}])),
  });
}

// Everything that can be done here, by kind, with examples to click.
function menu(rows, open) {
  return h("div", { class: "empty menu" }, h("p", {}, t("explore_menu")), kinds(rows).map(([kind, found]) => h("section", { ariaLabel: t(kind) }, h("h2", {}, t(kind)),
    h("div", { class: "grid" }, found.map((row) => h("div", { class: "card" },
      h("h3", {}, h("button", { type: "button", class: "link", onclick: () => open(row) }, titleOf(row))), h("p", { class: "hint" }, `${row.system} ${row.verb}`),
      row.ships ? h("div", { class: "chips" }, row.examples.map((each) => exampleButton(each.title, each.settings, () => open(row, each.settings)))) : h("p", { class: "hint" }, t("no_weights", row.system), " ", h("a", { href: `/train?system=${row.system}` }, t("train")))))))));
}
