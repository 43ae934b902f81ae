import { datasets, runs, showTask, subfolders } from "./task.js";
import { t } from "./texts.js";
import { h } from "./ui.js";

export async function show(main, state, parameters) {
  await showTask(main, state, {
    page: "find", parameters, pick: "verb", needs: [runs, datasets, subfolders], chipsAfter: "text",
    button: (row) => t({ index: "index", duplicates: "list" }[row.verb] || "search"),
    front: () => ({
      gallery: { label: t("collection"), hint: t("collection_hint") },
      text: { label: t("words"), hint: t("words_hint") },
      query: { label: t("query"), hint: t("query_hint") },
      folders: { label: t("photo_index"), hint: "" },
      index_file: { label: t("photo_index"), hint: "" },
      folder: { label: t("subfolder"), hint: "" },
      model: { label: t("model"), hint: t("model_hint") },
      image: { label: t("pictures"), hint: "" },
      mesh: { label: t("mesh"), hint: "" },
      where: { label: t("where") },
      top_k: { label: t("how_many_hits"), hint: "", default: 12 },
    }),
    examples: (row) => (row.fields.includes("gallery") ? ["a round table", "an office chair", "a lamp", "a bathtub"].map((text) => [text, { text: [text], image: [], mesh: [] }]) : []),
    check: (form, row, settings) => (row.verb === "search" && !["text", "image", "mesh", "query"].some((name) => settings[name]?.length) ? t("no_query") : ""),
    onChoose: addIndexButton,
  });
}

// Photos are indexed before they are searched: a button beside the folder does it.
function addIndexButton(row, form, { run }) {
  const folder = form.controls.index_file;
  if (!folder || row.verb === "index") return;
  folder.element.append(h("span", { class: "hint" }, t("photo_index_hint")), h("button", { type: "button", class: "small", onclick: () => {
    const [index_file, model] = [folder.get(), form.controls.model?.get()];
    run("index", { folders: index_file ? [index_file] : undefined, model });
  } }, t("index_now")));
}
