// The frame of all pages: navigation, language, keys. A page is loaded when it is opened.
import { stopCurrent } from "./job.js";
import { language, languages, t } from "./texts.js";
import { api, h } from "./ui.js";

const ORDER = ["shape", "find", "describe", "image", "explore", "train", "history"];
const MODULES = { shape: "page_shape", find: "page_find", describe: "page_describe", image: "page_image", explore: "page_explore", train: "page_train", history: "page_history" };
const main = document.getElementById("main");
let state = null, shown = "";

const names = () => ORDER.filter((name) => name === "history" || state.pages[name]);

function drawFrame(name) {
  document.getElementById("nav").replaceChildren(...names().map((each) => h("a", { href: `/${each}`, ...(each === name ? { "aria-current": "page" } : {}) }, t(each))));
  document.getElementById("tools").replaceChildren(
    h("button", { type: "button", class: "small", lang: languages[1 - languages.indexOf(language)], onclick: () => { localStorage.setItem("language", languages[1 - languages.indexOf(language)]); location.reload(); } }, t("language")),
    h("button", { type: "button", class: "small", ariaLabel: t("theme"), title: t("theme"), onclick: switchTheme }, "◐"),
    h("button", { type: "button", class: "small", ariaLabel: t("keys"), title: t("keys"), onclick: showKeys }, "?"));
  document.title = `${t(name)} · Triform`;
}

function applyTheme() {
  const theme = localStorage.getItem("theme");
  if (theme) document.documentElement.dataset.theme = theme;
}

function switchTheme() {
  const isDark = document.documentElement.dataset.theme ? document.documentElement.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  localStorage.setItem("theme", isDark ? "light" : "dark");
  applyTheme();
}

const load = (name) => import(`/static/${MODULES[name]}.js`);

async function open(address, push) {
  const url = new URL(address, location.origin);
  const name = url.pathname.slice(1) || names()[0];
  if (push) history.pushState(null, "", url);
  shown = url.pathname + url.search;
  drawFrame(name);
  if (!names().includes(name)) {
    main.replaceChildren(h("p", { class: "error" }, t("no_page")));
    return;
  }
  const page = await load(name);
  main.replaceChildren(h("h1", {}, t(name)), h("p", { class: "soft" }, t(`${name}_about`)));
  try {
    await page.show(main, state, url.searchParams);
  } catch (error) {
    main.append(h("p", { class: "error", role: "alert" }, error.message));
  }
  main.dataset.ready = name;
}

document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a[href^='/']");
  if (!link || link.hasAttribute("download") || link.target || event.ctrlKey || event.metaKey || event.shiftKey || link.pathname.startsWith("/api")) return;
  event.preventDefault();
  delete main.dataset.ready;
  open(link.href, true).then(() => main.focus());
});
// A jump within the page, as of "skip to content", leaves it as it is.
addEventListener("popstate", () => { if (location.pathname + location.search !== shown) open(location.href, false); });

// A file that is dropped beside its field goes into the first one that takes it.
addEventListener("dragover", (event) => { if (event.dataTransfer?.types.includes("Files")) event.preventDefault(); });
addEventListener("drop", (event) => {
  const files = event.dataTransfer?.files;
  if (!files?.length || event.defaultPrevented) return;
  event.preventDefault();
  const inputs = [...main.querySelectorAll("input[type=file]")];
  const ending = files[0].name.toLowerCase().split(".").pop();
  const input = inputs.find((each) => each.accept.split(",").includes(`.${ending}`)) || inputs.find((each) => each.accept.includes("image/")) || inputs[0];
  if (!input) {
    const problem = main.querySelector("form .error");
    if (problem) problem.textContent = t("takes_no_files");
    return;
  }
  input.files = files;
  input.dispatchEvent(new Event("change"));
});

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, textarea, select");
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    main.querySelector("form")?.requestSubmit();
  } else if (event.key === "Escape" && !document.querySelector("dialog[open]")) {
    stopCurrent();
  } else if (event.key === "?" && !typing) {
    event.preventDefault();
    showKeys();
  } else if (event.altKey && /^[1-7]$/.test(event.key) && names()[event.key - 1]) {
    event.preventDefault();
    open(`/${names()[event.key - 1]}`, true).then(() => main.focus());
  }
});

function showKeys() {
  const rows = [["Ctrl+Enter", "keys_run"], ["Esc", "keys_cancel"], ["?", "keys_list"], [`Alt+1 … Alt+${names().length}`, "keys_page"], ["← → ↑ ↓", "keys_turn"], ["+ -", "keys_zoom"]];
  const close = h("button", { type: "button", onclick: () => dialog.close() }, t("close"));
  const dialog = h("dialog", { "aria-labelledby": "keys_title", onclose: () => dialog.remove() }, h("h2", { id: "keys_title" }, t("keys")),
    h("table", {}, h("tbody", {}, rows.map(([key, text]) => h("tr", {}, h("th", { scope: "row" }, h("kbd", {}, key)), h("td", {}, t(text)))))), h("p", {}), close);
  document.body.append(dialog);
  dialog.showModal();
}

applyTheme();
const first = location.pathname.slice(1) || ORDER[0];
if (MODULES[first]) load(first).catch(() => {});  // asked for beside the state
try {
  state = await api(`state?language=${language}`);
  await open(location.href, false);
} catch (error) {
  main.replaceChildren(h("p", { class: "error", role: "alert" }, error.message));
}
