// Sends a job, shows its place, progress and end, and stops it.
import { t } from "./texts.js";
import { announce, api, h } from "./ui.js";

const QUICK = 150, SLOW = 1000, SOON = 20;
let current = null;
export const goesOn = (record) => ["queued", "running"].includes(record.state);
export const stopCurrent = () => { if (current) current(); };
const seconds = (value) => Math.max(1, Math.round(value));

export function describeStatus(record) {
  const status = record.status;
  const parts = [];
  if (status.position) {
    parts.push(t("waiting", status.position));
    if (status.wait_seconds !== null) parts.push(t("begins_in", seconds(status.wait_seconds)));
  } else {
    const progress = status.progress;
    parts.push(progress.text || t("running"));
    if (progress.done && progress.total) parts.push(`${progress.done} / ${progress.total}`);
    if (status.elapsed !== undefined) parts.push(t("elapsed", Math.round(status.elapsed)));
    if (status.seconds_left) parts.push(t("left", seconds(status.seconds_left)));
  }
  return parts.join(", ");
}

// Sends a request, or follows the record of a job that was sent before; null if it was refused, or
// the page is left. Esc stops the job that is in sight.
export async function runJob(place, request, { onUpdate = () => {}, isTraining = false, sent = null } = {}) {
  const text = h("p", {}, t("sent"));
  const bar = h("progress", { max: 1, ariaLabel: t("running") });
  const messages = h("div", {});
  const button = h("button", { type: "button" }, t("stop"), " (Esc)");
  const card = h("div", { class: "card", ariaBusy: "true" }, sent ? h("h2", {}, sent.title) : null, text, bar, messages, button);
  place.replaceChildren(card);
  announce(t("sent"));
  let record = sent;
  const stop = async () => {
    if (!card.isConnected) return;  // its page was left: it goes on, and the history shows it
    button.disabled = true;
    text.textContent = t(isTraining ? "saving" : "stopping");
    if (record) await api(`jobs/${record.id}`, { method: "DELETE" }).catch(() => {});
  };
  button.addEventListener("click", stop);
  current = stop;
  const leave = () => { if (current === stop) current = null; };
  try {
    record ??= await api("jobs", { method: "POST", json: request });
  } catch (error) {
    leave();
    place.replaceChildren(h("p", { class: "error", role: "alert" }, error.message));
    return null;
  }
  if (button.disabled) await stop();  // asked for before the server had answered
  let said = "", count = 0;
  const first = record.status.position;
  while (goesOn(record)) {
    await new Promise((resolve) => setTimeout(resolve, isTraining && count++ > SOON ? SLOW : QUICK));
    if (!card.isConnected) { leave(); return null; }  // or another job is shown in its place
    try {
      record = await api(`results/${record.id}`);
    } catch (error) {
      leave();
      place.replaceChildren(h("p", { class: "error", role: "alert" }, error.message));
      return null;
    }
    const status = record.status;
    if (status.position === undefined) continue;
    if (!status.stopping && !button.disabled) text.textContent = describeStatus(record);
    if (first && status.wait_seconds === null && !status.progress.done) text.append(". ", t("loading"));
    const { done, total } = status.progress;
    const share = done && total ? done / total : status.seconds_left ? status.elapsed / (status.elapsed + status.seconds_left) : null;
    if (share === null || status.position) bar.removeAttribute("value"); else bar.value = Math.min(0.99, share);
    messages.replaceChildren(...status.messages.map((message) => h("p", { class: "warning" }, message)));
    const words = status.position ? t("waiting", status.position) : t("running");
    if (words !== said) announce((said = words));
    onUpdate(record);
  }
  leave();
  announce(t(record.state));
  place.replaceChildren();
  return record;
}
