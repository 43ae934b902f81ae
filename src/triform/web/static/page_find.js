import { datasets, runs, showTask, subfolders } from "./task.js";
import { t } from "./texts.js";

export async function show(main, state, parameters) {
  await showTask(main, state, {
    page: "find", button: t("search"), parameters, pick: "verb", needs: [runs, datasets, subfolders],
    front: () => ({
      query: { label: t("query"), hint: t("query_hint") },
      folders: { label: t("photo_index"), hint: "" },
      index_file: { label: t("photo_index"), hint: t("photo_index_hint") },
      model: { label: t("model") },
      folder: { label: t("subfolder"), hint: "" },
      gallery: { label: t("collection"), hint: t("collection_hint") },
      text: { label: t("words"), hint: t("words_hint") },
      image: { label: t("pictures"), hint: "" },
      mesh: { label: t("mesh"), hint: "" },
      top_k: { label: t("how_many_hits"), hint: "", default: 12 },
    }),
    examples: (row) => (row.fields.includes("gallery") ? ["a round table", "an office chair", "a lamp", "a bathtub"].map((text) => [text, { text: [text], image: [], mesh: [] }]) : []),
  });
}
