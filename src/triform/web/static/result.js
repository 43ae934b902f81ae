// Shows a result: models, images, videos, tables; and what can be done with it.
import { language, t } from "./texts.js";
import { announce, api, fileAddress, h, newSeed, referenceAddress, round } from "./ui.js";
import { viewer } from "./viewer.js";

const MAX_VIEWERS = 12;
const SMALL = 128;  // an image of so few pixels is enlarged pixel by pixel
const SHOWN_ELSEWHERE = ["files", "output", "sheet", "matrix", "tile"];  // names of files, which are links
const MESSAGES = 3;
const FIXED = ["caption", "evaluate"];  // their seed changes next to nothing
const base = (name) => name.split("/").pop();
const FORMATS = ["glb", "obj", "stl", "ply", "3mf"];
const ending = (name) => name.split(".").pop();
const date = (value) => new Date(1000 * value).toLocaleString(language);

export function showResult(place, record, actions = {}) {
  const parts = [heading(record), buttons(place, record, actions)];
  if (record.error) parts.push(h("p", { class: "error", role: "alert" }, record.error));
  const warnings = record.messages.map((message) => h("p", { class: "warning" }, message));
  parts.push(...(warnings.length > MESSAGES ? [h("details", {}, h("summary", {}, t("messages", warnings.length)), warnings)] : warnings));
  parts.push(sentPictures(record), ...models(record), ...hits(record, actions), ...captions(record), ...classes(record), ...stages(record, actions), ...media(record), ...table(record));
  parts.push(otherFiles(record), h("details", {}, h("summary", {}, t("command")), h("pre", {}, record.command)));
  place.replaceChildren(h("section", { class: "card", ariaLabel: record.title }, parts.filter(Boolean)));
}

function heading(record) {
  const facts = [t(record.state), `${record.system} ${record.verb}`, date(record.created)];
  if (record.seconds) facts.push(t("elapsed", round(record.seconds)));
  if (record.origin) facts.push(`${t("from_command")} · ${record.origin}`);
  if (record.seed !== null) facts.push(`${t("seed")} ${record.seed}`);
  return h("div", {}, h("h2", {}, record.title), h("p", { class: "soft" }, facts.join(" · ")));
}

function buttons(place, record, actions) {
  const copy = h("button", { type: "button", class: "small", onclick: async () => {
    const words = t((await copyText(record.command)) ? "copied" : "not_copied");
    copy.textContent = words;
    announce(words);
  } }, t("copy"));
  const list = [];
  if (actions.again && record.is_repeatable) {
    list.push(h("button", { type: "button", class: "small", onclick: () => actions.again(record.settings) }, t("again")));
    if (record.seed !== null && !FIXED.includes(record.verb)) list.push(h("button", { type: "button", class: "small", onclick: () => actions.again({ ...record.settings, seed: newSeed() }) }, t("new_seed")));
  }
  if (actions.use) {
    list.push(h("button", { type: "button", class: "small", onclick: () => actions.use(record.settings) }, t("same_settings")));
  } else if (record.page && record.is_repeatable) {
    list.push(h("a", { class: "button small", href: `/${record.page}?from=${record.id}` }, t("same_settings")));
  }
  list.push(copy);
  if (record.files.length) list.push(h("a", { class: "button small", href: `/api/results/${record.id}/archive`, download: "" }, t("all_files")));
  if (!record.origin) list.push(deleteButton(place, record));
  return h("div", { class: "chips" }, list);
}

// A page of another machine has no clipboard without TLS; there the old way is left.
async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const focused = document.activeElement;
    const area = h("textarea", { value: text, class: "unseen" });
    document.body.append(area);
    area.select();
    const isCopied = document.execCommand("copy");
    area.remove();
    focused?.focus({ preventScroll: true });
    return isCopied;
  }
}

function deleteButton(place, record) {
  let sure = false;
  const button = h("button", { type: "button", class: "small", onclick: async () => {
    if (!sure) { sure = true; button.textContent = t("remove_sure"); return; }
    try {
      await api(`results/${record.id}`, { method: "DELETE" });
      place.replaceChildren(h("p", { class: "soft", role: "status" }, t("deleted")));
    } catch (error) {
      announce(error.message);
      button.textContent = error.message;
    }
  } }, t("remove"));
  return button;
}

const STAGES = ["embedding", "latent", "decoder", "image"];
// Of a command some files may be gone, or lie elsewhere.
const isListed = (record, name) => record.files.some((file) => file.name === name);

// The pictures that a search or a classifier was given; others are in its images.
function sentPictures(record) {
  const isShown = Array.isArray(record.answer) && record.answer.some(isHit);
  const given = [record.settings.images, record.settings.image, record.settings.query].flat().filter((value) => typeof value === "string");
  const addresses = isShown ? given.map(referenceAddress).filter(Boolean) : [];
  return addresses.length ? h("div", { class: "sent" }, addresses.slice(0, 12).map((address) => h("img", { src: address, alt: record.title, onerror: (event) => event.target.remove() }))) : null;
}

// Classes of pictures, each beside its picture.
function classes(record) {
  const rows = Array.isArray(record.answer) ? record.answer.filter((row) => row && row.class !== undefined && (row.file ?? row.image) !== undefined) : [];
  const addresses = [record.settings.images].flat().map((value) => (typeof value === "string" ? referenceAddress(value) : null));
  const share = (row) => row.probability ?? row.prob ?? row.confidence;
  return rows.length ? [h("div", { class: "grid narrow" }, rows.map((row, index) => h("figure", {},
    addresses.length === rows.length && addresses[index] ? h("img", { src: addresses[index], alt: base(String(row.file ?? row.image)) }) : null,
    h("figcaption", {}, h("strong", {}, row.class), share(row) === undefined ? "" : ` · ${Math.round(100 * share(row))} %`, h("br"), h("span", { class: "soft" }, base(String(row.file ?? row.image)))))))] : [];
}

function models(record) {
  const shown = record.files.filter((file) => file.name.endsWith(".glb"));
  const rows = Array.isArray(record.answer) ? record.answer : [];
  if (!shown.length) return [];
  return [h("div", { class: "grid pairs" }, shown.slice(0, MAX_VIEWERS).map((file, index) => {
    const stem = file.name.slice(0, -4);
    const row = rows.find((each) => (each.files || []).includes(file.name)) || {};
    const title = row.prompt || record.title;
    const saves = record.files.filter((each) => each.kind === "mesh" && each.name.startsWith(`${stem}.`) && !each.name.endsWith(".mtl"))
      .sort((a, b) => FORMATS.indexOf(ending(a.name)) - FORMATS.indexOf(ending(b.name)));
    return h("figure", {}, viewer(fileAddress(record.id, file.name), index + 1, title),
      h("figcaption", {}, h("strong", {}, title), row.seed !== undefined ? ` · ${t("seed")} ${row.seed}` : "", shapeFacts(row.shape),
        h("div", { class: "chips" }, h("span", { class: "soft" }, t("save")), saves.map((each) => h("a", { class: "button small", href: fileAddress(record.id, each.name), download: base(each.name) }, ending(each.name).toUpperCase())))));
  }))];
}

function shapeFacts(shape) {
  if (!shape) return null;
  const pairs = [
    [t("size"), `${shape.size_mm.map((side) => round(side)).join(" × ")} ${t("mm")}`],
    [t("closed"), h("span", { class: shape.watertight ? "good" : "warning" }, t(shape.watertight ? "yes" : "no"))],
    [t("volume"), shape.volume_cm3 === null ? "—" : `${round(shape.volume_cm3)} ${t("cm3")}`],
    [t("parts"), shape.parts], [t("faces"), shape.faces],
  ];
  return h("dl", { class: "facts" }, pairs.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
}

const isHit = (row) => row && row.similarity !== undefined && row.rank !== undefined;

function hits(record, actions) {
  const rows = Array.isArray(record.answer) ? record.answer.filter(isHit) : [];
  const queries = [...new Set(rows.map((row) => row.query))];
  return queries.flatMap((query) => [
    query === undefined || queries.length === 1 ? null : h("h3", {}, base(String(query))),
    h("div", { class: "grid narrow" }, rows.filter((row) => row.query === query).map((row) => h("figure", {},
      isListed(record, row.tile) ? h("img", { src: fileAddress(record.id, row.tile), alt: row.caption || row.id || row.file, loading: "lazy" }) : h("div", { class: "blank" }, "—"),
      h("figcaption", {}, h("strong", {}, `${row.rank}. ${row.caption || base(row.id || row.file)}`), h("br"),
        h("span", { class: "soft" }, [row.category, row.taken?.slice(0, 10), `${t("score")} ${row.similarity.toFixed(3)}`, row.word_rank ? t("word_rank", row.word_rank) : null, typeof row.percentile === "number" ? t("percentile", round(row.percentile)) : null].filter(Boolean).join(" · ")),
        row.tile && actions.similar ? h("div", {}, h("button", { type: "button", class: "small", onclick: () => actions.similar(`result:${record.id}/${row.tile}`) }, t("similar"))) : null)))),
  ]);
}

function captions(record) {
  const rows = Array.isArray(record.answer) ? record.answer.filter((row) => row.caption !== undefined && row.image !== undefined) : [];
  return rows.map((row) => h("div", {},
    h("p", {}, h("strong", {}, row.caption ?? row.problem), h("span", { class: "soft" }, ` · ${base(String(row.file ?? row.image))}${row.score === undefined ? "" : ` · ${t("log_probability")} ${round(row.score)}`}`)),
    isListed(record, row.attention) ? h("figure", {}, h("img", { src: fileAddress(record.id, row.attention), alt: `${t("attention")}: ${row.caption}` }), h("figcaption", {}, t("attention"))) : null));
}

// Every stage of an image, its final image first.
function stages(record, actions) {
  const rows = (record.answer?.stages || []).filter((row) => STAGES.every((name) => isListed(record, row[name])));
  const seed = record.seed ?? 0;
  const image = (row, name) => h("figure", {}, h("a", { href: fileAddress(record.id, row[name]), target: "_blank", rel: "noopener" },
    h("img", { class: "pixels", src: fileAddress(record.id, row[name]), alt: `${t(name === "image" ? "final" : name)}: ${row.prompt}`, loading: "lazy" })), h("figcaption", { class: "soft" }, t(name === "image" ? "final" : name)));
  const again = (row) => ({ ...record.settings, prompt: [row.prompt], seed, like: row.number });
  return [h("div", { class: rows.length > 1 ? "grid pairs" : "" }, rows.map((row) => h("section", { ariaLabel: `${row.prompt} ${row.number}` },
    image(row, "image"), h("p", {}, h("strong", {}, row.prompt), h("span", { class: "soft" }, ` · ${t("seed")} ${seed} · ${row.number}`)),
    h("div", { class: "chips" }, h("a", { class: "button small", href: fileAddress(record.id, row.image), download: base(row.image) }, "PNG"),
      actions.another ? h("button", { type: "button", class: "small", onclick: () => actions.another(again(row)) }, t("another")) : null),
    h("details", { open: rows.length <= 4 }, h("summary", {}, t("stages")), h("div", { class: "stages" }, STAGES.map((name) => image(row, name)))))))];
}

function media(record) {
  const rows = Array.isArray(record.answer) ? record.answer : [];
  const used = new Set([...rows.flatMap((row) => [row.tile, row.attention]), ...(record.answer?.stages || []).flatMap((row) => Object.values(row))]);
  const files = record.files.filter((file) => ["image", "video"].includes(file.kind) && !used.has(file.name) && !file.name.startsWith("hits/"));
  if (!files.length) return [];
  return [h("div", { class: files.length > 2 ? "grid" : "single" }, files.slice(0, 60).map((file) => {
    const address = fileAddress(record.id, file.name);
    const isSmall = (event) => { if (event.target.naturalWidth <= SMALL) event.target.classList.add("pixels", "enlarged"); };
    const shown = file.kind === "video"
      ? h("video", { src: address, controls: true, loop: true, ariaLabel: base(file.name) })
      : h("a", { href: address, target: "_blank", rel: "noopener" }, h("img", { src: address, alt: `${record.title}: ${base(file.name)}`, loading: "lazy", onload: isSmall }));
    return h("figure", {}, shown, h("figcaption", {}, h("a", { href: address, download: base(file.name) }, base(file.name))));
  }))];
}

function table(record) {
  const answer = record.answer;
  if (answer === null || answer === undefined || answer.stages) return [];
  if (typeof answer !== "object") return [h("p", {}, String(answer))];
  const isSpecial = (row) => row && typeof row === "object" && (row.shape || isHit(row) || row.caption !== undefined);
  if (Array.isArray(answer)) return answer.some(isSpecial) ? [] : rowsTable(answer, record.title);
  // Lists of rows in an answer are tables of their own; groups of numbers are rows of it.
  const isRows = (value) => Array.isArray(value) && value.length && value.every((row) => row && typeof row === "object" && !Array.isArray(row));
  const flat = (group, prefix = "") => Object.entries(group).flatMap(([name, value]) => {
    const full = prefix + name;
    if (isRows(value) || SHOWN_ELSEWHERE.includes(full)) return [];
    return value && typeof value === "object" && !Array.isArray(value) ? flat(value, `${full} `) : [{ "": full.replaceAll("_", " "), " ": value }];
  });
  return [...rowsTable(flat(answer), record.title), ...Object.entries(answer).filter(([, value]) => isRows(value)).flatMap(([name, value]) => [h("h3", {}, name.replaceAll("_", " ")), ...rowsTable(value, name)])];
}

function cell(value) {
  if (typeof value === "number") return round(value);
  if (value === null || value === undefined) return "";
  if (Array.isArray(value) && value.every((each) => typeof each !== "object")) return value.slice(0, 20).map(cell).join(", ");
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

function rowsTable(list, title) {
  const rows = list.filter((row) => row && typeof row === "object");
  const columns = [...new Set(rows.flatMap((row) => Object.keys(row)))].filter((name) => !SHOWN_ELSEWHERE.includes(name)).slice(0, 12);
  if (!rows.length || !columns.length) return [];
  return [h("div", { class: "table", tabIndex: 0, role: "region", ariaLabel: title }, h("table", {},
    h("thead", {}, h("tr", {}, columns.map((name) => (name.trim() ? h("th", { scope: "col" }, name.replaceAll("_", " ")) : h("td", {}))))),
    h("tbody", {}, rows.slice(0, 200).map((row) => h("tr", {}, columns.map((name) => h("td", {}, cell(row[name]))))))))];
}

function otherFiles(record) {
  const isShown = (file) => record.files.some((each) => each.name === `${file.name.slice(0, -ending(file.name).length)}glb`);
  const files = record.files.filter((file) => ["table", "other"].includes(file.kind) || (file.kind === "mesh" && !isShown(file)));
  if (!files.length) return null;
  return h("p", {}, files.slice(0, 20).flatMap((file) => [h("a", { href: fileAddress(record.id, file.name), download: base(file.name) }, file.name), " "]));
}
